"""Where a worker can die: right before any of its calls that change the file system."""

from __future__ import annotations

import os
from collections.abc import Callable

CALLS = (
    "fsync",
    "rename",
    "pwrite",
    "write",
    "symlink",
    "mkdir",
    "ftruncate",
    "fchmod",
    "chmod",
    "unlink",
    "rmdir",
    "link",
    "copy_file_range",
)


def before_each_call(tell: Callable[[str], None]) -> Callable[[], None]:
    """Have `tell` called with the name of each such call right before it is made; return what undoes that."""
    real = {name: getattr(os, name) for name in CALLS}

    def patched(name: str) -> Callable[..., object]:
        def told(*args: object, **more: object) -> object:
            tell(name)
            return real[name](*args, **more)

        return told

    for name in CALLS:
        setattr(os, name, patched(name))

    def undo() -> None:
        for name, call in real.items():
            setattr(os, name, call)

    return undo


class Died(BaseException):
    """The worker is gone: nothing of ours may catch this."""


class Fate:
    """Lets one worker of several in this process die, and stay dead, at a step of its own."""

    def __init__(self) -> None:
        self._left: int | None = None
        self._doomed: object = None
        self.acting: object = None

    def doom(self, who: object, step: int) -> None:
        """Let it die before its step-th call from now on."""
        self._doomed, self._left = who, step

    def spare(self) -> None:
        """Let everybody live."""
        self._left = None

    def tell(self, _call: str) -> None:
        """Count a call of whoever acts.

        Raises:
            Died: at the step, and at every later one: the dead clean nothing up.
        """
        if self._left is None or self.acting is not self._doomed:
            return
        self._left -= 1
        if self._left <= 0:
            raise Died
