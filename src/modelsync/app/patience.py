"""How often a request is made again, and after how long."""

from __future__ import annotations

import random
from dataclasses import dataclass

from modelsync.core.backoff import backoff_seconds
from modelsync.errors import StoreUnavailable


@dataclass(frozen=True)
class Patience:
    """Bounds of trying again.

    Attributes:
        attempts: failures in a row before a request is given up.
        backoff_base_seconds, backoff_cap_seconds: waits between attempts.
    """

    attempts: int = 6
    backoff_base_seconds: float = 0.2
    backoff_cap_seconds: float = 10.0

    def pause_seconds(self, error: StoreUnavailable, attempt: int) -> float:
        """How long to wait after the `attempt`-th failure in a row.

        Raises:
            StoreUnavailable: the error itself, if it was the last attempt.
        """
        if attempt >= self.attempts:
            raise error
        return backoff_seconds(
            attempt,
            base_seconds=self.backoff_base_seconds,
            cap_seconds=self.backoff_cap_seconds,
            jitter=random.random(),  # noqa: S311 - no secret
            asked_seconds=error.pause_seconds,
        )
