"""From a queue's messages to settled models, in virtual time."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence

import pytest

from fakes.clock import VirtualClock
from fakes.queue import FakeQueue
from modelsync.app.consumer import Consumer, ConsumerOptions
from modelsync.app.dirty import DirtyModels, Work
from modelsync.core.facts import EventHandled, Fact, HealthChanged, KeyRefused, MessageUnparsable, Outcome
from modelsync.core.health import Status
from modelsync.core.names import Naming
from modelsync.errors import QueueUnavailable
from modelsync.ports import Message


class Scene:
    """A consumer on a fake queue; `receive` and `keep` run its loops for a moment."""

    def __init__(self, settle_seconds: float = 2.0) -> None:
        self.clock = VirtualClock()
        self.queue = FakeQueue(self.clock.now)
        self.dirty = DirtyModels(self.clock)
        self.facts: list[Fact] = []
        self.beats = 0
        self.consumer = Consumer(
            self.queue,
            self.dirty,
            clock=self.clock,
            observe=self.facts.append,
            options=ConsumerOptions("b", Naming(prefix="v/"), settle_seconds, most_waiting=15),
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

    def receive_once(self) -> None:
        """Ask the queue once, if there is room."""
        stop = threading.Event()
        self.consumer.receive(stop, stop.set)

    def due(self) -> Work | None:
        """Take a model that is due now, if there is one."""
        with self.dirty._changed:
            model, _ = self.dirty._next()
            return None if model is None else self.dirty._hand_out(model)

    def keep(self, rounds: int = 1) -> None:
        """Let the keeper go round."""
        stop = threading.Event()
        left = iter(range(rounds))

        def beat() -> None:
            self.beats += 1
            if next(left, None) is None:
                stop.set()

        self.consumer.keep(stop, beat)

    def take(self) -> Work:
        work = self.dirty.take(lambda: None)
        assert work is not None
        return work

    def health(self) -> tuple[Status, str]:
        told = [fact for fact in self.facts if isinstance(fact, HealthChanged)][-1]
        return told.status, told.reason

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


def refused(call: str) -> Callable[..., None]:
    def refuse(*_: object) -> None:
        raise QueueUnavailable(f"AccessDenied: {call}")

    return refuse


@pytest.mark.parametrize("key", ["v/alice/modelsync.json", "v/alice/m.onnx"])
@pytest.mark.parametrize("settle_seconds", [0.0, 2.0])
def test_ten_thousand_messages_about_a_model_are_two_syncs_at_most(key: str, settle_seconds: float) -> None:
    """Each waits for a look that began after it was received: nothing is believed of what it says."""
    scene = Scene(settle_seconds=settle_seconds)
    syncs, sent = 0, iter(range(10_000))

    def receive(most: int) -> list[Message]:
        found = [str(number) for _, number in zip(range(most), sent, strict=False)]
        event = {"s3": {"bucket": {"name": "b"}, "object": {"key": key}}}
        return [Message(number, json.dumps({"Records": [event]})) for number in found]

    deleted: list[str] = []
    scene.queue.receive = receive  # type: ignore[method-assign]
    scene.queue.delete = lambda messages: deleted.extend(message.receipt for message in messages)  # type: ignore[method-assign]
    scene.queue.hide = lambda *_: []  # type: ignore[method-assign]
    for _ in range(2000):
        scene.clock.advance(0.004)
        scene.receive_once()
        if (work := scene.due()) is not None:
            syncs += 1
            scene.receive_once()  # some come while it is synced
            scene.dirty.done(work, Outcome.SUCCESS if syncs == 1 else Outcome.NOOP)
            scene.keep()
    assert len(deleted) == len(set(deleted)) == 10_000
    assert syncs <= 2


def test_messages_of_a_model_that_another_replica_syncs_are_hidden_ten_at_a_time(scene: Scene) -> None:
    for _ in range(200):
        scene.send("v/alice/m.onnx")
    scene.receive()
    scene.clock.advance(2)
    sizes: list[int] = []
    hide = scene.queue.hide
    scene.queue.hide = lambda batch, seconds: sizes.append(len(batch)) or hide(batch, seconds)  # type: ignore[method-assign, func-returns-value]
    scene.dirty.done(scene.take(), Outcome.BUSY)
    scene.keep()
    assert sizes == [10] * 20
    assert scene.beats >= 20, "it is alive all along"
    scene.beats = 0
    scene.clock.advance(4)
    scene.receive()
    sizes.clear()
    scene.keep(40)
    assert sizes
    assert set(sizes) == {10}, "heartbeats too"


def test_a_queue_that_cannot_delete_is_degraded_however_well_it_can_be_received_from(scene: Scene) -> None:
    scene.queue.delete = refused("delete")  # type: ignore[method-assign]
    scene.send("v/alice/m.onnx")
    for _ in range(10):
        scene.receive()
        scene.clock.advance(2)
        scene.dirty.done(scene.take(), Outcome.NOOP)
        scene.keep()
        scene.receive()
        assert scene.health() == (Status.DEGRADED, "AccessDenied: delete")
        scene.clock.advance(31)
    del scene.queue.delete
    scene.receive()
    scene.clock.advance(2)
    scene.dirty.done(scene.take(), Outcome.NOOP)
    scene.keep()
    assert scene.health() == (Status.HEALTHY, "messages are received")


def test_an_old_trouble_that_does_not_come_again_is_over(scene: Scene) -> None:
    hide, scene.queue.hide = scene.queue.hide, refused("hide")  # type: ignore[method-assign]
    scene.queue.send("nonsense")
    scene.receive()
    assert scene.health() == (Status.DEGRADED, "AccessDenied: hide")
    scene.queue.hide = hide  # type: ignore[method-assign]
    [message] = scene.queue._messages
    scene.queue._messages.remove(message)
    scene.clock.advance(929)
    scene.receive()
    assert scene.health()[0] is Status.DEGRADED
    scene.clock.advance(2)
    scene.receive()
    assert scene.health()[0] is Status.HEALTHY


def test_a_queue_that_cannot_hide_does_not_fill_the_worker_up(scene: Scene) -> None:
    """Each delivery whose time is over counts no more: the message comes again."""
    scene.queue.hide = refused("hide")  # type: ignore[method-assign]
    scene.send("v/alice/m.onnx")
    for _ in range(50):
        scene.receive()
        scene.dirty.done(scene.take(), Outcome.WAITING, retry_seconds=40)
        scene.keep(60)
        assert len(scene.consumer._held) <= 1
        assert scene.health()[0] is Status.DEGRADED
    assert len(scene.take().claims) <= 2, "nor do its claims"


def test_one_failed_heartbeat_loses_nothing(scene: Scene) -> None:
    for number in range(40):
        scene.send(f"v/alice/{number}.json")
    scene.receive()
    hide, calls = scene.queue.hide, iter(range(10_000))

    def fail_now_and_then(messages: Sequence[Message], seconds: float) -> Sequence[Message]:
        if next(calls) % 5 == 1:
            raise QueueUnavailable("once")
        return hide(messages, seconds)

    scene.queue.hide = fail_now_and_then  # type: ignore[method-assign]
    for _ in range(200):
        scene.keep()
        assert min(scene.queue.hidden_seconds) > 5
    assert len(scene.consumer._held) == 40


def test_an_outage_does_not_hold_the_keeper_for_each_message(scene: Scene) -> None:
    for number in range(200):
        scene.send(f"v/alice/{number}.json")
    scene.receive()
    calls: list[int] = []

    def fail(messages: Sequence[Message], _: float) -> Sequence[Message]:
        calls.append(len(messages))
        raise QueueUnavailable("outage")

    scene.queue.hide = fail  # type: ignore[method-assign]
    scene.clock.advance(16)
    scene.keep()
    assert len(calls) == 3


def test_no_more_is_received_than_can_be_kept(scene: Scene) -> None:
    scene.send("v/alice/m.onnx")
    scene.receive()
    scene.send("v/bob/m.onnx")
    scene.clock.advance(24)
    scene.receive_once()
    assert scene.queue.hidden_seconds[1] == 0, "the keeper is late"
    scene.keep()
    scene.receive_once()
    assert scene.queue.hidden_seconds[1] > 0


def test_untouched_messages_are_released_before_those_that_are_worked_on(scene: Scene) -> None:
    scene.send("v/alice/m.onnx")
    scene.send("v/alice/m.onnx", "v/bob/m.onnx")
    scene.send("v/bob/m.onnx")
    scene.receive()
    work = scene.take()
    assert scene.dirty.close() == {work.model} == {"alice"}
    scene.consumer.release(scene.dirty.close())
    assert scene.queue.hidden_seconds == [pytest.approx(28), pytest.approx(28), 0]
    scene.dirty.done(work, Outcome.SUCCESS)
    scene.consumer.release()
    assert scene.queue.hidden_seconds == [0, 0], "the first is deleted"


def test_a_queues_settings_are_asked_for_again(scene: Scene) -> None:
    checks = []
    scene.queue.check = lambda: checks.append(scene.clock.now())  # type: ignore[method-assign]
    start = scene.clock.now()
    scene.keep(1000)
    assert [round(at - start, -2) for at in checks] == [300, 600, 900]


@pytest.mark.parametrize("redrives", [None, True])
def test_settings_are_asked_for_once_the_queue_can_be_reached_again(scene: Scene, redrives: bool | None) -> None:  # noqa: FBT001
    scene.queue.redrives = redrives
    scene.queue.outage = True
    stop = threading.Event()

    def wait(_: threading.Event, seconds: float) -> bool:
        scene.queue.outage = False
        scene.queue.on_empty = stop.set
        return False

    def check() -> None:
        scene.queue.redrives = False

    scene.clock.wait = wait  # type: ignore[method-assign]
    scene.consumer.receive(stop, lambda: None)
    scene.queue.check = check  # type: ignore[method-assign]
    scene.keep()
    scene.receive()
    assert "warning: the queue has no redrive policy" in scene.health()[1]


def test_a_message_that_can_be_read_in_part_marks_what_it_tells_of_and_is_left_to_the_redrive_policy(
    scene: Scene,
) -> None:
    scene.send("v/alice/m.onnx")
    [body] = scene.queue.bodies
    scene.queue._messages.clear()
    scene.queue.send(json.dumps({"Records": [{"strange": 1}, *json.loads(body)["Records"], 3]}))
    scene.receive()
    work = scene.take()
    assert (work.model, work.claims) == ("alice", [])
    scene.dirty.done(work, Outcome.SUCCESS)
    scene.keep(20)
    assert len(scene.queue.bodies) == 1
    assert scene.endings() == ["unparsable"]
