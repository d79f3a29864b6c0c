"""One queue: messages in, dirty models out, and each message kept until its models are settled."""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TypeVar

from modelsync.app.dirty import DirtyModels, News
from modelsync.app.progress import Beat
from modelsync.app.queue_health import Call, QueueHealth
from modelsync.core.backoff import backoff_seconds
from modelsync.core.events import ObjectEvent, Unparsable, parse_events
from modelsync.core.facts import EventHandled, KeyRefused, MessageUnparsable, Outcome, QueueReceiveFailed
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
_CHECK_SECONDS = 300.0
_CHECK_AGAIN_SECONDS = 60.0
_PATIENCE_CALLS = 3
Answer = TypeVar("Answer")
_NOBODY: AbstractSet[ModelId] = frozenset()


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
    """One message in hand. It is a claim on each model that its events speak of.

    Attributes:
        message: without its body.
        outcome: what became of its models.
        hidden_until: when others can receive it, on the clock's monotonic scale, unless it is extended.
        lost: others can.
    """

    def __init__(
        self,
        message: Message,
        hidden_until: float,
        looked_at: Callable[[ModelId], None],
        settled: Callable[[Delivery], None],
    ) -> None:
        self.message = message
        self.outcome = Outcome.NOOP
        self.hidden_until = hidden_until
        self.lost = False
        self._looked_at = looked_at
        self._settled = settled
        self._models: set[ModelId] = set()
        self._lock = threading.Lock()

    def expect(self, models: set[ModelId]) -> None:
        """Say which models must be settled before the message may go."""
        self._models = set(models)

    def waits_for(self, models: AbstractSet[ModelId]) -> bool:
        """Whether one of these must be settled yet."""
        with self._lock:
            return not self._models.isdisjoint(models)

    def tried(self, model: ModelId, outcome: Outcome, *, final: bool) -> bool:
        """Take note of a sync of one of the models; one that is lost comes again, with a claim of its own."""
        self._looked_at(model)
        if not final:
            return not self.lost
        with self._lock:
            self._models.discard(model)
            if outcome is Outcome.BUSY or self.outcome is not Outcome.BUSY:
                self.outcome = outcome
            done = not self._models
        if done:
            self._settled(self)
        return False


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
        self._health = QueueHealth(queue, clock, observe, memory_seconds=_RETURN_CAP_SECONDS)
        self._changed = threading.Condition()
        self._held: dict[str, Delivery] = {}
        self._settled: list[Delivery] = []
        self._waiting: set[ModelId] = set()
        self._heartbeat_due = float("inf")
        self._check_due = clock.monotonic() + (_CHECK_AGAIN_SECONDS if queue.redrives is None else _CHECK_SECONDS)
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
                self._health.failed("receive", str(error))
                self._clock.wait(stop, self._backoff(failures))
                continue
            if failures:
                failures, self._check_due = 0, float("-inf")  # what was asked for in vain can be had now
            self._health.worked("receive")
            for message in messages:
                self._accept(message, crowded=len(messages) == _BATCH)

    def _room(self) -> bool:
        """Whether more can be worked on, and kept from others meanwhile."""
        with self._changed:
            behind = (
                bool(self._held) and self._clock.monotonic() > self._heartbeat_due + self._queue.visibility_seconds / 4
            )
            few = len(self._waiting) < self._options.most_waiting and len(self._held) < self._options.most_held
            return few and not behind

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

    def _accept(self, message: Message, *, crowded: bool) -> None:
        events = parse_events(message.body)
        if isinstance(events, Unparsable):
            self._mark(self._locate_all(events.events, crowded), None)
            self._reject(message, events)
            return
        hidden_until = self._clock.monotonic() + self._queue.visibility_seconds
        # The body is not needed again.
        delivery = Delivery(replace(message, body=""), hidden_until, self._looked_at, self._settle)
        found = self._locate_all(events, crowded)
        delivery.expect(set(found))
        with self._changed:
            due = self._heartbeat_due if self._held else float("inf")
            self._heartbeat_due = min(due, self._half_time(delivery))
            self._held[message.receipt] = delivery
            self._waiting |= found.keys()
        self._mark(found, delivery)
        if not found:
            self._settle(delivery, ignored=True)

    def _mark(self, found: dict[ModelId, News], claim: Delivery | None) -> None:
        for model, news in found.items():
            self._dirty.mark(
                model,
                why=f"event from queue {self.name}",
                delay_seconds=0.0 if news.commit else self._options.settle_seconds,
                news=news,
                claim=claim,
            )

    def _locate_all(self, events: Iterable[ObjectEvent], crowded: bool) -> dict[ModelId, News]:  # noqa: FBT001
        found: dict[ModelId, News] = {}
        for event in events:
            self._locate(event, found)
        return {model: replace(news, crowded=True) for model, news in found.items()} if crowded else found

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
        self._health.unreadable()
        self._hide([message], _growing(_UNPARSABLE_SECONDS, message), _nothing)

    # Keeping

    def keep(self, stop: threading.Event, beat: Beat) -> None:
        """Delete settled messages at once and extend the others at half their time-out, until `stop`."""
        while not stop.is_set():
            beat()
            with self._changed:
                if not self._settled:
                    self._clock.wait_for(self._changed, self._idle_seconds())
            with self._calls:
                self._flush(beat)
                self._extend(beat)
            self._check()

    def _idle_seconds(self) -> float:
        """How long nothing needs to be done, with the lock held."""
        return min(_KEEPER_SECONDS, max(self._heartbeat_due - self._clock.monotonic(), 0.05))

    def _half_time(self, delivery: Delivery) -> float:
        return delivery.hidden_until - self._queue.visibility_seconds / 2

    def _settle(self, delivery: Delivery, *, ignored: bool = False) -> None:
        outcome = "ignored" if ignored else _ENDINGS[delivery.outcome]
        self._observe(EventHandled(self.name, outcome))
        with self._changed:
            self._settled.append(delivery)
            self._changed.notify_all()

    def _flush(self, beat: Beat) -> None:
        """Delete what is settled and hide what another worker is at.

        Where that fails, they come again after their time-out and are found unchanged then.
        """
        with self._changed:
            settled, self._settled = self._settled, []
        back: dict[float, list[Message]] = {}
        for delivery in settled:
            if delivery.outcome is Outcome.BUSY:
                back.setdefault(_growing(_BUSY_SECONDS, delivery.message), []).append(delivery.message)
        for seconds, messages in back.items():
            self._hide(messages, seconds, beat)
        done = [delivery.message for delivery in settled if delivery.outcome is not Outcome.BUSY]
        for _ in self._call("delete", done, self._queue.delete, beat):
            pass
        with self._changed:
            for delivery in settled:
                self._held.pop(delivery.message.receipt, None)

    def _hide(self, messages: Sequence[Message], seconds: float, beat: Beat) -> None:
        for _ in self._call("hide", messages, lambda batch: self._queue.hide(batch, seconds), beat):
            pass

    def _call(
        self,
        call: Call,
        messages: Sequence[Message],
        make: Callable[[Sequence[Message]], Answer],
        beat: Beat,
    ) -> Iterator[tuple[Sequence[Message], Answer | None]]:
        """Make a call for each batch of messages, beating between; None for a batch that it failed for.

        It is given up once it failed some times in a row: others wait for this thread.
        """
        failures = 0
        for start in range(0, len(messages), _BATCH):
            batch = messages[start : start + _BATCH]
            try:
                answer = make(batch)
            except (QueueUnavailable, QueueMissing) as error:
                self._health.failed(call, str(error))
                failures += 1
                yield batch, None
                if failures == _PATIENCE_CALLS:
                    return
            else:
                failures = 0
                self._health.worked(call)
                yield batch, answer
            beat()

    def _extend(self, beat: Beat) -> None:
        """Hide those for longer whose time is half over, or soon; forget those whose time is over."""
        visibility_seconds = self._queue.visibility_seconds
        now = self._clock.monotonic()
        with self._changed:
            if now < self._heartbeat_due:
                return
            for delivery in [delivery for delivery in self._held.values() if delivery.hidden_until <= now]:
                self._lose(delivery)
            due = now + 0.6 * visibility_seconds
            found = [delivery for delivery in self._held.values() if delivery.hidden_until <= due]
        messages = [delivery.message for delivery in sorted(found, key=lambda delivery: delivery.hidden_until)]
        again = None
        asked = now
        for batch, lost in self._call(
            "hide", messages, lambda batch: self._queue.hide(batch, visibility_seconds), beat
        ):
            if lost is None:
                again = asked + min(1.0, visibility_seconds / 10)
            else:
                self._extended(batch, {message.receipt for message in lost}, asked + visibility_seconds)
            asked = self._clock.monotonic()
        with self._changed:
            next_due = min(map(self._half_time, self._held.values()), default=float("inf"))
            self._heartbeat_due = next_due if again is None else again

    def _extended(self, batch: Sequence[Message], lost: AbstractSet[str], hidden_until: float) -> None:
        with self._changed:
            for receipt in [message.receipt for message in batch if message.receipt in self._held]:
                if receipt in lost:
                    self._lose(self._held[receipt])
                else:
                    self._held[receipt].hidden_until = hidden_until

    def _lose(self, delivery: Delivery) -> None:
        """Forget a delivery that others may have by now, with the lock held."""
        delivery.lost = True
        del self._held[delivery.message.receipt]

    def _check(self) -> None:
        """Ask for the queue's settings now and then: an operator may change them."""
        now = self._clock.monotonic()
        if now < self._check_due:
            return
        self._check_due = now + _CHECK_AGAIN_SECONDS
        with suppress(QueueUnavailable, QueueMissing):  # `receive` tells what is wrong
            self._queue.check()
            self._check_due = now + _CHECK_SECONDS

    def release(self, working_on: AbstractSet[ModelId] = _NOBODY) -> None:
        """Return the messages in hand to the queue at once, but those that are settled: they are deleted.

        Those that wait for a model which is `working_on` are kept.
        """
        with self._calls:
            self._flush(_nothing)
            with self._changed:
                going = [delivery for delivery in self._held.values() if not delivery.waits_for(working_on)]
                for delivery in going:
                    del self._held[delivery.message.receipt]
            for _ in going:
                self._observe(EventHandled(self.name, "returned"))
            self._hide([delivery.message for delivery in going], 0, _nothing)


def _nothing() -> None:
    """No loop to say that it is alive."""


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
