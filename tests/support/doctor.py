"""What `modelsync doctor` found, by the names of its checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Told:
    """What the command said. `checks`: by part and name, `queue/queue` and so on; of several, the worst."""

    checks: dict[str, dict[str, str]]
    code: int
    output: str

    def status(self, name: str) -> str:
        return self.checks[name]["status"]

    def text(self, name: str) -> str:
        return f"{self.checks[name]['found']} -> {self.checks[name]['advice']}"

    def but_ok(self) -> dict[str, str]:
        """Everything that is not well."""
        return {name: check["status"] for name, check in self.checks.items() if check["status"] != "ok"}


def read(document: dict[str, Any], code: int = 0, output: str = "") -> Told:
    """Read the command's JSON; what holds of every finding is asserted here."""
    for check in document["checks"]:
        assert check["found"].isprintable()
        assert len(check["found"]) < 500
        assert check["advice"] or check["status"] in {"ok", "skipped"}, check
    return Told({f"{check['part'].split()[0]}/{check['name']}": check for check in document["checks"]}, code, output)
