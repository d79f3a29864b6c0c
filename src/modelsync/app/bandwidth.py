"""A common rate for all who read by it."""

from __future__ import annotations

import threading

from modelsync.ports import Clock

_LEAST_READ_BYTES = 16 << 10
_READS_PER_SECOND = 10
_BURST_SECONDS = 0.1


class Bandwidth:
    """Spreads bytes over time: each read is paid for before the next one. Thread-safe.

    Time in which less was read than allowed, the time of a read itself above all, is made up for: a tenth of a second's
    worth of it.
    """

    def __init__(self, bytes_per_second: int, clock: Clock) -> None:
        """Make it.

        Args:
            bytes_per_second: over all downloads; 0: no limit.
            clock: for waiting.
        """
        self._rate = bytes_per_second
        self._clock = clock
        self._lock = threading.Lock()
        self._paid_until = clock.monotonic()

    def read_bytes(self, most: int) -> int:
        """How much to read at once, so that a slow rate still flows: at most `most`."""
        if not self._rate:
            return most
        return min(most, max(self._rate // _READS_PER_SECOND, _LEAST_READ_BYTES))

    def pay(self, count: int, cancel: threading.Event) -> None:
        """Wait until `count` bytes may have been read, or `cancel` is set."""
        if not self._rate:
            return
        with self._lock:
            now = self._clock.monotonic()
            self._paid_until = max(self._paid_until, now - _BURST_SECONDS) + count / self._rate
            wait_seconds = self._paid_until - now
        if wait_seconds > 0:
            self._clock.wait(cancel, wait_seconds)
