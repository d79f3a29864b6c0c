"""Waiting for a change in a directory: inotify, and time as the net below it.

The kernel tells only of changes that were made on this machine. Another machine's, on NFS, are
seen at the next look; so are all where there are no inotify instances left.
"""

from __future__ import annotations

import ctypes
import os
import select
import threading
import time
from collections.abc import Sequence
from io import FileIO
from pathlib import Path

_IN_CREATE, _IN_MOVED_TO, _IN_ONLYDIR = 0x100, 0x80, 0x01000000
_SLICE_SECONDS = 0.1
_MANY_EVENTS_BYTES = 64 << 10

_libc = ctypes.CDLL(None, use_errno=True)


class Bell:
    """Wakes one waiter at a time.

    Order matters: `arm`, then look, then `wait`. So a change after the look rings.
    """

    def __init__(self, directories: Sequence[Path]) -> None:
        """Make it.

        Args:
            directories: where names appear; of one that is not there, the nearest that is above it.
        """
        self._directories = directories
        reading, writing = os.pipe()
        self._woken, self._waker = FileIO(reading), FileIO(writing, "wb")
        self._inotify = _inotify()
        self._poll = select.poll()
        for file in filter(None, (self._woken, self._inotify)):
            self._poll.register(file, select.POLLIN)
        for file in filter(None, (self._woken, self._waker, self._inotify)):
            os.set_blocking(file.fileno(), False)

    def arm(self) -> None:
        """Listen to the directories as they are now; fine if the kernel does not let us."""
        if self._inotify is None:
            return
        inotify, mask = self._inotify.fileno(), _IN_CREATE | _IN_MOVED_TO | _IN_ONLYDIR
        for directory in self._directories:
            nearest = (directory, *directory.parents)
            any(_libc.inotify_add_watch(inotify, os.fsencode(path), mask) >= 0 for path in nearest)

    def wait(self, seconds: float, stop: threading.Event | None = None) -> None:
        """Return when something may have changed, on `ring`, when `stop` is set, or after so many seconds."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and not (stop is not None and stop.is_set()):
            # An event cannot be polled for: it is looked at ten times a second, the volume is not.
            if self._poll.poll(1000 * (left if stop is None else min(left, _SLICE_SECONDS))):
                self._drain()
                return

    def _drain(self) -> None:
        for file in filter(None, (self._woken, self._inotify)):
            while len(file.read(_MANY_EVENTS_BYTES) or b"") > 0:
                pass

    def ring(self) -> None:
        """Wake the waiter, or the next one; from any thread."""
        self._waker.write(b"\0")  # if the pipe is full, it rings already

    def close(self) -> None:
        """Release everything; nobody may be waiting."""
        for file in filter(None, (self._woken, self._waker, self._inotify)):
            file.close()


def _inotify() -> FileIO | None:
    """An inotify instance, or None where there is none to be had."""
    try:
        descriptor = _libc.inotify_init1(os.O_CLOEXEC)
    except AttributeError:  # not Linux
        return None
    return None if descriptor < 0 else FileIO(descriptor)
