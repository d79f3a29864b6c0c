"""Space on the volume, promised to one download at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from modelsync.core.space import SpaceRules, shortage
from modelsync.errors import NoRoom
from modelsync.ports import Volume


class Reservation:
    """Bytes that a download may still write."""

    def __init__(self, left_bytes: int) -> None:
        self.left_bytes = left_bytes

    def allocated(self, size_bytes: int) -> None:
        """So many of them are now reserved by the file system itself."""
        self.left_bytes = max(self.left_bytes - size_bytes, 0)


class SpaceLedger:
    """All promises of this process. Thread-safe."""

    def __init__(self, volume: Volume, rules: SpaceRules) -> None:
        self._volume = volume
        self._rules = rules
        self._lock = threading.Lock()
        self._reservations: set[Reservation] = set()

    @contextmanager
    def reserve(self, needed_bytes: int) -> Iterator[Reservation]:
        """Hold space for a download.

        Args:
            needed_bytes: what it will write beyond what staging has.

        Raises:
            NoRoom: it does not fit.
        """
        reservation = Reservation(needed_bytes)
        with self._lock:
            short = shortage(
                needed_bytes,
                self._rules,
                free_bytes=self._volume.space().free_bytes,
                reserved_bytes=sum(other.left_bytes for other in self._reservations),
                used_bytes=self._volume.used_bytes() if self._rules.budget_bytes else 0,
            )
            if short is not None:
                raise NoRoom(short.reason, short.bytes_short)
            self._reservations.add(reservation)
        try:
            yield reservation
        finally:
            with self._lock:
                self._reservations.discard(reservation)
