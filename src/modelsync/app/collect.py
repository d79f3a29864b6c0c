"""Removes revisions that nobody needs: over and over, and at once when a download needs their space."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby

from modelsync.app.failures import Failures
from modelsync.app.progress import Beat
from modelsync.core.facts import Fact, HealthChanged, LeasesSeen, ModelEvicted, Published, RevisionRemoved, Unpublished
from modelsync.core.health import Status
from modelsync.core.manifest import Current
from modelsync.core.names import ModelId
from modelsync.core.retention import (
    Holding,
    Holdings,
    Rank,
    RetentionRules,
    Verdict,
    Why,
    forgettable,
    make_room,
    retain,
)
from modelsync.core.space import SpaceRules, shortage
from modelsync.errors import ModelBusy, VolumeFailed
from modelsync.ports import Clock, Observer, Volume, Writer

_LEAST_PAUSE_SECONDS = 30.0
_SHARE = 200
"""Looking at everything takes at most one part in so many of the time: half a percent of a core."""
_BEAT_SECONDS = 1.0


@dataclass(frozen=True)
class CollectOptions:
    """What is kept, and what must stay free."""

    rules: RetentionRules
    space: SpaceRules


class Collector:
    """Thread-safe. A sink of facts too: they tell which revision is out of use, and so when to look."""

    wants_frequent = False

    def __init__(self, volume: Volume, clock: Clock, observe: Observer, options: CollectOptions) -> None:
        self._volume = volume
        self._clock = clock
        self._observe = observe
        self._options = options
        self._making_room = threading.Lock()
        self._lock = threading.Lock()
        self._due: dict[ModelId, float] = {}

    def __call__(self, fact: Fact, /) -> None:
        """Take a fact."""
        if isinstance(fact, Published | Unpublished):
            with self._lock:
                self._due[fact.model] = self._clock.monotonic() + self._options.rules.stale_seconds

    def judge(self, models: Iterable[ModelId]) -> list[Verdict]:
        """Say what becomes of each directory of these models.

        Raises:
            VolumeFailed: the volume cannot be read.
        """
        return [verdict for model in models for verdict in self._judge(self._volume.holdings(model))]

    def plan(self) -> tuple[list[Verdict], VolumeFailed | None]:
        """What `sweep` would do now, with all sizes, and what failed of the models that could not be looked at.

        Raises:
            VolumeFailed: the volume cannot be read.
        """
        failures = Failures()
        verdicts = self._judge_all(lambda: None, failures, lambda _: True)
        short = self._short()
        freed = sum(item.holding.size_bytes for item in verdicts if item.remove is not None)
        return make_room(verdicts, short - freed) if short > freed else verdicts, failures.summary()

    def collect(self, models: Iterable[ModelId], beat: Beat) -> list[Verdict]:
        """Remove what the rules say of these models; return what was looked at.

        Raises:
            VolumeFailed: the volume failed; of other models than those it names everything is done.
        """
        failures = Failures()
        verdicts = self._collect(models, beat, failures)
        failures.tell()
        return verdicts

    def make_room(self, bytes_short: int, beat: Beat) -> bool:
        """Remove least recently used revisions until so much is freed; tell whether anything was.

        Models of which the volume fails are passed over: `sweep` tells of them.

        Raises:
            VolumeFailed: the volume cannot be read.
        """
        return self._make_room(bytes_short, beat, Failures())

    def sweep(self, beat: Beat) -> list[Verdict]:
        """Collect everywhere, and make the room that the rules of space ask for.

        Raises:
            VolumeFailed: the volume failed; of other models than those it names everything is done.
        """
        failures = Failures()
        verdicts = self._collect(self._volume.models(), beat, failures)
        self._observe(LeasesSeen(Counter(item.holding.model for item in verdicts if item.holding.leased)))
        if (short := self._short()) > 0:
            self._make_room(short, beat, failures)
        failures.tell()
        return verdicts

    def run(self, stop: threading.Event, beat: Beat) -> None:
        """Sweep until `stop`; between sweeps look at models whose revisions went out of use."""
        while not stop.is_set():
            began = self._clock.monotonic()
            self._guarded(partial(self.sweep, beat))
            took = self._clock.monotonic() - began
            until = self._clock.monotonic() + max(_LEAST_PAUSE_SECONDS, took * _SHARE)
            while (left := until - self._clock.monotonic()) > 0:
                beat()
                if due := self._take_due():
                    self._guarded(partial(self.collect, due, beat))
                if self._clock.wait(stop, min(left, self._next_due(), _BEAT_SECONDS)):
                    return

    def _guarded(self, work: Callable[[], object]) -> None:
        try:
            work()
        except VolumeFailed as error:
            self._observe(HealthChanged("retention", Status.DEGRADED, str(error)))
        else:
            self._observe(HealthChanged("retention", Status.HEALTHY, "revisions out of use are removed"))

    def _take_due(self) -> list[ModelId]:
        now = self._clock.monotonic()
        with self._lock:
            due = [model for model, at in self._due.items() if at <= now]
            for model in due:
                del self._due[model]
            return due

    def _next_due(self) -> float:
        with self._lock:
            soonest = min(self._due.values(), default=float("inf"))
        return max(soonest - self._clock.monotonic(), 0.0)

    def _short(self) -> int:
        """Bytes that are missing to what must be free, or are used beyond the budget."""
        rules = self._options.space
        used_bytes = self._volume.used_bytes() if rules.budget_bytes else 0
        found = shortage(0, rules, free_bytes=self._volume.space().free_bytes, reserved_bytes=0, used_bytes=used_bytes)
        return found.bytes_short if found else 0

    def _judge(self, found: Holdings) -> list[Verdict]:
        return retain(found, self._options.rules, now=self._clock.now())

    def _judge_all(self, beat: Beat, failures: Failures, weigh: Callable[[Verdict], object]) -> list[Verdict]:
        """Judge all models; fill in size and last use where `weigh` asks for it: that takes longer."""
        verdicts: list[Verdict] = []
        for model in self._volume.models():
            beat()
            with failures.aside(model):
                verdicts += [
                    replace(item, holding=self._volume.weigh(item.holding)) if weigh(item) else item
                    for item in self.judge([model])
                ]
        return verdicts

    def _collect(self, models: Iterable[ModelId], beat: Beat, failures: Failures) -> list[Verdict]:
        verdicts: list[Verdict] = []
        for model in models:
            beat()
            with failures.aside(model):
                found = self._volume.holdings(model)
                judged = self._judge(found)
                going = [item for item in judged if item.remove is not None]
                if going or forgettable(found):
                    self._carry_out(model, going, failures)
                verdicts += judged
        return verdicts

    def _make_room(self, bytes_short: int, beat: Beat, failures: Failures) -> bool:
        while not self._making_room.acquire(timeout=_BEAT_SECONDS):
            beat()
        try:
            return self._free(bytes_short, beat, failures) > 0
        finally:
            self._making_room.release()

    def _free(self, bytes_short: int, beat: Beat, failures: Failures) -> int:
        """Have go what may go until so much is freed; return how much was."""
        freed = 0
        tried: set[tuple[ModelId, str]] = set()
        # More than one round: what two revisions share is freed with the second, and what did not go, since somebody
        # is at it or the disk fails, leaves the need to others.
        while freed < bytes_short:
            verdicts = [
                item
                for item in self._judge_all(beat, failures, lambda item: item.rank or item.leaving or item.remove)
                if item.leaving or (item.holding.model, item.holding.place) not in tried
            ]
            anyway = sum(item.holding.size_bytes for item in verdicts if item.remove)
            chosen = make_room(verdicts, bytes_short - freed - anyway)
            going = [item for item in chosen if item.remove is not None]
            if not going:
                break
            tried |= {(item.holding.model, item.holding.place) for item in going}
            for model, items in groupby(going, key=lambda item: item.holding.model):
                beat()
                freed += sum(held.size_bytes for held in self._carry_out(model, list(items), failures))
        return freed

    def _carry_out(self, model: ModelId, items: Sequence[Verdict], failures: Failures) -> list[Holding]:
        """Remove what is to go of a model, and its records with the last of it; return what is gone.

        A model that is being synced is left for the next time.
        """
        removed: list[Holding] = []
        with failures.aside(model), suppress(ModelBusy), self._volume.writer(model) as writer:
            for item in items:
                with failures.aside(model):
                    removed += self._remove(item, writer)
            if forgettable(self._volume.holdings(model)):
                writer.forget()
        return removed

    def _remove(self, item: Verdict, writer: Writer) -> list[Holding]:
        """Under the model's lock: only what may still go."""
        held = item.holding
        current, fresh = self._again(held)
        if item.remove is Why.SPACE and fresh.rank is Rank.CURRENT and current is not None:
            self._evict(current, item, writer)
            _, fresh = self._again(held)
        why = fresh.remove or (Why.SPACE if item.remove is Why.SPACE and fresh.rank else None)
        if why is None or not writer.remove(held):
            return []
        self._observe(RevisionRemoved(held.model, held.revision, why, item.reason, held.size_bytes))
        return [held]

    def _again(self, held: Holding) -> tuple[Current | None, Verdict]:
        """The model's record, and what becomes of a directory by now."""
        found = self._volume.holdings(held.model)
        gone = Verdict(held, "it is gone")
        same = (item for item in self._judge(found) if item.holding.place == held.place)
        return found.current, next(same, gone)

    def _evict(self, current: Current, item: Verdict, writer: Writer) -> None:
        """Withdraw what readers see; its files go when those who are at it had their time."""
        writer.unpublish(replace(current, unpublished_at=self._clock.now(), evicted=True))
        self._observe(ModelEvicted(current.model, current.revision, item.reason))
        with self._lock:
            self._due[current.model] = self._clock.monotonic() + self._options.rules.stale_seconds
