"""Space on the volume, promised to one download at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from modelsync.core.names import RelPath
from modelsync.core.space import SpaceRules, shortage
from modelsync.errors import NoRoom
from modelsync.ports import Volume


class Reservation:
    """Bytes that a revision's files may still take, each by its path. For one thread at a time."""

    def __init__(self, files: Mapping[RelPath, int]) -> None:
        self._files = dict(files)
        self.left_bytes = sum(files.values())

    def allocated(self, path: RelPath) -> None:
        """A file has them now from the file system itself."""
        self.left_bytes -= self._files.pop(path, 0)


class SpaceLedger:
    """All promises of this process. Thread-safe."""

    def __init__(self, volume: Volume, rules: SpaceRules) -> None:
        self._volume = volume
        self._rules = rules
        self._lock = threading.Lock()
        self._reservations: set[Reservation] = set()

    @contextmanager
    def reserve(self, files: Mapping[RelPath, int]) -> Iterator[Reservation]:
        """Hold space for a revision.

        Args:
            files: what each file will take beyond what staging has of it.

        Raises:
            NoRoom: it does not fit.
        """
        reservation = Reservation(files)
        with self._lock:
            # What takes nothing breaks nothing, however full the volume is.
            short = reservation.left_bytes and shortage(
                reservation.left_bytes,
                self._rules,
                free_bytes=self._volume.space().free_bytes,
                reserved_bytes=sum(other.left_bytes for other in self._reservations),
                used_bytes=self._volume.used_bytes() if self._rules.budget_bytes else 0,
            )
            if short:
                raise NoRoom(short.reason, short.bytes_short)
            self._reservations.add(reservation)
        try:
            yield reservation
        finally:
            with self._lock:
                self._reservations.discard(reservation)
