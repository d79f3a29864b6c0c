"""The models that need a look: the one queue between whatever notices a change and the workers.

Level-triggered: marking a model twice is marking it once, and a model that is marked while it is
synced is synced once more. One model is never taken by two workers at a time.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import uuid
from dataclasses import dataclass, field
from typing import Protocol

from modelsync.app.progress import Beat
from modelsync.core.facts import Outcome
from modelsync.core.names import ModelId
from modelsync.ports import Clock

_LEAST_SECONDS_BETWEEN_FAILURES = 1.0
_BEAT_SECONDS = 1.0


class Claim(Protocol):
    """Somebody who wants to know what becomes of a model that they marked."""

    def tried(self, model: ModelId, outcome: Outcome, *, final: bool) -> None:
        """A sync of the model ended. Unless `final`, another one follows. Must not block."""
        ...


@dataclass
class Work:
    """A model to sync, handed to one worker.

    Attributes:
        model: its name.
        sync_id: names this attempt in logs and manifests.
        why: what marked it, in words.
        event_at: when the oldest change that an event told of was made, in seconds since the epoch.
        failures: attempts in a row that failed before this one.
    """

    model: ModelId
    sync_id: str
    why: str
    event_at: float | None
    failures: int
    claims: list[Claim]


@dataclass
class _Entry:
    why: str
    due: float
    urgent: bool = False
    event_at: float | None = None
    failures: int = 0
    claims: list[Claim] = field(default_factory=list)


class DirtyModels:
    """Thread-safe. Times are on the clock's monotonic scale."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._entries: dict[ModelId, _Entry] = {}
        self._running: set[ModelId] = set()
        self._heap: list[tuple[float, int, ModelId]] = []
        self._order = itertools.count()
        self._closed = False

    def mark(
        self,
        model: ModelId,
        *,
        why: str,
        delay_seconds: float = 0.0,
        event_at: float | None = None,
        claim: Claim | None = None,
    ) -> None:
        """Say that a model needs a look, `delay_seconds` from now.

        The last call decides when, but what was asked for at once is not put off by a later event.
        """
        with self._changed:
            due = self._clock.monotonic() + delay_seconds
            entry = self._entries.get(model)
            if entry is None:
                entry = self._entries[model] = _Entry(why, due)
            elif entry.failures:
                # A storm of events must not turn a failing model into a hot loop.
                entry.due = min(entry.due, max(due, self._clock.monotonic() + _LEAST_SECONDS_BETWEEN_FAILURES))
            elif entry.urgent:
                entry.due = min(entry.due, due)
            else:
                entry.due = due
            entry.urgent = entry.urgent or delay_seconds == 0
            entry.event_at = _earliest(entry.event_at, event_at)
            if claim is not None:
                entry.claims.append(claim)
            self._push(model)

    def take(self, beat: Beat) -> Work | None:
        """Wait for a model that is due and take it, beating meanwhile; None once the queue is closed."""
        with self._changed:
            while not self._closed:
                model, wait_seconds = self._next()
                if model is not None:
                    entry = self._entries.pop(model)
                    self._running.add(model)
                    return Work(model, uuid.uuid4().hex[:12], entry.why, entry.event_at, entry.failures, entry.claims)
                self._clock.wait_for(self._changed, min(wait_seconds, _BEAT_SECONDS))
                beat()
        return None

    def done(self, work: Work, outcome: Outcome, *, retry_seconds: float | None = None) -> None:
        """Hand a model back: for good, or to be taken again after `retry_seconds`.

        What another worker is at is taken again too, but whoever claims it is told at once: a
        message goes back to the queue meanwhile.
        """
        final = retry_seconds is None or outcome is Outcome.BUSY
        claims = list(work.claims)
        with self._changed:
            if final:
                work.claims = []
            self._running.discard(work.model)
            if retry_seconds is not None:
                self._again(work, failed=outcome is Outcome.ERROR, retry_seconds=retry_seconds)
            if work.model in self._entries:
                self._push(work.model)
            self._changed.notify_all()
        for claim in claims:
            claim.tried(work.model, outcome, final=final)

    def park(self, work: Work) -> None:
        """Hand a model back unfinished while the service ends: whoever claims it gets no answer."""
        with self._changed:
            self._running.discard(work.model)
            self._changed.notify_all()

    def _again(self, work: Work, *, failed: bool, retry_seconds: float) -> None:
        marked = self._entries.get(work.model)
        due = self._clock.monotonic() + retry_seconds
        entry = marked or _Entry(work.why, due)
        entry.claims = work.claims + entry.claims
        entry.event_at = _earliest(work.event_at, entry.event_at)
        entry.failures = work.failures + 1 if failed else 0
        self._entries[work.model] = entry

    def _next(self) -> tuple[ModelId | None, float]:
        """The model that is due; or None, and the seconds until one may be."""
        now = self._clock.monotonic()
        while self._heap:
            due, _, model = self._heap[0]
            entry = self._entries.get(model)
            if entry is None or entry.due != due or model in self._running:
                heapq.heappop(self._heap)  # out of date, or pushed again when its sync is done
                continue
            if due > now:
                return None, due - now
            heapq.heappop(self._heap)
            return model, 0.0
        return None, _BEAT_SECONDS

    def _push(self, model: ModelId) -> None:
        heapq.heappush(self._heap, (self._entries[model].due, next(self._order), model))
        self._changed.notify()

    def drain(self, deadline: float) -> bool:
        """Stop handing out models and wait until none is being synced; return whether that came true.

        Args:
            deadline: on the clock's monotonic scale.
        """
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            while self._running and (left := deadline - self._clock.monotonic()) > 0:
                self._clock.wait_for(self._changed, left)
            return not self._running


def _earliest(one: float | None, other: float | None) -> float | None:
    times = [time for time in (one, other) if time is not None]
    return min(times, default=None)
