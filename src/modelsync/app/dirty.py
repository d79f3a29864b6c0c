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

from modelsync.app.churn import PATIENCE_SECONDS, Churn, Kind
from modelsync.app.progress import Beat
from modelsync.core.facts import Outcome
from modelsync.core.names import ModelId
from modelsync.ports import Clock

_LEAST_SECONDS_BETWEEN_FAILURES = 1.0
_BEAT_SECONDS = 1.0
_SPARE = 100
_IN_VAIN = {Outcome.NOOP, Outcome.WAITING}
_LOOKED = {Outcome.SUCCESS, Outcome.REJECTED, *_IN_VAIN}


class Claim(Protocol):
    """Somebody who wants to know what becomes of a model that they marked."""

    def tried(self, model: ModelId, outcome: Outcome, *, final: bool) -> bool:
        """A sync of the model ended. Unless `final`, another one follows; return whether to tell of that too.

        Must not block.
        """
        ...


@dataclass(frozen=True, slots=True)
class News:
    """What an event tells of a model. `at`: when its change was made, in seconds since the epoch, if it says so.

    `commit`: the change is one of the commit file. `crowded`: the event came with many others.
    """

    at: float | None = None
    commit: bool = False
    crowded: bool = False

    def and_also(self, other: News) -> News:
        """Two events as one, of the time of the older."""
        return News(_earliest(self.at, other.at), self.commit or other.commit, self.crowded or other.crowded)


@dataclass
class Work:
    """A model to sync, handed to one worker.

    Attributes:
        model: its name.
        sync_id: names this attempt in logs and manifests.
        why: what marked it, in words.
        event_at: when the oldest change that an event told of was made, in seconds since the epoch.
        received_at: when the first event came, in seconds since the epoch.
        heard_at: when the last event came, on the clock's monotonic scale; minus infinity without one.
        failures: attempts in a row that failed before this one.
        wanted: somebody asked for the model by its name.
        kinds: of the events that told of it.
        new_commit: set when an event tells of a commit file while the model is synced.
    """

    model: ModelId
    sync_id: str
    why: str
    event_at: float | None
    failures: int
    claims: list[Claim]
    received_at: float | None = None
    heard_at: float = float("-inf")
    wanted: bool = False
    kinds: set[Kind] = field(default_factory=set)
    new_commit: threading.Event = field(default_factory=threading.Event)


@dataclass
class _Entry:
    why: str
    due: float = float("inf")
    latest: float = float("inf")
    event_at: float | None = None
    received_at: float | None = None
    heard_at: float = float("-inf")
    failures: int = 0
    wanted: bool = False
    kinds: set[Kind] = field(default_factory=set)
    claims: list[Claim] = field(default_factory=list)


class DirtyModels:
    """Thread-safe. Times are on the clock's monotonic scale."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._entries: dict[ModelId, _Entry] = {}
        self._running: dict[ModelId, Work] = {}
        self._heap: list[tuple[float, int, ModelId]] = []
        self._order = itertools.count()
        self._churn = Churn()
        self._closed = False

    def mark(
        self,
        model: ModelId,
        *,
        why: str,
        delay_seconds: float = 0.0,
        news: News | None = None,
        claim: Claim | None = None,
        wanted: bool = False,
    ) -> None:
        """Say that a model needs a look, `delay_seconds` from now.

        The last event decides when, but puts nothing off that was asked for at once, or by somebody else. In a storm
        of events, once the model was looked at, "at once" means when the storm is over, or goes on for too long.
        `wanted`: somebody asks for it by its name.
        """
        with self._changed:
            now = self._clock.monotonic()
            quiet_seconds = 0.0 if news is None else self._quiet_seconds(model, news, now)
            due = now + max(delay_seconds, quiet_seconds)
            entry = self._entries.setdefault(model, _Entry(why))
            if delay_seconds == 0:
                entry.latest = min(entry.latest, now + (PATIENCE_SECONDS if quiet_seconds else 0.0))
            if entry.failures:
                # A storm of events must not turn a failing model into a hot loop.
                entry.due = min(entry.due, max(due, now + _LEAST_SECONDS_BETWEEN_FAILURES))
            else:
                entry.due = min(entry.latest, due if news is not None else min(entry.due, due))
            entry.wanted = entry.wanted or wanted
            if news is not None:
                entry.event_at = _earliest(entry.event_at, news.at)
                entry.received_at = _earliest(entry.received_at, self._clock.now())
                entry.heard_at = now
                entry.kinds.add(news.commit)
                if news.commit and model in self._running:
                    self._running[model].new_commit.set()
            if claim is not None:
                entry.claims.append(claim)
            self._push(model)

    def _quiet_seconds(self, model: ModelId, news: News, now: float) -> float:
        running = self._running.get(model)
        looking = running is not None and news.commit in running.kinds
        return self._churn.quiet_seconds(model, news.commit, now, running=looking, crowded=news.crowded)

    def take(self, beat: Beat) -> Work | None:
        """Wait for a model that is due and take it, beating meanwhile; None once the queue is closed."""
        with self._changed:
            while not self._closed:
                model, wait_seconds = self._next()
                if model is not None:
                    return self._hand_out(model)
                self._clock.wait_for(self._changed, min(wait_seconds, _BEAT_SECONDS))
                beat()
        return None

    def _hand_out(self, model: ModelId) -> Work:
        entry = self._entries.pop(model)
        work = Work(
            model,
            uuid.uuid4().hex[:12],
            entry.why,
            entry.event_at,
            entry.failures,
            entry.claims,
            entry.received_at,
            entry.heard_at,
            wanted=entry.wanted,
            kinds=entry.kinds,
        )
        self._running[model] = work
        return work

    def done(self, work: Work, outcome: Outcome, *, retry_seconds: float | None = None) -> None:
        """Hand a model back: for good, or to be taken again after `retry_seconds`.

        Whoever claims a model that waits or fails is told at its end. What another worker is at is
        taken again too, but its claims are told at once: a message goes back to the queue meanwhile.
        """
        final = retry_seconds is None or outcome not in {Outcome.WAITING, Outcome.ERROR}
        claims = [claim for claim in work.claims if claim.tried(work.model, outcome, final=final)]
        with self._changed:
            work.claims = [] if final else claims
            self._running.pop(work.model, None)
            self._looked(work, outcome)
            if retry_seconds is not None:
                self._again(work, outcome, retry_seconds)
            if work.model in self._entries:
                self._push(work.model)
            self._changed.notify_all()

    def _looked(self, work: Work, outcome: Outcome) -> None:
        if outcome not in _LOOKED:
            return
        marked, now = self._entries.get(work.model), self._clock.monotonic()
        for kind in work.kinds:
            came = marked is not None and kind in marked.kinds
            self._churn.looked(work.model, kind, now, again=came or outcome in _IN_VAIN)

    def park(self, work: Work) -> None:
        """Hand a model back unfinished while the service ends: whoever claims it gets no answer."""
        with self._changed:
            self._running.pop(work.model, None)
            self._changed.notify_all()

    def _again(self, work: Work, outcome: Outcome, retry_seconds: float) -> None:
        now = self._clock.monotonic()
        entry = self._entries.get(work.model) or _Entry(work.why, now + retry_seconds)
        entry.claims = work.claims + entry.claims
        if outcome is not Outcome.NOOP:  # else its events are settled
            entry.event_at = _earliest(work.event_at, entry.event_at)
            entry.received_at = _earliest(work.received_at, entry.received_at)
        entry.heard_at = max(work.heard_at, entry.heard_at)
        entry.wanted = work.wanted or entry.wanted
        entry.kinds |= work.kinds if outcome in {Outcome.WAITING, Outcome.ERROR} else set()
        entry.failures = 0
        if outcome is Outcome.ERROR:
            entry.failures = work.failures + 1
            entry.due = max(entry.due, now + min(retry_seconds, _LEAST_SECONDS_BETWEEN_FAILURES))
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
        if len(self._heap) > 2 * len(self._entries) + _SPARE:
            # Mostly out of date: a model that is to be looked at in a month can be marked often until then.
            self._heap = [(entry.due, next(self._order), name) for name, entry in self._entries.items()]
            heapq.heapify(self._heap)
        else:
            heapq.heappush(self._heap, (self._entries[model].due, next(self._order), model))
        self._changed.notify()

    def close(self) -> frozenset[ModelId]:
        """Stop handing out models; return those that are being synced."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            return frozenset(self._running)

    def drain(self, deadline: float) -> bool:
        """Stop handing out models and wait until none is being synced; return whether that came true.

        Args:
            deadline: on the clock's monotonic scale.
        """
        self.close()
        with self._changed:
            while self._running and (left := deadline - self._clock.monotonic()) > 0:
                self._clock.wait_for(self._changed, left)
            return not self._running


def _earliest(one: float | None, other: float | None) -> float | None:
    times = [time for time in (one, other) if time is not None]
    return min(times, default=None)
