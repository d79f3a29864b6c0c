"""How often a request is made again, and after how long."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from modelsync.core.backoff import backoff_seconds
from modelsync.core.facts import RequestRetried
from modelsync.core.names import ModelId
from modelsync.errors import StoreUnavailable
from modelsync.ports import Clock, Observer

Answer = TypeVar("Answer")


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


LOOKS = Patience(attempts=5)
"""For a page of a listing and for control files: over a blip, and an outage is told within seconds."""


@dataclass(frozen=True)
class Retries:
    """Implements `ports.Patiently`: makes a request as often as patience allows.

    Attributes:
        patience: its bounds.
        model, sync_id: for whom, in facts; no model: for all.
        what: is asked for, in facts.
        cancel: ends a pause.
        check: called before each attempt and around each pause; what it raises ends it.
    """

    patience: Patience
    clock: Clock
    observe: Observer
    model: ModelId | None
    sync_id: str
    what: str
    cancel: threading.Event
    check: Callable[[], None]

    def __call__(self, ask: Callable[[], Answer], /) -> Answer:
        """Ask until there is an answer.

        Raises:
            StoreUnavailable: what the last attempt met.
        """
        attempt = 0
        while True:
            self.check()
            try:
                return ask()
            except StoreUnavailable as error:
                attempt += 1
                self.pause(error, attempt)

    def pause(self, error: StoreUnavailable, attempt: int) -> None:
        """Wait after the `attempt`-th failure in a row.

        Raises:
            StoreUnavailable: the error itself, if it was the last attempt.
        """
        self.check()  # it may have been broken off for that
        seconds = self.patience.pause_seconds(error, attempt)
        self.observe(RequestRetried(self.model, self.sync_id, self.what, str(error), attempt, seconds))
        self.clock.wait(self.cancel, seconds)
        self.check()
