"""Waiting for revisions: by inotify, by polling, and never for ever."""

from __future__ import annotations

import logging
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from modelsync.client import BadModelName, Lease, Stopped, WaitTimedOut, Watch, wait_for, watch
from modelsync.core.names import Naming
from support.collector import collect_superseded, held
from support.damage import flip
from support.strace import prefix
from support.worker import until
from support.world import World

NEVER = 3600.0
"""Between two looks: what comes meanwhile was told by the kernel."""


def publish(world: World, number: int, model: str = "alice") -> str:
    """Publish a version; return the revision's directory."""
    world.upload(model, {"model.onnx": b"weights %d" % number})
    world.sync(model)
    return (world.base / model).resolve(strict=True).parent.name


class Consumer:
    """Takes what a watch yields, in a thread of its own, one for each call of `next`."""

    def __init__(self, revisions: Watch) -> None:
        self.seen: queue.Queue[Lease | None] = queue.Queue()
        self._asked: queue.Queue[bool] = queue.Queue()
        self._revisions = revisions
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while self._asked.get():
            self.seen.put(next(self._revisions, None))

    def ask(self) -> None:
        self._asked.put(True)

    def next(self) -> Lease | None:
        self.ask()
        return self.seen.get(timeout=30)

    def end(self) -> None:
        self._asked.put(False)
        self._thread.join(30)
        assert not self._thread.is_alive()


@contextmanager
def consumer(revisions: Watch) -> Iterator[Consumer]:
    """A consumer that is ended with its watch."""
    made = Consumer(revisions)
    try:
        yield made
    finally:
        revisions.close()
        made.end()


def test_a_watch_yields_the_current_revision_and_then_each_new_one(world: World) -> None:
    first = publish(world, 1)
    with consumer(watch("alice", world.base, poll_seconds=NEVER)) as application:
        assert (lease := application.next()) is not None
        assert lease.path.parent.name == first
        for number in (2, 3):
            application.ask()
            directory = publish(world, number)
            assert (lease := application.seen.get(timeout=30)) is not None
            assert lease.path.parent.name == directory
            assert (lease.path / "model.onnx").read_bytes() == b"weights %d" % number


def test_the_last_revision_is_held_until_the_next_one_is_in_use(world: World) -> None:
    publish(world, 1)
    with consumer(watch("alice", world.base, poll_seconds=NEVER)) as application:
        old = application.next()
        assert old is not None
        application.ask()
        publish(world, 2)
        new = application.seen.get(timeout=30)
        assert new is not None
        assert held(old.path.parent), "the application is just loading the new one"
        assert collect_superseded(world.base, "alice") == 0
        application.ask()
        until(lambda: old.closed, "the end of the old lease")
        assert held(new.path.parent)
        assert collect_superseded(world.base, "alice") == 1
    assert new.closed


def test_a_watch_begins_before_anything_is_there(world: World) -> None:
    deep = World(world.base, naming=Naming(depth=2))
    with consumer(watch("de/alice", world.base, poll_seconds=NEVER)) as application:
        application.ask()
        directory = publish(deep, 1, "de/alice")
        lease = application.seen.get(timeout=30)
        assert lease is not None
        assert lease.path.parent.name == directory
    deep.fetcher.close()


def test_a_repair_is_yielded_and_a_withdrawal_is_not(world: World) -> None:
    publish(world, 1)
    with consumer(watch("alice", world.base, poll_seconds=0.02)) as application:
        first = application.next()
        assert first is not None
        flip(first.path / "model.onnx")
        world.repair("alice")
        repaired = application.next()
        assert repaired is not None
        assert (repaired.revision, repaired.path == first.path) == (first.revision, False)
        application.ask()
        link = world.base / "alice"
        target = link.readlink()
        link.unlink()
        link.symlink_to(target)
        third = publish(world, 3)
        lease = application.seen.get(timeout=30)
        assert lease is not None
        assert lease.path.parent.name == third


FOLLOWS = """
import sys
from modelsync.client import watch
with watch("alice", sys.argv[1], poll_seconds=0.05) as revisions:
    for voice in revisions:
        print(voice.revision, flush=True)
"""


@pytest.mark.parametrize("fault", ["inotify_init1:error=EMFILE", "inotify_add_watch:error=ENOSPC"])
def test_without_inotify_the_volume_is_polled(world: World, fault: str) -> None:
    revisions = [publish(world, 1)]
    name = fault.partition(":")[0]
    record = world.base.parent / f"{world.base.name}.strace"
    follower = subprocess.Popen(
        [*prefix(record, name, "-e", f"inject={fault}"), sys.executable, "-c", FOLLOWS, str(world.base)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert follower.stdout is not None
        assert follower.stdout.readline().strip() == revisions[0]
        for number in (2, 3):
            revisions.append(publish(world, number))
            assert follower.stdout.readline().strip() == revisions[-1]
    finally:
        follower.kill()
        follower.communicate(timeout=30)
    assert "(INJECTED)" in record.read_text()


def test_many_publications_in_a_row_end_at_the_last_one(world: World) -> None:
    publish(world, 0)
    stop = threading.Event()
    seen: list[bytes] = []
    with watch("alice", world.base, stop=stop, poll_seconds=NEVER) as revisions:

        def follow() -> None:
            seen.extend((voice.path / "model.onnx").read_bytes() for voice in revisions)

        follower = threading.Thread(target=follow)
        follower.start()
        for number in range(1, 40):
            publish(world, number)
            collect_superseded(world.base, "alice")
        until(lambda: seen and seen[-1] == b"weights 39", "the last revision")
        stop.set()
        follower.join(30)
    numbers = [int(content.split()[1]) for content in seen]
    assert numbers == sorted(set(numbers)), "each at most once, in order"


def test_close_ends_a_watch_that_waits_in_another_thread(world: World) -> None:
    lease: Lease | None = None
    revisions = watch("alice", world.base, poll_seconds=NEVER)
    with consumer(revisions) as application:
        publish(world, 1)
        lease = application.next()
        assert lease is not None
        application.ask()
        closers = [threading.Thread(target=revisions.close) for _ in range(4)]
        for closer in closers:
            closer.start()
        for closer in closers:
            closer.join(30)
        assert application.seen.get(timeout=30) is None
    assert lease.closed
    assert next(revisions, None) is None


def test_stop_ends_the_iteration_and_leaves_the_lease_to_close(world: World) -> None:
    publish(world, 1)
    stop = threading.Event()
    with watch("alice", world.base, stop=stop, poll_seconds=NEVER) as revisions, consumer(revisions) as application:
        lease = application.next()
        assert lease is not None
        application.ask()
        stop.set()
        assert application.seen.get(timeout=30) is None
        assert not lease.closed
    assert lease.closed


def test_a_volume_that_fails_is_told_once_and_does_not_end_a_watch(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    publish(world, 1)
    link = world.base / "alice"
    target = link.readlink()
    caplog.set_level(logging.WARNING, "modelsync.client")
    with consumer(watch("alice", world.base, poll_seconds=0.01)) as application:
        assert application.next() is not None
        application.ask()
        link.unlink()
        until(lambda: caplog.messages, "a line in the log")
        (world.base / "wakes the watch").mkdir()
        link.symlink_to(target)
        publish(world, 2)
        assert application.seen.get(timeout=30) is not None
    assert len(caplog.messages) == 1
    assert "alice is not published (yet)" in caplog.messages[0]
    assert "looks again every 0.01 s" in caplog.messages[0]


def test_a_watch_of_a_name_that_no_model_can_have_is_refused(world: World) -> None:
    with pytest.raises(BadModelName):
        watch("..", world.base)


@pytest.mark.parametrize("poll_seconds", [NEVER, 0.05])
def test_wait_for_returns_a_lease_once_the_model_is_published(world: World, poll_seconds: float) -> None:
    found: list[Lease] = []
    waiter = threading.Thread(
        target=lambda: found.append(wait_for("alice", world.base, timeout=60, poll_seconds=poll_seconds))
    )
    waiter.start()
    directory = publish(world, 1)
    waiter.join(60)
    with found[0] as voice:
        assert voice.parent.name == directory


def test_wait_for_ends_in_time_with_the_reason(world: World) -> None:
    began = time.monotonic()
    with pytest.raises(WaitTimedOut, match=r"waited in vain: alice is not published \(yet\).*absent: no revision"):
        wait_for("alice", world.base, timeout=0.2)
    assert 0.2 <= time.monotonic() - began < 10


def test_wait_for_says_why_the_newest_version_was_refused(world: World) -> None:
    world.bucket.put("alice/../x.onnx", b"x")
    world.upload("alice", {"model.onnx": b"weights"})
    world.sync("alice")
    with pytest.raises(WaitTimedOut, match=r"rejected: .*'\.\.' segment"):
        wait_for("alice", world.base, timeout=0)


def test_wait_for_says_that_a_model_was_withdrawn(world: World) -> None:
    publish(world, 1)
    publish(world, 1, "bob")
    publish(world, 1, "carol")
    publish(world, 1, "dave")
    world.remove("alice")
    world.sync("alice")
    world.clock.advance(4000)
    world.sync("alice")
    with pytest.raises(WaitTimedOut, match="it left the bucket, and its link was withdrawn at"):
        wait_for("alice", world.base, timeout=0)


def test_wait_for_can_be_stopped(world: World) -> None:
    stop = threading.Event()
    threading.Timer(0.1, stop.set).start()
    with pytest.raises(Stopped, match="no longer waits for alice"):
        wait_for("alice", world.base, stop=stop)
