"""A process that dies before a certain call to the file system, and what a reader sees then."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from support.death import before_each_call

DIED = 77


def in_child(body: Callable[..., object], *arguments: object) -> int:
    """Run in a forked child; return its exit code."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            body(*arguments)
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


def deaths(
    template: Path, beside: Path, work: Callable[[Path, Callable[[], None]], object], *, least: int
) -> Iterator[tuple[Path, int, bool]]:
    """Have work done over and over, each time by a process that dies one step later, until one lives to its end.

    Args:
        template: the volume that each of them finds.
        beside: where its copies are put; each is removed once it was looked at.
        work: gets the volume, and what it calls when its steps begin to count.
        least: so many steps it must have, or they were not really counted.

    Yields:
        The volume, the step before which the process died, and whether it lived to the end instead.
    """
    step, done = 0, False
    while not done:
        step += 1
        base = beside / f"volume-{step}"
        shutil.copytree(template, base, symlinks=True)
        ended = in_child(work, base, partial(die_before, step))
        assert ended in {0, DIED}, f"step {step}"
        done = ended == 0
        yield base, step, done
        shutil.rmtree(base)
    assert step > least, "the steps were really counted"


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
