"""From a queue's messages to settled models, in virtual time."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

import pytest

from fakes.clock import VirtualClock
from fakes.queue import FakeQueue
from modelsync.app.consumer import Consumer, ConsumerOptions
from modelsync.app.dirty import DirtyModels, Work
from modelsync.core.facts import EventHandled, Fact, HealthChanged, KeyRefused, MessageUnparsable, Outcome
from modelsync.core.health import Status
from modelsync.core.names import Naming


class Scene:
    """A consumer on a fake queue; `receive` and `keep` run its loops for a moment."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.queue = FakeQueue(self.clock.now)
        self.dirty = DirtyModels(self.clock)
        self.facts: list[Fact] = []
        self.consumer = Consumer(
            self.queue,
            self.dirty,
            clock=self.clock,
            observe=self.facts.append,
            options=ConsumerOptions("b", Naming(prefix="v/"), settle_seconds=2.0, most_waiting=15),
        )

    def send(self, *keys: str, bucket: str = "b") -> None:
        records = [
            {"s3": {"bucket": {"name": bucket}, "object": {"key": key}}, "eventTime": "2026-11-23T16:56:19Z"}
            for key in keys
        ]
        self.queue.send(json.dumps({"Records": records}))

    def receive(self) -> None:
        """Receive until the queue is empty."""
        stop = threading.Event()
        self.queue.on_empty = stop.set
        self.consumer.receive(stop, lambda: None)

    def keep(self, rounds: int = 1) -> None:
        """Let the keeper go round."""
        stop = threading.Event()
        left = iter(range(rounds))

        def beat() -> None:
            if next(left, None) is None:
                stop.set()

        self.consumer.keep(stop, beat)

    def take(self) -> Work:
        work = self.dirty.take(lambda: None)
        assert work is not None
        return work

    def endings(self) -> list[str]:
        return [fact.outcome for fact in self.facts if isinstance(fact, EventHandled)]


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.mark.parametrize(
    ("outcome", "ending"),
    [(Outcome.SUCCESS, "published"), (Outcome.NOOP, "noop"), (Outcome.REJECTED, "rejected")],
)
def test_a_message_is_deleted_once_its_model_is_settled(scene: Scene, outcome: Outcome, ending: str) -> None:
    scene.send("v/alice/m.onnx")
    scene.receive()
    scene.keep()
    assert len(scene.queue.bodies) == 1, "nothing is settled yet"
    work = scene.take()
    assert work.event_at == 1795452979.0
    scene.dirty.done(work, outcome)
    scene.keep()
    assert scene.queue.bodies == []
    assert scene.endings() == [ending]


@pytest.mark.parametrize("outcome", [Outcome.ERROR, Outcome.WAITING])
def test_a_message_is_kept_while_its_model_fails_or_waits(scene: Scene, outcome: Outcome) -> None:
    scene.send("v/alice/m.onnx")
    scene.receive()
    for _ in range(5):
        scene.dirty.done(scene.take(), outcome, retry_seconds=10)
        scene.keep(20)
        assert scene.queue.hidden_seconds[0] > 0, "it stays hidden from others for as long as we have it"
    scene.dirty.done(scene.take(), Outcome.SUCCESS)
    scene.keep()
    assert scene.queue.bodies == []


def test_a_message_of_two_models_waits_for_both(scene: Scene) -> None:
    scene.send("v/alice/m.onnx", "v/bob/m.onnx", "v/alice/c.json")
    scene.receive()
    scene.dirty.done(scene.take(), Outcome.SUCCESS)
    scene.keep()
    assert len(scene.queue.bodies) == 1
    scene.dirty.done(scene.take(), Outcome.NOOP)
    scene.keep()
    assert scene.queue.bodies == []


def test_many_messages_of_one_model_are_one_sync(scene: Scene) -> None:
    for number in range(14):
        scene.send(f"v/alice/{number}.json")
    scene.receive()
    scene.dirty.done(scene.take(), Outcome.SUCCESS)
    scene.keep()
    assert scene.queue.bodies == []
    assert scene.endings() == ["published"] * 14


def test_a_model_that_another_replica_syncs_gives_its_message_back_for_a_moment(scene: Scene) -> None:
    scene.send("v/alice/m.onnx")
    scene.receive()
    scene.dirty.done(scene.take(), Outcome.BUSY)
    scene.keep()
    assert 0 < scene.queue.hidden_seconds[0] <= 3
    assert scene.endings() == ["returned"]


def test_messages_that_announce_nothing_of_ours_are_deleted(scene: Scene) -> None:
    scene.queue.send('{"Event": "s3:TestEvent"}')
    scene.send("v/alice/m.onnx", bucket="another")
    scene.send("v/alice/notes.pdf")
    scene.send("v/../evil.onnx")
    scene.receive()
    scene.keep()
    assert scene.queue.bodies == []
    assert scene.endings() == ["ignored"] * 4
    assert [type(fact) for fact in scene.facts if isinstance(fact, KeyRefused)] == [KeyRefused]


def test_a_message_that_nobody_can_read_is_left_to_the_redrive_policy(scene: Scene) -> None:
    scene.queue.send("secret nonsense")
    scene.receive()
    scene.keep(50)
    assert scene.queue.bodies == ["secret nonsense"]
    hidden = scene.queue.hidden_seconds[0]
    [fact] = [fact for fact in scene.facts if isinstance(fact, MessageUnparsable)]
    assert "secret" not in repr(fact)
    scene.clock.advance(hidden)
    scene.receive()
    assert scene.queue.hidden_seconds[0] == 60, "the second time it is hidden for longer"


def test_a_queue_without_redrive_policy_is_degraded_while_it_holds_what_nobody_can_read(scene: Scene) -> None:
    def health() -> tuple[Status, str]:
        scene.receive()
        told = [fact for fact in scene.facts if isinstance(fact, HealthChanged)][-1]
        return told.status, told.reason

    scene.queue.redrives = False
    status, reason = health()
    assert status is Status.HEALTHY
    assert "warning: the queue has no redrive policy" in reason
    scene.queue.send("nonsense")
    assert health()[0] is Status.DEGRADED
    for _ in range(20):
        scene.clock.advance(max(scene.queue.hidden_seconds))
        assert health()[0] is Status.DEGRADED, "it comes back and back"
    [message] = scene.queue._messages
    scene.queue._messages.remove(message)  # an operator took it out
    scene.clock.advance(931)
    assert health()[0] is Status.HEALTHY
    scene.queue.redrives = True
    scene.queue.send("nonsense")
    assert health() == (Status.HEALTHY, "messages are received")


def test_a_commit_file_is_not_waited_for_any_longer(scene: Scene) -> None:
    start = scene.clock.now()
    scene.send("v/alice/m.onnx")
    scene.send("v/alice/modelsync.json")
    scene.receive()
    scene.take()
    assert scene.clock.now() == start


def test_without_a_commit_file_the_last_event_must_be_old_enough(scene: Scene) -> None:
    scene.send("v/alice/m.onnx")
    scene.receive()
    scene.clock.advance(1.5)
    scene.send("v/alice/c.json")
    scene.receive()
    start = scene.clock.now()
    scene.take()
    assert scene.clock.now() - start == pytest.approx(2.0)


def test_messages_are_extended_at_half_their_time(scene: Scene) -> None:
    scene.send("v/alice/m.onnx")
    scene.receive()
    least = []
    for _ in range(100):
        scene.keep()
        least.append(scene.queue.hidden_seconds[0])
    assert min(least) >= 14, "never less than half of 30 s, less one round of the keeper"


def test_no_more_is_received_than_can_be_worked_on(scene: Scene) -> None:
    for number in range(40):
        scene.send(f"v/model-{number}/m.onnx")
    stop = threading.Event()
    waits = iter(range(3))

    def wait(_: threading.Event, seconds: float) -> bool:
        if next(waits, None) is None:
            stop.set()
        return stop.is_set()

    scene.clock.wait = wait  # type: ignore[method-assign]
    scene.consumer.receive(stop, lambda: None)
    assert sum(hidden > 0 for hidden in scene.queue.hidden_seconds) == 20, "two batches: the bound is 15"


def test_many_messages_of_few_models_are_received_at_once(scene: Scene) -> None:
    for number in range(200):
        scene.send(f"v/{number % 10}/m.onnx")
    scene.receive()
    scene.clock.advance(3)
    for _ in range(10):
        scene.dirty.done(scene.take(), Outcome.NOOP)
    scene.keep()
    assert scene.queue.bodies == []


def test_waiting_models_do_not_keep_others_from_being_received(scene: Scene) -> None:
    """Else an upload of many files could never receive the event of its commit file."""
    for number in range(20):
        scene.send(f"v/alice/{number}.json")
    scene.send("v/alice/modelsync.json")
    stop = threading.Event()
    scene.queue.on_empty = stop.set

    def work(_: threading.Event, seconds: float) -> bool:
        scene.clock.advance(seconds)
        scene.dirty.done(scene.take(), Outcome.WAITING, retry_seconds=30)
        return stop.is_set()

    scene.clock.wait = work  # type: ignore[method-assign]
    scene.consumer.receive(stop, lambda: None)
    assert all(hidden > 0 for hidden in scene.queue.hidden_seconds)


def outage(queue: FakeQueue) -> None:
    queue.outage = True


def missing(queue: FakeQueue) -> None:
    queue.missing = True


@pytest.mark.parametrize("fail", [outage, missing])
def test_a_queue_that_fails_is_told_and_tried_again(scene: Scene, fail: Callable[[FakeQueue], None]) -> None:
    fail(scene.queue)
    stop = threading.Event()
    waits: list[float] = []

    def wait(_: threading.Event, seconds: float) -> bool:
        waits.append(seconds)
        if len(waits) == 6:
            scene.queue.outage = scene.queue.missing = False
            scene.queue.on_empty = stop.set
        return False

    scene.clock.wait = wait  # type: ignore[method-assign]
    scene.consumer.receive(stop, lambda: None)
    assert len(waits) == 6
    assert 0.25 <= waits[0] <= 1
    assert 8 <= waits[5] <= 32, "backing off"
    statuses = [fact.status for fact in scene.facts if isinstance(fact, HealthChanged)]
    assert statuses == [Status.DEGRADED] * 6 + [Status.HEALTHY]


def test_a_failed_delete_loses_nothing(scene: Scene) -> None:
    scene.send("v/alice/m.onnx")
    scene.receive()
    scene.dirty.done(scene.take(), Outcome.SUCCESS)
    scene.queue.outage = True
    scene.keep()
    assert len(scene.queue.bodies) == 1, "it comes again and is found unchanged then"


def test_a_delivery_that_another_worker_owns_is_dropped(scene: Scene) -> None:
    scene.send("v/alice/m.onnx")
    scene.receive()
    scene.clock.advance(31)
    [stolen] = scene.queue.receive(1)
    scene.keep(2)
    hidden = scene.queue.hidden_seconds[0]
    scene.keep(40)
    assert scene.queue.hidden_seconds[0] <= hidden - 30 or scene.queue.hidden_seconds[0] == 0
    assert stolen.body


def test_release_gives_everything_back_at_once(scene: Scene) -> None:
    scene.send("v/alice/m.onnx")
    scene.send("v/bob/m.onnx")
    scene.receive()
    scene.dirty.done(scene.take(), Outcome.SUCCESS)
    scene.consumer.release()
    assert len(scene.queue.bodies) == 1, "what was settled is deleted"
    assert scene.queue.hidden_seconds == [0.0]
    assert scene.endings() == ["published", "returned"]
