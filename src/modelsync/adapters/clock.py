"""The system's clock."""

from __future__ import annotations

import threading
import time


class SystemClock:
    """Implements `ports.Clock`."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back."""
        return time.monotonic()

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        """Sleep until `stop` is set or the time is over; return whether it is set."""
        return stop.wait(max(seconds, 0.0))

    def wait_for(self, condition: threading.Condition, seconds: float | None) -> None:
        """Wait on a condition whose lock the caller holds."""
        condition.wait(seconds)
