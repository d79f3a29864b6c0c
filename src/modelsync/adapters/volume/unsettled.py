"""Small files that are written, but not durable yet.

They are made so some at a time: a journalling file system commits once for all of them then, where an fsync after each
file would have it commit for each. docs/adr/0026 has the figures.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress

from modelsync.adapters.volume.files import start_write_back, volume_errors
from modelsync.core.names import RelPath
from modelsync.errors import VolumeFailed

_AT_ONCE = 16
_MOST = 32  # descriptors of a revision; whoever comes with more waits for the disk


class Unsettled:
    """Holds their descriptors: an fsync tells of each write since its file was opened. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._settling = threading.Lock()
        self._files: list[tuple[RelPath, int]] = []

    def add(self, path: RelPath, descriptor: int) -> None:
        """Take over a file; with it the last ones may be settled.

        Raises:
            VolumeFailed: as from `settle`.
        """
        with self._lock:
            self._files.append((path, descriptor))
            count = len(self._files)
        if count >= _AT_ONCE and self._settling.acquire(blocking=count >= _MOST):
            try:
                _settle(self._taken())
            finally:
                self._settling.release()

    def settle(self) -> None:
        """Make all durable.

        Raises:
            VolumeFailed: some cannot be; those are emptied, since nobody can say what is on disk.
        """
        with self._settling:
            _settle(self._taken())

    def _taken(self) -> list[tuple[RelPath, int]]:
        with self._lock:
            files, self._files = self._files, []
            return files

    def close(self) -> None:
        """Let go of those that nobody settled."""
        for _, descriptor in self._taken():
            with suppress(OSError):  # what is on disk counts only by its checksum
                os.close(descriptor)


def _settle(files: list[tuple[RelPath, int]]) -> None:
    failure = None
    for _, descriptor in files:
        start_write_back(descriptor, 0, 0)
    for path, descriptor in files:
        try:
            _settle_one(path, descriptor)
        except VolumeFailed as error:
            failure = failure or error
    if failure is not None:
        raise failure


def _settle_one(path: RelPath, descriptor: int) -> None:
    with volume_errors(f"make {path} durable"):
        try:
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, 0)
            raise
        finally:
            os.close(descriptor)  # on NFS a full disk can show here too
