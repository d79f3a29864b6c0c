"""A process that dies before a certain call to the file system, and what a reader sees then."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from support.death import before_each_call

DIED = 77


def in_child(body: Callable[[], None]) -> int:
    """Run in a forked child; return its exit code."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            body()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def die_before(step: int) -> None:
    """From here on, let the process end right before its step-th call that changes the file system."""
    left = step

    def count(_call: str) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os._exit(DIED)

    before_each_call(count)


def seen_by_a_reader(base: Path) -> dict[str, bytes] | None:
    """What an application reads, or None before the first publication."""
    if not os.path.lexists(base / "alice"):
        return None
    directory = (base / "alice").resolve(strict=True)
    return {p.relative_to(directory).as_posix(): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def names(base: Path) -> list[str]:
    """All names on the volume but those of complete revisions."""
    return sorted(
        path.relative_to(base).as_posix()
        for path in base.rglob("*")
        if "revisions/" not in path.relative_to(base).as_posix()
    )
