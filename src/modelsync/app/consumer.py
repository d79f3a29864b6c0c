"""One queue: messages in, dirty models out, and each message kept until its models are settled."""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from modelsync.app.dirty import DirtyModels, News
from modelsync.app.progress import Beat
from modelsync.core.backoff import backoff_seconds
from modelsync.core.events import ObjectEvent, Unparsable, parse_events
from modelsync.core.facts import EventHandled, HealthChanged, KeyRefused, MessageUnparsable, Outcome, QueueReceiveFailed
from modelsync.core.health import Status, queue_check
from modelsync.core.names import Located, ModelId, Naming, Refused, locate
from modelsync.errors import QueueMissing, QueueUnavailable
from modelsync.ports import Clock, Message, Observer, Queue

_BATCH = 10
_BACKOFF_BASE_SECONDS = 1.0
_BACKOFF_CAP_SECONDS = 60.0
_BUSY_SECONDS = 3.0
_UNPARSABLE_SECONDS = 30.0
_RETURN_CAP_SECONDS = 900.0
_KEEPER_SECONDS = 1.0


@dataclass(frozen=True)
class ConsumerOptions:
    """How a queue is read.

    Attributes:
        bucket: events of other buckets are none of ours.
        naming: which keys are which models.
        settle_seconds: how long to wait after a model's last event, if it has no commit file.
        most_waiting: models that messages told of and nobody has looked at since; above it, none is received. Many
            messages about one model are one piece of work.
        most_held: messages in hand in all, those of models that fail or wait for more files included.
    """

    bucket: str
    naming: Naming
    settle_seconds: float
    most_waiting: int = 1000
    most_held: int = 10_000


class Delivery:
    """One message in hand. It is a claim on each model that its events speak of."""

    def __init__(
        self, message: Message, looked_at: Callable[[ModelId], None], settled: Callable[[Delivery], None]
    ) -> None:
        self.message = message
        self.outcome = Outcome.NOOP
        self._looked_at = looked_at
        self._settled = settled
        self._models: set[ModelId] = set()
        self._lock = threading.Lock()

    def expect(self, models: set[ModelId]) -> None:
        """Say which models must be settled before the message may go."""
        self._models = set(models)

    def tried(self, model: ModelId, outcome: Outcome, *, final: bool) -> None:
        """Take note of a sync of one of the models."""
        self._looked_at(model)
        if not final:
            return
        with self._lock:
            self._models.discard(model)
            if outcome is Outcome.BUSY or self.outcome is not Outcome.BUSY:
                self.outcome = outcome
            done = not self._models
        if done:
            self._settled(self)


class Consumer:
    """Receives in one thread (`receive`); keeps and settles messages in another (`keep`)."""

    def __init__(
        self, queue: Queue, dirty: DirtyModels, *, clock: Clock, observe: Observer, options: ConsumerOptions
    ) -> None:
        self._queue = queue
        self._dirty = dirty
        self._clock = clock
        self._observe = observe
        self._options = options
        self._changed = threading.Condition()
        self._held: dict[str, Delivery] = {}
        self._settled: list[Delivery] = []
        self._waiting: set[ModelId] = set()
        self._heartbeat_due = 0.0
        self._unreadable_until = float("-inf")
        self._calls = threading.Lock()

    @property
    def name(self) -> str:
        """The queue's name."""
        return self._queue.name

    # Receiving

    def receive(self, stop: threading.Event, beat: Beat) -> None:
        """Receive until `stop`; a failure is reported, and tried again with backoff."""
        failures = 0
        while not stop.is_set():
            beat()
            if not self._room():
                self._clock.wait(stop, _KEEPER_SECONDS)
                continue
            try:
                messages = self._queue.receive(_BATCH)
            except (QueueUnavailable, QueueMissing) as error:
                failures += 1
                self._observe(QueueReceiveFailed(self.name, str(error)))
                self._health(Status.DEGRADED, str(error))
                self._clock.wait(stop, self._backoff(failures))
                continue
            failures = 0
            unreadable = self._clock.monotonic() < self._unreadable_until
            self._health(*queue_check("messages are received", redrives=self._queue.redrives, unreadable=unreadable))
            for message in messages:
                self._accept(message)

    def _room(self) -> bool:
        with self._changed:
            return len(self._waiting) < self._options.most_waiting and len(self._held) < self._options.most_held

    def _looked_at(self, model: ModelId) -> None:
        with self._changed:
            self._waiting.discard(model)

    @staticmethod
    def _backoff(failures: int) -> float:
        return backoff_seconds(
            failures,
            base_seconds=_BACKOFF_BASE_SECONDS,
            cap_seconds=_BACKOFF_CAP_SECONDS,
            jitter=random.random(),  # noqa: S311 - no secret
        )

    def _accept(self, message: Message) -> None:
        delivery = Delivery(replace(message, body=""), self._looked_at, self._settle)  # the body is not needed again
        with self._changed:
            if not self._held:
                self._heartbeat_due = self._clock.monotonic() + self._heartbeat_seconds
            self._held[message.receipt] = delivery
        events = parse_events(message.body)
        if isinstance(events, Unparsable):
            self._reject(message, events)
            return
        found: dict[ModelId, News] = {}
        for event in events:
            self._locate(event, found)
        delivery.expect(set(found))
        with self._changed:
            self._waiting |= found.keys()
        for model, news in found.items():
            self._dirty.mark(
                model,
                why=f"event from queue {self.name}",
                delay_seconds=0.0 if news.commit else self._options.settle_seconds,
                news=news,
                claim=delivery,
            )
        if not found:
            self._settle(delivery, ignored=True)

    def _locate(self, event: ObjectEvent, found: dict[ModelId, News]) -> None:
        if event.bucket != self._options.bucket:
            return
        match locate(event.key, self._options.naming):
            case Located(model=model, path=path):
                # The commit file comes last: nothing is gained by waiting longer.
                news = News(event.at, commit=path == self._options.naming.commit_file)
            case Refused(model=held, reason=reason):
                if held is None:
                    self._observe(KeyRefused(reason))
                    return
                model, news = held, News(event.at)
            case _:
                return
        found[model] = found[model].and_also(news) if model in found else news

    def _reject(self, message: Message, why: Unparsable) -> None:
        """Leave a message that nobody can read to the queue's redrive policy, without a hot loop."""
        digest = hashlib.sha256(message.body.encode(errors="surrogatepass")).hexdigest()[:16]
        self._observe(MessageUnparsable(self.name, why.reason, digest))
        self._observe(EventHandled(self.name, "unparsable"))
        # It comes back within this time, unless somebody removes it.
        self._unreadable_until = self._clock.monotonic() + _RETURN_CAP_SECONDS + self._queue.visibility_seconds
        with self._changed:
            self._held.pop(message.receipt, None)
        try:
            self._queue.hide([message], _growing(_UNPARSABLE_SECONDS, message))
        except (QueueUnavailable, QueueMissing) as error:
            self._health(Status.DEGRADED, str(error))

    # Keeping

    def keep(self, stop: threading.Event, beat: Beat) -> None:
        """Delete settled messages at once and extend the others at half their time-out, until `stop`."""
        while not stop.is_set():
            beat()
            with self._changed:
                if not self._settled:
                    self._clock.wait_for(self._changed, self._idle_seconds())
            with self._calls:
                self._flush()
                self._extend()

    def _idle_seconds(self) -> float:
        """How long nothing needs to be done, with the lock held."""
        if not self._held:
            return _KEEPER_SECONDS
        return min(_KEEPER_SECONDS, max(self._heartbeat_due - self._clock.monotonic(), 0.05))

    @property
    def _heartbeat_seconds(self) -> float:
        return self._queue.visibility_seconds / 2

    def _settle(self, delivery: Delivery, *, ignored: bool = False) -> None:
        outcome = "ignored" if ignored else _ENDINGS[delivery.outcome]
        self._observe(EventHandled(self.name, outcome))
        with self._changed:
            self._settled.append(delivery)
            self._changed.notify_all()

    def _flush(self) -> None:
        with self._changed:
            settled, self._settled = self._settled, []
        busy = [delivery.message for delivery in settled if delivery.outcome is Outcome.BUSY]
        done = [delivery.message for delivery in settled if delivery.outcome is not Outcome.BUSY]
        try:
            for message in busy:
                self._queue.hide([message], _growing(_BUSY_SECONDS, message))
            if done:
                self._queue.delete(done)
        except (QueueUnavailable, QueueMissing) as error:
            # They come again after their time-out and are found unchanged then.
            self._health(Status.DEGRADED, str(error))
        with self._changed:
            for delivery in settled:
                self._held.pop(delivery.message.receipt, None)

    def _extend(self) -> None:
        with self._changed:
            now = self._clock.monotonic()
            if now < self._heartbeat_due:
                return
            self._heartbeat_due = now + self._heartbeat_seconds
            messages = [delivery.message for delivery in self._held.values()]
        if not messages:
            return
        try:
            lost = self._queue.hide(messages, self._queue.visibility_seconds)
        except (QueueUnavailable, QueueMissing) as error:
            self._health(Status.DEGRADED, str(error))
            return
        with self._changed:
            for message in lost:
                self._held.pop(message.receipt, None)

    def release(self) -> None:
        """Return every message in hand to the queue at once, but those that are settled: they are deleted."""
        with self._calls:
            self._flush()
            with self._changed:
                messages = [delivery.message for delivery in self._held.values()]
                self._held.clear()
            for _ in messages:
                self._observe(EventHandled(self.name, "returned"))
            try:
                self._queue.hide(messages, 0)
            except (QueueUnavailable, QueueMissing) as error:
                self._health(Status.DEGRADED, str(error))

    def _health(self, status: Status, reason: str) -> None:
        self._observe(HealthChanged(f"queue:{self.name}", status, reason))


def _growing(base_seconds: float, message: Message) -> float:
    """How long to hide a message that goes back: longer each time, so that redrive is not reached in moments."""
    return min(_RETURN_CAP_SECONDS, base_seconds * 2.0 ** min(message.receive_count - 1, 10))


_ENDINGS = {
    Outcome.SUCCESS: "published",
    Outcome.NOOP: "noop",
    Outcome.REJECTED: "rejected",
    Outcome.BUSY: "returned",
    Outcome.WAITING: "returned",
    Outcome.ERROR: "returned",
}
