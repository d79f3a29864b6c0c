"""Notices on their way to one receiver: a bounded queue, retries, and a circuit breaker."""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from modelsync.app.progress import Beat
from modelsync.core.backoff import backoff_seconds
from modelsync.core.circuit import Circuit
from modelsync.core.facts import NoticeDelayed, NoticeLost, NoticeTold
from modelsync.core.notices import Notice
from modelsync.errors import NoticeRefused, NotTold, Stopped
from modelsync.ports import Clock, Observer
from modelsync.ports.telling import Receiver

_BEAT_SECONDS = 1.0
_ENDING = "the process ends"
_REFUSALS = 3
"""So many notices refused in a row are a receiver that takes none."""


@dataclass(frozen=True)
class OutboxOptions:
    """Bounds.

    Attributes:
        waiting: notices kept for one receiver; beyond that the oldest is dropped.
        attempts: how often one notice is tried.
        base_seconds, cap_seconds: shortest and longest wait between two attempts.
    """

    waiting: int = 1000
    attempts: int = 10
    base_seconds: float = 1.0
    cap_seconds: float = 60.0


class Outbox:
    """One receiver's queue. `put` from any thread; `run` by one."""

    def __init__(
        self,
        receiver: Receiver,
        *,
        clock: Clock,
        observe: Observer,
        options: OutboxOptions,
        changed: Callable[[], None],
    ) -> None:
        """Make it; `changed` is called whenever `trouble` may be another."""
        self.name = receiver.name
        self._receiver = receiver
        self._clock = clock
        self._observe = observe
        self._options = options
        self._changed = changed
        self._circuit = Circuit()
        self._failure = ""
        self._refusals = self._dropped = 0
        self._waiting: deque[Notice] = deque()
        self._busy = self._closed = False
        self._condition = threading.Condition()

    @property
    def trouble(self) -> str | None:
        """Why the receiver cannot be told, or what it was not told, since it was last told anything."""
        told = [f"not tried for a while after {self._circuit.failures} failures: {self._failure}"]
        told = told if self._circuit.open else []
        if self._refusals >= _REFUSALS:
            told.append(f"it refused the last {self._refusals} notices: {self._failure}")
        if self._dropped:
            told.append(f"{self._dropped} notices were dropped, since {self._options.waiting} wait already")
        return "; ".join(told) or None

    def put(self, notice: Notice) -> None:
        """Queue a notice; drop the oldest one if there are too many."""
        with self._condition:
            oldest = self._waiting.popleft() if len(self._waiting) >= self._options.waiting else None
            self._waiting.append(notice)
            self._dropped += oldest is not None
            self._condition.notify_all()
        if oldest is not None:
            self._lost(oldest, "dropped", "too many notices wait for this receiver")
            self._changed()

    def run(self, stop: threading.Event, beat: Beat) -> None:
        """Hand over notices, in order, until `finish` was called and none is left, or `stop` is set."""

        def attend() -> None:
            beat()
            if stop.is_set():
                raise Stopped(_ENDING)

        try:
            while (notice := self._next(attend)) is not None:
                self._see_through(notice, stop, attend)
        except Stopped:
            pass
        finally:
            self._leave()

    def _next(self, attend: Callable[[], None]) -> Notice | None:
        with self._condition:
            self._busy = False
            while not self._waiting:
                self._condition.notify_all()
                if self._closed:
                    return None
                self._clock.wait_for(self._condition, _BEAT_SECONDS)
                attend()
            self._busy = True
            return self._waiting.popleft()

    def _see_through(self, notice: Notice, stop: threading.Event, attend: Callable[[], None]) -> None:
        try:
            self._pause(self._circuit.wait_seconds(self._clock.monotonic()), stop, attend)
            for attempt in range(1, self._options.attempts + 1):
                wait_seconds = self._try(notice, attempt, attend)
                if wait_seconds is None:
                    return
                self._pause(wait_seconds, stop, attend)
        except Stopped:
            self._lost(notice, "dropped", _ENDING)
            raise

    def _try(self, notice: Notice, attempt: int, attend: Callable[[], None]) -> float | None:
        """Hand a notice over; return how long to wait before the next attempt, or None if none is to be made."""
        try:
            self._receiver.tell(notice, attend)
        except NoticeRefused as error:
            self._refused(error)
            self._lost(notice, "refused", str(error))
        except NotTold as error:
            return self._failed(notice, attempt, error)
        else:
            self._took()
            self._observe(NoticeTold(self.name, notice.id, notice.model, notice.happening, attempt))
        return None

    def _failed(self, notice: Notice, attempt: int, error: NotTold) -> float | None:
        now = self._clock.monotonic()
        self._failure = str(error)
        self._circuit = self._circuit.failed(now)
        self._changed()
        if attempt == self._options.attempts:
            self._lost(notice, "given_up", f"{attempt} attempts failed: {error}")
            return None
        backoff = backoff_seconds(
            attempt,
            base_seconds=self._options.base_seconds,
            cap_seconds=self._options.cap_seconds,
            jitter=random.random(),  # noqa: S311 - no secret
            asked_seconds=error.pause_seconds,
        )
        wait_seconds = max(backoff, self._circuit.wait_seconds(now))
        self._observe(NoticeDelayed(self.name, notice.id, notice.model, str(error), attempt, wait_seconds))
        return wait_seconds

    def _refused(self, error: NoticeRefused) -> None:
        self._failure = str(error)
        self._circuit = Circuit()  # it answers
        self._refusals += 1
        self._changed()

    def _took(self) -> None:
        self._circuit = Circuit()
        self._refusals = self._dropped = 0
        self._changed()

    def _pause(self, seconds: float, stop: threading.Event, attend: Callable[[], None]) -> None:
        until = self._clock.monotonic() + seconds
        while (left := until - self._clock.monotonic()) > 0:
            self._clock.wait(stop, min(left, _BEAT_SECONDS))
            attend()

    def _lost(self, notice: Notice, outcome: Literal["refused", "given_up", "dropped"], reason: str) -> None:
        self._observe(NoticeLost(self.name, notice.id, notice.model, notice.happening, outcome, reason))

    def _leave(self) -> None:
        with self._condition:
            left, self._waiting = self._waiting, deque()
            self._busy = False
            self._condition.notify_all()
        for notice in left:
            self._lost(notice, "dropped", _ENDING)

    def finish(self, deadline: float) -> None:
        """Let `run` end once every notice is handed over, and wait for that until a time by the monotonic clock."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
            while (self._waiting or self._busy) and (left := deadline - self._clock.monotonic()) > 0:
                self._clock.wait_for(self._condition, left)
