"""What is wrong with a queue, by kind of call: that one works says nothing of the others."""

from __future__ import annotations

import threading
from typing import Literal

from modelsync.core.facts import HealthChanged
from modelsync.core.health import queue_check
from modelsync.ports import Clock, Observer, Queue

Call = Literal["receive", "delete", "hide"]


class QueueHealth:
    """Tells the queue's health check. Thread-safe."""

    def __init__(self, queue: Queue, clock: Clock, observe: Observer, *, memory_seconds: float) -> None:
        """Make it.

        Args:
            queue: the queue.
            clock: for times.
            observe: told the check.
            memory_seconds: what failed longer ago than this and the visibility time-out, and never again since,
                counts no more: a message that it concerned has come back by then.
        """
        self._queue = queue
        self._clock = clock
        self._observe = observe
        self._memory_seconds = memory_seconds
        self._lock = threading.Lock()
        self._troubles: dict[Call, tuple[str, float]] = {}
        self._unreadable_at = float("-inf")

    def failed(self, call: Call, reason: str) -> None:
        """Take that a call failed."""
        with self._lock:
            self._troubles[call] = reason, self._clock.monotonic()
            self._tell()

    def worked(self, call: Call) -> None:
        """Take that a call succeeded."""
        with self._lock:
            if self._troubles.pop(call, None) or call == "receive":
                self._tell()

    def unreadable(self) -> None:
        """Take that the queue holds a message that nobody can read."""
        with self._lock:
            self._unreadable_at = self._clock.monotonic()

    def _tell(self) -> None:
        since = self._clock.monotonic() - self._memory_seconds - self._queue.visibility_seconds
        self._troubles = {
            call: (reason, at) for call, (reason, at) in self._troubles.items() if call == "receive" or at > since
        }
        status, reason = queue_check(
            "messages are received",
            redrives=self._queue.redrives,
            unreadable=self._unreadable_at > since,
            troubles=[reason for reason, _ in self._troubles.values()],
        )
        self._observe(HealthChanged(f"queue:{self._queue.name}", status, reason))
