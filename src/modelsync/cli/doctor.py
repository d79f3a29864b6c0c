"""`modelsync doctor`."""

from __future__ import annotations

import json as json_module
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from textwrap import wrap

from rich.console import Console
from rich.text import Text

from modelsync.cli.main import FAILED
from modelsync.config import load
from modelsync.config.fields import without_userinfo
from modelsync.core.doctor.findings import Finding, Part, Verdict, any_failed
from modelsync.core.words import counted
from modelsync.service.doctor import examining

_STYLES = {Verdict.OK: "green", Verdict.WARNING: "yellow", Verdict.FAILED: "bold red", Verdict.SKIPPED: "dim"}
_VERDICT_WIDTH = max(map(len, Verdict))


def examine(*, json: bool) -> int:
    """Look at everything and tell what is wrong; return the exit code.

    Raises:
        ConfigurationError: the variables cannot be.
    """
    with examining(load()) as doctor:
        parts = doctor.run()
    if json:
        sys.stdout.write(json_module.dumps(document(parts), indent=2) + "\n")
    else:
        _print(parts)
    return FAILED if any_failed(parts) else 0


def document(parts: Sequence[Part]) -> dict[str, object]:
    """The findings as JSON has them."""
    checks = [
        {"part": part.name, "name": each.name, "status": each.verdict, "found": each.found, "advice": each.advice}
        for part in parts
        for each in part.findings
    ]
    return {"ok": not any_failed(parts), "checks": checks}


def _print(parts: Sequence[Part]) -> None:
    console = Console(highlight=False)
    name_width = max(len(finding.name) for part in parts for finding in part.findings)
    for part in parts:
        console.print(Text.assemble((part.name, "bold"), f"  {without_userinfo(part.about)}".rstrip()), soft_wrap=True)
        for finding in part.findings:
            for line in _lines(finding, name_width, console.width if console.is_terminal else None):
                console.print(line, soft_wrap=True)
        console.print()
    console.print(_summary(parts))


def _lines(finding: Finding, name_width: int, width: int | None) -> Iterator[Text]:
    """A finding in lines of at most this width; None: one line for what was found, one for the advice."""
    indent = 2 + _VERDICT_WIDTH + 2 + name_width + 2
    style = _STYLES[finding.verdict]
    said = [finding.found] if not finding.advice else [finding.found, f"→ {finding.advice}"]
    lines = [line for text in said for line in (wrap(text, max(width - indent, 30)) if width else [text])]
    yield Text.assemble(
        "  ", (f"{finding.verdict:{_VERDICT_WIDTH}}", style), "  ", f"{finding.name:{name_width}}", "  ", lines[0]
    )
    yield from (Text(" " * indent + line) for line in lines[1:])


def _summary(parts: Sequence[Part]) -> Text:
    numbers = Counter(finding.verdict for part in parts for finding in part.findings)
    words = {verdict: f"{numbers[verdict]} {verdict}" for verdict in Verdict}
    words[Verdict.WARNING] = counted(numbers[Verdict.WARNING], "warning")
    return Text(", ").join(Text(words[verdict], _STYLES[verdict]) for verdict in Verdict if numbers[verdict])
