"""Retention's verdicts as `gc` prints them, from files that anybody can read: `tests/golden/retention`.

`pytest --write-golden tests/unit/test_retention_golden.py` writes the verdicts anew; read the difference before it is
committed. Times in the files are seconds ago.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from modelsync.core.manifest import Current, Superseded
from modelsync.core.names import ModelId
from modelsync.core.objects import Digest, Revision
from modelsync.core.retention import Holding, Holdings, Kind, RetentionRules, Verdict, make_room, retain
from modelsync.core.words import size

NOW = 1_000_000_000.0
GOLDEN = Path(__file__).parents[1] / "golden" / "retention"


def directory(model: ModelId, told: dict[str, Any]) -> Holding:
    told = dict(told)
    name = told.pop("name")
    kind = Kind(told.pop("kind", Kind.REVISION))
    made_at, used_at = NOW - told.pop("made"), NOW - told.pop("used", NOW)
    whole = told.pop("whole", kind is Kind.REVISION)
    revision = Revision(name.partition(".")[0])
    return Holding(model, revision, name, made_at, used_at=used_at, kind=kind, whole=whole, **told)


def record(model: ModelId, told: dict[str, Any]) -> Current:
    told = dict(told)
    previous = tuple(Superseded(Revision(name), NOW - ago) for name, ago in told.pop("previous", {}).items())
    times = {f"{name}_at": NOW - told.pop(name) for name in ("published", "unpublished") if name in told}
    return Current(model, Revision(told.pop("revision")), Digest("d"), previous=previous, **times, **told)


def holdings(name: str, told: dict[str, Any]) -> Holdings:
    model = ModelId(name)
    current = record(model, told["record"]) if "record" in told else None
    found = tuple(directory(model, one) for one in told["directories"])
    return Holdings(current, found, NOW - told.get("changed", NOW))


def line(item: Verdict) -> str:
    held = item.holding
    word = f"remove ({item.remove})" if item.remove else f"keep (goes {item.rank})" if item.rank else "keep"
    return f"{word}: {held.model} {held.place} ({size(held.size_bytes)}): {item.reason}"


def verdicts(case: dict[str, Any]) -> list[str]:
    rules = RetentionRules(**case["rules"])
    found = [item for name, told in case["models"].items() for item in retain(holdings(name, told), rules, now=NOW)]
    return [line(item) for item in make_room(found, case.get("need_bytes", 0))]


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_every_verdict_is_the_one_on_file(path: Path, request: pytest.FixtureRequest) -> None:
    case = json.loads(path.read_text())
    found = verdicts(case)
    if request.config.getoption("--write-golden"):
        path.write_text(json.dumps(case | {"verdicts": found}, indent=2, ensure_ascii=False) + "\n")
    else:
        assert found == case["verdicts"]


def test_there_are_files() -> None:
    assert len(list(GOLDEN.glob("*.json"))) >= 8
