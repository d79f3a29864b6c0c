"""Time, and where facts go."""

from __future__ import annotations

import threading
from typing import Protocol

from modelsync.core.facts import Fact


class Clock(Protocol):
    """Time, so that tests can make it."""

    def now(self) -> float:
        """Seconds since the epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back."""
        ...

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        """Sleep until `stop` is set or the time is over; return whether it is set."""
        ...

    def wait_for(self, condition: threading.Condition, seconds: float | None) -> None:
        """Wait, as `Condition.wait` does, on a condition whose lock the caller holds."""
        ...


class Observer(Protocol):
    """Takes facts. Never raises, and returns at once.

    An attribute `wants_frequent = False` says that it has nothing to do with `core.facts.Frequent`.
    """

    def __call__(self, fact: Fact, /) -> None:
        """Take one fact."""
        ...
