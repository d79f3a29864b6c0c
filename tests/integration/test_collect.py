"""Revisions that nobody needs are removed; nothing else is."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fakes.clock import VirtualClock
from modelsync.adapters.volume import holdings as holdings_module
from modelsync.core.deletions import DeletionRules
from modelsync.core.facts import LeasesSeen, ModelEvicted, Outcome, RevisionRemoved
from modelsync.core.names import ModelId
from modelsync.core.parts import MIB
from modelsync.core.retention import RetentionRules, Why
from modelsync.core.status import State, view_of
from support.damage import flip
from support.world import World

AT_ONCE = RetentionRules(keep=0, stale_seconds=0)


def files(version: int, size_bytes: int = 1000, model: str = "alice") -> dict[str, bytes]:
    """No two models have a byte in common: nothing is hard-linked between them."""
    pattern = hashlib.sha256(f"{model} {version}".encode()).digest()
    return {"model.onnx": (pattern * (size_bytes // 32 + 1))[:size_bytes], "config.json": b"%d" % version}


def publish(world: World, *versions: int, model: str = "alice", size_bytes: int = 1000) -> None:
    for version in versions:
        world.clock.advance(1)
        world.upload(model, files(version, size_bytes, model))
        assert world.sync(model).outcome is Outcome.SUCCESS


def directories(world: World, model: str = "alice") -> list[str]:
    return sorted(os.listdir(world.home(model) / "revisions"))


@contextmanager
def leased(directory: Path) -> Iterator[None]:
    """What a reader does."""
    with (directory / "lease.lock").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


def test_superseded_revisions_go_by_number_and_age(tmp_path: Path) -> None:
    world = World(tmp_path, retention=RetentionRules(keep=1, stale_seconds=900))
    publish(world, 1, 2, 3, 4)
    world.collect()
    assert len(directories(world)) == 4, "readers may still be at them"
    world.clock.advance(900)
    world.collect()
    assert len(directories(world)) == 2
    assert world.read("alice") == files(4)
    assert [fact.why for fact in world.told(RevisionRemoved)] == [Why.SUPERSEDED] * 2
    publish(world, 3)
    assert world.bucket.calls["get"] == 8, "the last one was kept, and is switched to without a download"
    assert world.sync("alice").outcome is Outcome.NOOP


def test_a_lease_keeps_a_revision_and_is_told(tmp_path: Path) -> None:
    world = World(tmp_path, retention=AT_ONCE)
    publish(world, 1)
    old = (tmp_path / "alice").resolve().parent
    with leased(old):
        publish(world, 2)
        world.collect()
        assert (old / "files" / "model.onnx").read_bytes() == files(1)["model.onnx"]
        assert world.told(LeasesSeen)[-1].revisions == {ModelId("alice"): 1}
    world.collect()
    assert not old.exists()
    assert world.told(LeasesSeen)[-1].revisions == {}


def test_a_damaged_directory_goes_when_its_readers_had_their_time(tmp_path: Path) -> None:
    world = World(tmp_path, retention=RetentionRules(keep=2, stale_seconds=60))
    publish(world, 1)
    flip(tmp_path / "alice" / "model.onnx")
    assert world.repair("alice").outcome is Outcome.SUCCESS
    world.collect()
    assert len(directories(world)) == 2
    world.clock.advance(10**9)  # the directory's time is the real clock's
    world.collect()
    [left] = directories(world)
    assert left.endswith(".1")
    assert world.read("alice") == files(1)


def test_a_directory_that_is_in_use_on_a_file_server_is_removed_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, retention=AT_ONCE)
    publish(world, 1, 2)
    with monkeypatch.context() as patch:

        def busy(_: Path) -> None:
            raise OSError(errno.ENOTEMPTY, "a .nfs file is in it")

        patch.setattr(holdings_module, "remove_tree", busy)
        world.collect()
        assert not world.told(RevisionRemoved)
    assert len(directories(world)) == 2
    assert len(world.volume.published(ModelId("alice")).kept) == 1, "it is no revision any more"
    publish(world, 3)
    world.collect()
    assert len(directories(world)) == 1
    assert {fact.why for fact in world.told(RevisionRemoved)} == {Why.INTERRUPTED, Why.SUPERSEDED}


def test_a_model_that_is_being_synced_is_left_for_the_next_time(tmp_path: Path) -> None:
    world = World(tmp_path, retention=AT_ONCE)
    publish(world, 1, 2)
    with world.volume.writer(ModelId("alice")):
        world.collect()
        assert len(directories(world)) == 2
    world.collect()
    assert len(directories(world)) == 1


def test_a_download_evicts_the_revisions_that_nobody_used_for_longest(tmp_path: Path) -> None:
    world = World(tmp_path, budget_bytes=7 * MIB + MIB // 2, retention=RetentionRules(keep=9, stale_seconds=0))
    publish(world, 1, 2, model="alice", size_bytes=2 * MIB)
    publish(world, 1, 2, model="bob", size_bytes=MIB)
    used = tmp_path / ".modelsync/models/alice/revisions"
    old = next(used / name for name in os.listdir(used) if used / name != (tmp_path / "alice").resolve().parent)
    with leased(old):
        world.collect()
        result = world.sync("alice")
        assert result.outcome is Outcome.NOOP
        publish(world, 1, model="carol", size_bytes=2 * MIB)
        assert old.exists()
        world.upload("dave", files(1, 3 * MIB, "dave"))
        refused = world.sync("dave")
    assert (refused.outcome, refused.wait_seconds) == (Outcome.ERROR, None)
    assert "VOLUME_BUDGET_BYTES" in refused.reason
    publish(world, 5, model="dave", size_bytes=MIB + MIB // 2)
    assert not old.exists(), "the lease was let go"
    assert {fact.why for fact in world.told(RevisionRemoved)} == {Why.SPACE}
    for model in ("alice", "bob", "carol"):
        assert (tmp_path / model / "model.onnx").exists()


def test_an_older_revision_of_the_same_model_makes_room_for_its_next(tmp_path: Path) -> None:
    world = World(tmp_path, budget_bytes=5 * MIB, retention=RetentionRules(keep=2, stale_seconds=0))
    publish(world, 1, 2, 3, 4, size_bytes=2 * MIB)
    assert world.read("alice") == files(4, 2 * MIB)
    assert len(directories(world)) == 2


def test_a_model_that_left_goes_when_space_is_needed_and_is_forgotten(tmp_path: Path) -> None:
    world = World(
        tmp_path, budget_bytes=4 * MIB, retention=RetentionRules(stale_seconds=0), rules=DeletionRules(grace_seconds=0)
    )
    publish(world, 1, model="alice", size_bytes=2 * MIB)
    publish(world, 1, model="bob", size_bytes=MIB)
    world.remove("alice")
    world.sync("alice")
    world.sync("alice")
    world.collect()
    assert not os.path.lexists(tmp_path / "alice")
    assert world.home("alice").exists(), "it may come back"
    publish(world, 1, model="carol", size_bytes=2 * MIB)
    assert not world.home("alice").exists()
    publish(world, 2, model="bob")


def test_what_was_hard_linked_counts_once_both_are_gone(tmp_path: Path) -> None:
    world = World(tmp_path, budget_bytes=4 * MIB, retention=RetentionRules(keep=5, stale_seconds=0))
    shared = os.urandom(MIB)
    for version in (1, 2):
        world.clock.advance(1)
        world.upload("alice", {"model.onnx": shared, "config.json": b"%d" % version})
        assert world.sync("alice").outcome is Outcome.SUCCESS
    publish(world, 3, size_bytes=MIB)
    assert len(directories(world)) == 3
    publish(world, 4, size_bytes=2 * MIB)
    assert len(directories(world)) == 2, "both that share their weights had to go"


def test_a_sweep_makes_the_room_that_must_be_free(tmp_path: Path) -> None:
    world = World(tmp_path, retention=RetentionRules(keep=5, stale_seconds=0))
    publish(world, 1, 2, size_bytes=MIB)
    tight = World(tmp_path, budget_bytes=MIB + MIB // 2, retention=RetentionRules(keep=5, stale_seconds=0))
    tight.clock.advance(100)
    tight.collect()
    assert len(directories(world)) == 1
    assert world.read("alice") == files(2, MIB)


def cache(tmp_path: Path, **more: float) -> World:
    rules = RetentionRules(keep=0, stale_seconds=more.get("stale_seconds", 0), evict_current=True)
    return World(tmp_path, budget_bytes=5 * MIB + MIB // 2, retention=rules)


def test_a_volume_that_is_a_cache_withdraws_the_model_used_longest_ago(tmp_path: Path) -> None:
    world = cache(tmp_path)
    publish(world, 1, model="alice", size_bytes=2 * MIB)
    publish(world, 1, model="bob", size_bytes=2 * MIB)
    with leased((tmp_path / "alice").resolve().parent):
        world.collect()  # sees that alice is in use
    publish(world, 1, model="carol", size_bytes=2 * MIB)
    assert not os.path.lexists(tmp_path / "bob")
    assert [fact.model for fact in world.told(ModelEvicted)] == ["bob"]
    assert world.compare()[0] == [], "it does not come back by itself"
    assert world.sync("bob").outcome is Outcome.NOOP
    view = view_of(ModelId("bob"), world.volume.published(ModelId("bob")), None)
    assert view.state is State.EVICTED
    assert world.sync("bob", wanted=True).outcome is Outcome.SUCCESS
    assert world.read("bob") == files(1, 2 * MIB, "bob")
    assert [fact.model for fact in world.told(ModelEvicted)] == ["bob", "alice"]
    assert world.sync("bob").outcome is Outcome.NOOP


def test_a_withdrawn_model_is_deleted_only_when_its_readers_had_their_time(tmp_path: Path) -> None:
    world = cache(tmp_path, stale_seconds=60)
    publish(world, 1, model="alice", size_bytes=2 * MIB)
    publish(world, 1, model="bob", size_bytes=2 * MIB)
    world.clock.advance(100)
    old = (tmp_path / "alice").resolve()
    world.upload("carol", files(1, 2 * MIB, "carol"))
    for _ in range(3):
        assert world.sync("carol").outcome is Outcome.ERROR
        assert (old / "model.onnx").exists()
    assert len(world.told(ModelEvicted)) == 1, "one is enough"
    world.clock.advance(60)
    assert world.sync("carol").outcome is Outcome.SUCCESS
    assert not old.exists()
    assert len(world.told(ModelEvicted)) == 1


def test_a_lost_record_does_not_shorten_anybodys_time(tmp_path: Path) -> None:
    world = World(tmp_path, retention=RetentionRules(keep=0, stale_seconds=900), clock=VirtualClock(time.time()))
    publish(world, 1, 2)
    for directory in (world.home("alice") / "revisions").iterdir():
        os.utime(directory, (1, 1))  # they were made long ago
    (world.home("alice") / "current.json").write_bytes(b"{")
    world.collect()
    assert len(directories(world)) == 2, "the first was superseded a second ago"
    before, now = world.volume.history(ModelId("alice")), world.volume.linked(ModelId("alice"))
    with world.volume.writer(ModelId("alice")) as writer:
        writer.mend()
    world.collect()
    assert len(directories(world)) == 2
    mended = world.volume.published(ModelId("alice")).current
    assert mended is not None
    assert {old.revision for old in mended.previous} == set(before) - {now}
    world.rollback("alice")
    assert world.read("alice") == files(1)


def test_a_damaged_revision_that_was_superseded_a_moment_ago_stays_for_its_readers(tmp_path: Path) -> None:
    world = World(tmp_path, retention=RetentionRules(keep=0, stale_seconds=900), clock=VirtualClock(time.time()))
    publish(world, 1)
    old = (tmp_path / "alice").resolve()
    flip(old / "model.onnx")
    world.settle("alice")
    two_hours_ago = time.time() - 7200
    os.utime(old.parent, (two_hours_ago, two_hours_ago))
    publish(world, 2)
    world.collect()
    assert old.exists()
    world.clock.advance(900)
    world.collect()
    assert not old.exists()
