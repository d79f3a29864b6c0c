"""Removes revisions that nobody needs: over and over, and at once when a download needs their space."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby

from modelsync.app.progress import Beat
from modelsync.core.facts import Fact, HealthChanged, LeasesSeen, ModelEvicted, Published, RevisionRemoved, Unpublished
from modelsync.core.health import Status
from modelsync.core.manifest import Current
from modelsync.core.names import ModelId
from modelsync.core.retention import Holding, Rank, RetentionRules, Verdict, Why, make_room, retain
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

    def judge(self, models: Iterable[ModelId], *, weigh: bool = False) -> list[Verdict]:
        """Say what becomes of each directory of these models; `weigh`: with sizes, which takes longer.

        Raises:
            VolumeFailed: the volume cannot be read.
        """
        found = [
            verdict
            for model in models
            for verdict in retain(self._volume.holdings(model), self._options.rules, now=self._clock.now())
        ]
        return [self._weighed(item) for item in found] if weigh else found

    def plan(self) -> list[Verdict]:
        """What `collect` would do now, with what the rules of space ask for, and all sizes.

        Raises:
            VolumeFailed: the volume cannot be read.
        """
        verdicts = self.judge(self._volume.models(), weigh=True)
        short = self._short()
        freed = sum(item.holding.size_bytes for item in verdicts if item.remove is not None)
        return make_room(verdicts, short - freed) if short > freed else verdicts

    def collect(self, models: Iterable[ModelId], beat: Beat) -> list[Verdict]:
        """Remove what the rules say of these models; return what was looked at.

        Raises:
            VolumeFailed: the volume failed.
        """
        verdicts = []
        for model in models:
            beat()
            found = self.judge([model])
            self._carry_out(found)
            verdicts += found
        return verdicts

    def make_room(self, bytes_short: int, beat: Beat) -> bool:
        """Remove least recently used revisions until so much is freed; tell whether anything was.

        Raises:
            VolumeFailed: the volume failed.
        """
        freed = 0
        with self._making_room:
            # More than one round: what two revisions share is freed with the second.
            while freed < bytes_short:
                beat()
                verdicts = [
                    self._weighed(item) if item.rank or item.leaving or item.remove else item
                    for item in self.judge(self._volume.models())
                ]
                anyway = sum(item.holding.size_bytes for item in verdicts if item.remove)
                removed = self._carry_out(make_room(verdicts, bytes_short - freed - anyway))
                freed += sum(held.size_bytes for held in removed)
                if not removed:
                    break
            return freed > 0

    def sweep(self, beat: Beat) -> list[Verdict]:
        """Collect everywhere, and make the room that the rules of space ask for.

        Raises:
            VolumeFailed: the volume failed.
        """
        verdicts = self.collect(self._volume.models(), beat)
        self._observe(LeasesSeen(Counter(item.holding.model for item in verdicts if item.holding.leased)))
        if (short := self._short()) > 0:
            self.make_room(short, beat)
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

    def _weighed(self, item: Verdict) -> Verdict:
        return replace(item, holding=self._volume.weigh(item.holding))

    def _carry_out(self, verdicts: Sequence[Verdict]) -> list[Holding]:
        """Remove what is to go; return what is gone. A model that is being synced is left for the next time."""
        removed: list[Holding] = []
        going = (item for item in verdicts if item.remove is not None)
        for model, items in groupby(going, key=lambda item: item.holding.model):
            try:
                with self._volume.writer(model) as writer:
                    removed += self._remove(model, list(items), writer)
            except ModelBusy:
                continue
        return removed

    def _remove(self, model: ModelId, items: Sequence[Verdict], writer: Writer) -> Iterator[Holding]:
        """Under the model's lock: only what may still go."""
        for item in items:
            held = item.holding
            current, fresh = self._again(held)
            if item.remove is Why.SPACE and fresh.rank is Rank.CURRENT and current is not None:
                self._evict(current, item, writer)
                _, fresh = self._again(held)
            why = fresh.remove or (Why.SPACE if item.remove is Why.SPACE and fresh.rank else None)
            if why is None or not writer.remove(held.name):
                continue
            self._observe(RevisionRemoved(model, held.revision, why, item.reason, held.size_bytes))
            yield held
        left = self._volume.holdings(model)
        if not left.directories and left.current and left.current.unpublished_at and not left.current.evicted:
            writer.forget()

    def _again(self, held: Holding) -> tuple[Current | None, Verdict]:
        """The model's record, and what becomes of a directory by now."""
        found = self._volume.holdings(held.model)
        verdicts = retain(found, self._options.rules, now=self._clock.now())
        gone = Verdict(held, "it is gone")
        return found.current, next((item for item in verdicts if item.holding.name == held.name), gone)

    def _evict(self, current: Current, item: Verdict, writer: Writer) -> None:
        """Withdraw what readers see; its files go when those who are at it had their time."""
        writer.unpublish(replace(current, unpublished_at=self._clock.now(), evicted=True))
        self._observe(ModelEvicted(current.model, current.revision, item.reason))
        with self._lock:
            self._due[current.model] = self._clock.monotonic() + self._options.rules.stale_seconds
