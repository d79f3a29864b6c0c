"""Recent activity and the live stream of events: a sink of facts that keeps a bounded past in memory."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from modelsync.core import facts
from modelsync.core.facts import Fact
from modelsync.core.health import Status
from modelsync.core.live import Entry, Transfer, sync_event
from modelsync.core.names import ModelId
from modelsync.core.notices import Activity, Notice, Origin, activity_of, cloud_event, sighting
from modelsync.ports import Clock

_PROGRESS_SECONDS = 0.5


@dataclass(frozen=True)
class FeedOptions:
    """Bounds: how much is kept of activity, notices and the stream, and how many may read it."""

    kept: int = 1000
    subscribers: int = 100


class Feed:
    """Implements `ports.Observer` and `ports.live.Subscribe`. Thread-safe."""

    def __init__(self, clock: Clock, origin: Origin, options: FeedOptions | None = None) -> None:
        self._clock = clock
        self._origin = origin
        self._options = options or FeedOptions()
        self._lock = threading.Lock()
        self._epoch = f"{int(clock.now() * 1000):x}"  # another process's ids are not ours
        self._numbers = itertools.count(1)
        self._activity: deque[Activity] = deque(maxlen=self._options.kept)
        self._notices: deque[Entry] = deque(maxlen=self._options.kept)
        self._stream: deque[Entry] = deque(maxlen=self._options.kept)
        self._transfers: dict[ModelId, Transfer] = {}
        self._health: dict[str, Status] = {}
        self._subscriptions: set[_Subscription] = set()
        self._closed = False

    def __call__(self, fact: Fact, /) -> None:
        """Take a fact."""
        if isinstance(fact, facts.SyncFinished):
            with self._lock:  # before its end is told: whoever begins to read after that is not told of it any more
                self._transfers.pop(fact.model, None)
        if (activity := activity_of(fact, self._clock.now())) is not None:
            self._note(activity)
        if (event := sync_event(fact)) is not None:
            self._publish("sync", event)
        match fact:
            case facts.PublicationSeen():
                self.notice(sighting(fact))
            case facts.FetchStarted() as begun:
                transfer = Transfer(begun.model, begun.revision, begun.sync_id, begun.size_bytes)
                with self._lock:
                    self._transfers[begun.model] = transfer
                self._advance(begun.model, 0)
            case (
                facts.BytesFetched(model=model, count=count)
                | facts.BytesResumed(model=model, count=count)
                | facts.BytesReused(model=model, count=count)
            ):
                self._advance(model, count)
            case facts.HealthChanged(check, status, reason):
                self._tell_health(check, status, reason)
            case _:
                pass

    def notice(self, notice: Notice) -> None:
        """Send a notice to the stream, and keep it for those who come back."""
        self._publish(notice.happening, cloud_event(notice, self._origin), resumable=True)

    def activity(self, limit: int, model: str | None = None) -> list[Activity]:
        """The newest activity, newest first, of one model or of all."""
        with self._lock:
            chosen = (entry for entry in reversed(self._activity) if model is None or entry.model == model)
            return list(itertools.islice(chosen, limit))

    def subscribe(self, wake: Callable[[], None], last_id: str | None, /) -> _Subscription | None:
        """Begin to read the stream."""
        with self._lock:
            if self._closed or len(self._subscriptions) >= self._options.subscribers:
                return None
            missed = list(self._notices) if last_id is not None else []
            epoch, _, number = (last_id or "").partition("-")
            if epoch == self._epoch and number.isascii() and number.isdigit():
                missed = [entry for entry in missed if entry.number > int(number[:20])]
            newest = self._stream[-1].number if self._stream else 0
            missed += [Entry(newest, "progress", transfer.event()) for transfer in self._transfers.values()]
            subscription = _Subscription(self, wake, missed, newest)
            self._subscriptions.add(subscription)
            return subscription

    def close(self) -> None:
        """End the stream for all its readers."""
        with self._lock:
            self._closed = True
        self._wake()

    def take(self, after: int) -> list[Entry] | None:
        """All that came after an event; None if some of that is forgotten, or the stream has ended."""
        with self._lock:
            first = self._stream[0].number if self._stream else after + 1
            if self._closed or first > after + 1:
                return None
            return [entry for entry in self._stream if entry.number > after]

    def forget(self, subscription: _Subscription) -> None:
        """Let go of a reader."""
        with self._lock:
            self._subscriptions.discard(subscription)

    def _note(self, activity: Activity) -> None:
        """Keep an activity, unless it is what was last said of its model: failures repeat themselves."""
        with self._lock:
            before = next((entry for entry in reversed(self._activity) if entry.model == activity.model), None)
            if before is not None and replace(before, at=activity.at) == activity:
                return
            self._activity.append(activity)
            self._append("activity", asdict(activity))
        self._wake()

    def _publish(self, kind: str, data: Mapping[str, Any], *, resumable: bool = False) -> None:
        with self._lock:
            self._append(kind, data, resumable=resumable)
        self._wake()

    def _append(self, kind: str, data: Mapping[str, Any], *, resumable: bool = False) -> None:
        number = next(self._numbers)
        entry = Entry(number, kind, data, f"{self._epoch}-{number}" if resumable else None)
        self._stream.append(entry)
        if resumable:
            self._notices.append(entry)

    def _wake(self) -> None:
        with self._lock:
            wakes = [subscription.wake for subscription in self._subscriptions]
        for wake in wakes:
            wake()

    def _advance(self, model: ModelId, count: int) -> None:
        with self._lock:
            before = self._transfers.get(model)
            if before is None:
                return
            now = self._clock.monotonic()
            transfer = replace(before, have_bytes=before.have_bytes + count)
            due = transfer.complete or now - before.told_at >= _PROGRESS_SECONDS
            self._transfers[model] = replace(transfer, told_at=now) if due else transfer
            if due:  # under the lock: no progress is told after the end
                self._append("progress", transfer.event())
        if due:
            self._wake()

    def _tell_health(self, check: str, status: Status, reason: str) -> None:
        with self._lock:
            same = self._health.get(check) is status
            self._health[check] = status
        if not same:
            self._publish("health", {"check": check, "status": status.value, "reason": reason})


class _Subscription:
    """Implements `ports.live.Subscription`."""

    def __init__(self, feed: Feed, wake: Callable[[], None], missed: list[Entry], newest: int) -> None:
        self._feed = feed
        self._missed = missed
        self._newest = newest
        self.wake = wake

    def take(self) -> list[Entry] | None:
        """What has come since the last call."""
        missed, self._missed = self._missed, []
        if missed:
            return missed
        entries = self._feed.take(self._newest)
        if entries:
            self._newest = entries[-1].number
        return entries

    def close(self) -> None:
        """Let go of it."""
        self._feed.forget(self)
