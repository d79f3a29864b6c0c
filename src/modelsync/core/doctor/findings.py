"""What a check found, and what there is to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from modelsync.errors import ModelSyncError


class Verdict(StrEnum):
    """`skipped`: it could not be looked at, which says nothing against it."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer of one check.

    Attributes:
        name: of the check.
        verdict: its answer in one word.
        found: what was seen, in one sentence.
        advice: what to do; empty if there is nothing to do.
    """

    name: str
    verdict: Verdict
    found: str
    advice: str = ""


@dataclass(frozen=True)
class Part:
    """The findings about one thing. `about`: which one, such as `s3://my-models/voices/`."""

    name: str
    about: str
    findings: tuple[Finding, ...]


def ok(name: str, found: str) -> Finding:
    """All is well."""
    return Finding(name, Verdict.OK, found)


def warning(name: str, found: str, advice: str) -> Finding:
    """It works, but not as it should."""
    return Finding(name, Verdict.WARNING, found, advice)


def failed(name: str, found: str, advice: str) -> Finding:
    """It does not work."""
    return Finding(name, Verdict.FAILED, found, advice)


def skipped(name: str, found: str, advice: str = "") -> Finding:
    """It could not be looked at."""
    return Finding(name, Verdict.SKIPPED, found, advice)


def not_tried(names: Iterable[str], because: str) -> list[Finding]:
    """Checks that make no sense since another one failed."""
    return [skipped(name, f"not tried: {because}") for name in names]


def any_failed(parts: Iterable[Part]) -> bool:
    """Whether anything does not work."""
    return any(finding.verdict is Verdict.FAILED for part in parts for finding in part.findings)


def failure(name: str, error: ModelSyncError, advice: str) -> Finding:
    """A check that met an error; `advice` counts where the error's own sentence has none."""
    found, own = parted(error)
    return failed(name, found, own or advice)


def parted(error: ModelSyncError) -> tuple[str, str]:
    """What an error says happened, and what it says is to be done: its sentence has a colon between them.

    Examples:
        >>> parted(ModelSyncError("the clock is wrong: set it by NTP"))
        ('the clock is wrong', 'set it by NTP')
    """
    found, colon, advice = str(error).rpartition(": ")
    return (found, advice) if colon and advice.partition(" ")[0] in _VERBS else (str(error), "")


_VERBS = frozenset({"allow", "ask", "check", "enlarge", "free", "give", "have", "let", "look", "mount", "raise",
                    "restore", "set", "store", "use", "write"})  # fmt: skip
"""How advice begins in the sentences of errors; what else follows a colon is the cause."""
