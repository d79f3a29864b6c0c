"""A circuit breaker: who has failed often enough is left alone for a while."""

from __future__ import annotations

from dataclasses import dataclass, replace

THRESHOLD = 5
"""Failures in a row that open it."""
OPEN_SECONDS = 30.0
"""How long it stays open, before one attempt may try again."""


@dataclass(frozen=True, slots=True)
class Circuit:
    """What is known of one receiver. `tried_at`: the last failure, by a monotonic clock."""

    failures: int = 0
    tried_at: float = 0.0

    @property
    def open(self) -> bool:
        """Whether it has failed too often; the next attempt may close it."""
        return self.failures >= THRESHOLD

    def failed(self, now: float) -> Circuit:
        """Take note of a failure."""
        return replace(self, failures=self.failures + 1, tried_at=now)

    def wait_seconds(self, now: float) -> float:
        """How long no attempt may be made."""
        return max(self.tried_at + OPEN_SECONDS - now, 0.0) if self.open else 0.0
