"""What is waited for: a quiet bucket, uploads in progress, files that a commit lists; and what is not."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fakes.clock import VirtualClock
from fakes.queue import FakeQueue
from fakes.store import FakeStore
from modelsync.app.dirty import News, Work
from modelsync.app.result import SyncResult
from modelsync.core.deletions import DeletionRules
from modelsync.core.facts import Outcome, Published, SyncFinished
from modelsync.core.health import Status
from modelsync.core.names import ModelId
from modelsync.errors import ModelSyncError, StoreUnavailable
from support.replica import Replica
from support.world import World

V1 = {"model.onnx": b"weights 1", "config.json": b"{}"}
V2 = {"model.onnx": b"weights 2!", "config.json": b"{ }"}
SETTLE = 2.0


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, settle_seconds=SETTLE)
    yield made
    made.fetcher.close()


def settled(world: World, model: str = "alice") -> SyncResult:
    world.clock.advance(SETTLE)
    return world.sync(model)


# Uploads in progress


def test_an_upload_in_progress_holds_the_old_weights_and_the_new_config_back(world: World) -> None:
    world.upload("alice", V1)
    settled(world)
    world.bucket.begin_upload("alice/model.onnx")
    world.upload("alice", {"config.json": V2["config.json"]})
    for _ in range(3):
        result = settled(world)
        assert result.outcome is Outcome.WAITING
        assert "an upload of 'alice/model.onnx' is in progress since" in result.reason
        assert world.read("alice") == V1
    world.bucket.end_upload("alice/model.onnx")
    world.upload("alice", {"model.onnx": V2["model.onnx"]})
    assert settled(world).outcome is Outcome.SUCCESS
    assert world.read("alice") == V2
    assert len(world.told(Published)) == 2


def test_uploads_are_asked_for_once_when_a_download_is_about_to_begin(world: World) -> None:
    world.upload("alice", V1)
    assert world.sync("alice").outcome is Outcome.WAITING
    assert world.bucket.calls["uploads"] == 0, "the quiet time comes first"
    settled(world)
    assert world.bucket.calls["uploads"] == 1
    world.compare()
    settled(world)
    assert world.bucket.calls["uploads"] == 1, "nothing has changed"
    (world.base / "alice").unlink()
    assert settled(world).outcome is Outcome.SUCCESS
    assert world.bucket.calls["uploads"] == 1, "what is on the volume needs no download"
    world.upload("bob", V1)
    world.commit("bob", V1)
    assert world.sync("bob").outcome is Outcome.SUCCESS
    assert world.bucket.calls["uploads"] == 1, "a commit file says all there is to say"


def test_an_abandoned_upload_holds_nothing_back(tmp_path: Path) -> None:
    world = World(tmp_path, settle_seconds=SETTLE, stale_seconds=60)
    world.bucket.begin_upload("alice/model.onnx")
    world.clock.advance(61)
    world.upload("alice", V1)
    assert settled(world).outcome is Outcome.SUCCESS


def test_where_uploads_cannot_be_seen_the_quiet_time_alone_decides_and_that_is_told(world: World) -> None:
    world.bucket.hides_uploads = True
    world.bucket.begin_upload("alice/model.onnx")
    for model in ("alice", "bob"):
        world.upload(model, V1)
        assert settled(world, model).outcome is Outcome.SUCCESS
    assert world.bucket.calls["uploads"] == 1, "remembered for a while"
    check = world.board.checks()["uploads"]
    assert check.status is Status.HEALTHY, "a store may be like that"
    assert "published after SETTLE_SECONDS alone" in check.reason
    world.clock.advance(600)
    world.bucket.hides_uploads = False
    world.upload("alice", V2)
    assert settled(world).outcome is Outcome.WAITING
    assert world.board.checks()["uploads"].reason == "uploads in progress are seen"


def test_a_question_that_fails_is_asked_again_and_nothing_is_published_meanwhile(world: World) -> None:
    world.upload("alice", V1)
    world.store.plan("uploads", *[StoreUnavailable("S3 is down")] * 3)
    assert settled(world).outcome is Outcome.ERROR
    assert not (world.base / "alice").exists()
    assert settled(world).outcome is Outcome.SUCCESS


# The last event, and files that vanish


def test_the_last_event_must_be_old_enough_whatever_else_asks_for_a_sync(world: World) -> None:
    world.upload("alice", V1)
    world.clock.advance(60)
    world.dirty.mark(ModelId("alice"), why="event", delay_seconds=SETTLE, news=News())
    world.dirty.mark(ModelId("alice"), why="reconcile")
    work = world.dirty.take(lambda: None)
    assert work is not None
    result = world.sync_models.sync(work, stop=world.stop, beat=lambda: None)
    assert result.outcome is Outcome.WAITING
    assert "the last event is 0.0 s old: settling" in result.reason
    world.dirty.done(work, result.outcome, retry_seconds=result.wait_seconds)
    again = world.dirty.take(lambda: None)
    assert again is not None
    assert world.sync_models.sync(again, stop=world.stop, beat=lambda: None).outcome is Outcome.SUCCESS


def test_a_voice_that_is_being_deleted_file_by_file_is_not_published_in_part(world: World) -> None:
    world.upload("bob", V1)
    world.upload("alice", V1)
    settled(world, "bob")
    world.sync("alice")
    world.clock.advance(3600)
    world.bucket.remove("alice/config.json")
    result = world.sync("alice")
    assert (result.outcome, result.wait_seconds) == (Outcome.WAITING, SETTLE)
    assert "config.json left the bucket: settling" in result.reason
    world.clock.advance(SETTLE / 2)
    assert world.sync("alice").outcome is Outcome.WAITING
    world.bucket.remove("alice/model.onnx")
    assert "left the bucket" in settled(world).reason
    assert world.read("alice") == V1, "within its grace"


def test_a_file_that_was_meant_to_go_goes_after_the_quiet_time(world: World) -> None:
    world.upload("alice", V1)
    settled(world)
    world.bucket.remove("alice/config.json")
    assert world.sync("alice").outcome is Outcome.WAITING
    assert settled(world).outcome is Outcome.SUCCESS
    assert world.read("alice") == {"model.onnx": V1["model.onnx"]}


# Commits that stay incomplete


def test_a_commit_that_waits_too_long_degrades_health_with_what_is_missing(world: World) -> None:
    files = V1 | {f"{n}.json": b"{}" for n in range(7)}
    world.upload("alice", {"model.onnx": V1["model.onnx"]})
    world.commit("alice", files)
    assert world.sync("alice").outcome is Outcome.WAITING
    assert world.board.models()[ModelId("alice")].reason == "1 of 9 files are there: config.json is not there"
    world.clock.advance(3600)
    assert not world.sync("alice").overdue
    assert world.board.checks()["sync"].status is Status.HEALTHY
    world.clock.advance(1)
    restarted = World(world.base, store=world.bucket)
    restarted.clock.advance(3605)
    for one in (world, restarted):
        assert one.sync("alice").overdue
        check = one.board.checks()["sync"]
        assert check.status is Status.DEGRADED
        assert check.reason.startswith("alice: incomplete for more than 3600 s: 1 of 9 files are there")
        assert "missing: 0.json, 1.json, 2.json, 3.json, 4.json and 3 more; upload them" in check.reason
    world.upload("alice", files)
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.board.checks()["sync"].status is Status.HEALTHY


def test_a_next_commit_that_never_comes_is_told_too(world: World) -> None:
    world.upload("alice", V1)
    world.commit("alice", V1)
    world.sync("alice")
    world.clock.advance(10)
    world.upload("alice", {"model.onnx": b"weights 9"})
    assert not world.sync("alice").overdue
    world.clock.advance(3601)
    result = world.sync("alice")
    assert (result.outcome, result.overdue) == (Outcome.WAITING, True)
    assert "newer than the commit file" in result.reason
    assert "missing: model.onnx" in result.reason
    assert world.read("alice") == V1


# A new commit while the old one downloads

LARGE = {"model.onnx": os.urandom(1 << 20) * 70, "config.json": b"{}"}  # five parts


@pytest.fixture
def downloading(tmp_path: Path) -> World:
    """A world whose first commit is about to be downloaded, over one connection."""
    world = World(tmp_path, concurrency=1)
    world.upload("alice", LARGE)
    world.commit("alice", LARGE)
    return world


def sync_with_news(world: World, news: Callable[[], None]) -> SyncResult:
    """Sync; in the middle of the first large part something happens, and an event tells of the commit file."""
    work = Work(ModelId("alice"), "s", "test", None, 0, [])

    def hear() -> None:
        news()
        work.new_commit.set()

    world.store.plan("get", None, None, hear)
    return world.sync_models.sync(work, stop=world.stop, beat=lambda: None)


def test_a_new_commit_supersedes_the_download_of_the_old_one(downloading: World) -> None:
    world = downloading

    def commit_again() -> None:
        world.upload("alice", {"other.onnx": b"small"})
        world.commit("alice", {"other.onnx": b"small", "config.json": LARGE["config.json"]})

    assert sync_with_news(world, commit_again).outcome is Outcome.SUCCESS
    assert world.read("alice") == {"other.onnx": b"small", "config.json": b"{}"}
    assert len(world.told(Published)) == 1
    assert world.bucket.calls["get"] <= 7, "commit, config, a part or two; then commit, other, and maybe config"


def test_a_new_commit_that_another_replica_hears_of_supersedes_a_download(tmp_path: Path) -> None:
    """And one that nobody hears of."""
    clock, bucket = VirtualClock(), FakeStore()
    bucket.now = clock.now
    queue = FakeQueue(clock.now)
    ours, others = (Replica(tmp_path, bucket, queue, clock, DeletionRules()) for _ in range(2))
    small = {"other.onnx": b"small"}

    def publish(files: dict[str, bytes]) -> None:
        ours.upload("alice", files)
        ours.commit("alice", files)
        key = {"bucket": {"name": "test"}, "object": {"key": "alice/modelsync.json"}}
        queue.send(json.dumps({"Records": [{"s3": key}]}))

    def publish_again() -> None:
        publish(small)
        others.receive()
        others.work()
        assert others.told(SyncFinished)[-1].outcome is Outcome.BUSY
        clock.advance(6)

    publish(LARGE)
    ours.receive()
    ours.store.plan("get", None, None, publish_again)
    ours.work()
    assert ours.read("alice") == small
    assert len(ours.told(Published)) == 1
    assert bucket.calls["head"] >= 1
    assert bucket.calls["get"] <= 7
    for replica in (ours, others):
        replica.fetcher.close()


def test_a_first_commit_supersedes_a_download_without_one(tmp_path: Path) -> None:
    world = World(tmp_path, concurrency=1)
    world.upload("alice", LARGE)
    assert sync_with_news(world, lambda: world.commit("alice", LARGE)).outcome is Outcome.SUCCESS
    assert world.read("alice") == LARGE
    [finished] = world.told(SyncFinished)
    assert "list again" not in finished.stages, "the download did not first come to its end"  # type: ignore[attr-defined]


@pytest.mark.parametrize("failure", [None, StoreUnavailable("for now")], ids=["late event", "S3 does not answer"])
def test_an_event_that_tells_nothing_new_disturbs_no_download(
    downloading: World, failure: ModelSyncError | None
) -> None:
    world = downloading
    assert sync_with_news(world, lambda: world.store.plan("head", failure)).outcome is Outcome.SUCCESS
    assert world.read("alice") == LARGE
    assert world.bucket.calls["list"] == 1
    assert world.bucket.calls["get"] == 7, "commit, config and five parts, each once"


def test_a_long_download_costs_a_request_in_five_seconds(downloading: World) -> None:
    world = downloading
    world.store.plan("get", *[lambda: world.clock.advance(5)] * 7)
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert 1 <= world.bucket.calls["head"] <= 6


def test_what_was_noted_of_a_model_is_forgotten_with_it(world: World) -> None:
    decider = world.sync_models._decider
    world.upload("alice", V1)
    assert settled(world).outcome is Outcome.SUCCESS
    world.clock.advance(60)
    world.bucket.remove("alice/config.json")
    assert world.sync("alice").outcome is Outcome.WAITING
    assert decider._settling._shrunk
    assert settled(world).outcome is Outcome.SUCCESS
    assert world.sync("alice").outcome is Outcome.NOOP
    assert not decider._settling._shrunk
    world.commit("alice", V1)
    world.clock.advance(1)
    world.upload("alice", {"model.onnx": b"weights 9", "config.json": b"{}"})
    assert world.sync("alice").outcome is Outcome.WAITING
    assert decider._unlike_commit
    world.remove("alice")
    world.sync("alice")
    assert not decider._unlike_commit
