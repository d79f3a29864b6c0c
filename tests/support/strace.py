"""`modelsync` under strace: its system calls on record, some of them made to fail."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

RENAME = "?rename,?renameat,?renameat2"  # which one there is depends on the processor
MKDIR = "?mkdir,?mkdirat"
_LINE = re.compile(r"(?P<thread>\d+) +(?:<\.\.\. (?P<resumed>\w+) resumed>|(?P<name>\w+)\()(?P<rest>.*)")


@cache
def _missing() -> str | None:
    if shutil.which("strace") is None:
        return "strace is not installed: apt-get install strace"
    tried = subprocess.run(["strace", "-qq", "-e", "trace=none", "true"], capture_output=True, text=True, check=False)
    return f"strace cannot attach here: {tried.stderr.strip()}" if tried.returncode else None


def prefix(record: Path, names: str, *options: str) -> list[str]:
    """What to put before a command to have these calls on record; skips the test where strace does not work.

    The command's process stays the one that was started: signals and exit codes are its own.
    """
    if (reason := _missing()) is not None:
        pytest.skip(reason)
    quiet = ["-f", "-qq", "-y", "-s", "1000", "--seccomp-bpf", "-o", str(record), "-e", f"trace={names}"]
    return ["strace", "-D", *quiet, *options]


def fault(inject: str, path: str | None) -> list[str]:
    """Options that make a call fail.

    Args:
        inject: as strace has it; the calls of each thread are counted for themselves.
        path: the first path of the calls meant, by argument or by descriptor; None: all.
    """
    return ["-e", f"inject={inject}", *(["-P", path] if path else [])]


@dataclass(frozen=True)
class Call:
    """A system call that succeeded: when it began and ended, by line of the record; `said` are its arguments."""

    name: str
    said: str
    began: int
    ended: int


def calls(record: Path) -> Sequence[Call]:
    """Read a record. A call that another thread's interrupted stands there in two pieces."""
    found: list[Call] = []
    begun: dict[str, tuple[str, str, int]] = {}
    for number, line in enumerate(record.read_text(errors="replace").splitlines()):
        if (match := _LINE.match(line)) is None:
            continue
        thread, rest = match["thread"], match["rest"]
        if rest.endswith("<unfinished ...>"):
            begun[thread] = (match["name"], rest, number)
            continue
        name, said, began = begun.pop(thread) if match["resumed"] else (match["name"], "", number)
        if not re.search(r"= -1 E\w+ ", rest):
            found.append(Call(name, said + rest, began, number))
    return found


def once(recorded: Sequence[Call], name: str, *said: object) -> Call:
    """The one call of a kind (`rename` is also `renameat2`) that says all this."""
    found = [call for call in recorded if call.name.startswith(name) and all(str(word) in call.said for word in said)]
    assert len(found) == 1, f"{len(found)} calls of {name} with {said}"
    return found[0]
