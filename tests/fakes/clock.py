"""Time that tests make: waiting takes none."""

from __future__ import annotations

import threading


class VirtualClock:
    """Implements `ports.Clock`. Every wait moves the time forward by what was asked for."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self._now = now
        self._lock = threading.Lock()

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        with self._lock:
            self._now += seconds

    def now(self) -> float:
        with self._lock:
            return self._now

    def monotonic(self) -> float:
        return self.now()

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        if not stop.is_set():
            self.advance(max(seconds, 0.0))
        return stop.is_set()

    def wait_for(self, condition: threading.Condition, seconds: float | None) -> None:
        self.advance(seconds or 0.0)
        condition.wait(0.0005)  # lets other threads have the lock
