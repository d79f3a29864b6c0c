"""Revisions that nobody needs are removed; nothing else is."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from fakes.clock import VirtualClock
from modelsync.adapters.volume import holdings as holdings_module
from modelsync.core.deletions import DeletionRules
from modelsync.core.facts import BytesFetched, BytesReused, Fact, LeasesSeen, ModelEvicted, Outcome, RevisionRemoved
from modelsync.core.names import ModelId, Naming
from modelsync.core.parts import MIB
from modelsync.core.retention import Holdings, RetentionRules, Why
from modelsync.core.status import State, told, view_of
from modelsync.errors import Stopped, VolumeFailed
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
    weighed = [item.holding for item in world.collector.plan()[0]]
    if world.told(BytesReused)[0].how == "link":
        assert all(held.size_bytes < MIB <= held.shared_bytes for held in weighed)
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


def test_what_a_dead_worker_switched_to_is_not_withdrawn_before_it_is_on_record(tmp_path: Path) -> None:
    """By the old record nobody could tell whose time begins with the withdrawal: its files would go at once."""
    rules = RetentionRules(keep=0, stale_seconds=900, evict_current=True)
    world = World(tmp_path, retention=rules, clock=VirtualClock(time.time()))
    publish(world, 1, size_bytes=MIB)
    record = (world.home("alice") / "current.json").read_bytes()
    publish(world, 2, size_bytes=MIB)
    (world.home("alice") / "current.json").write_bytes(record)  # a death after the link was switched
    world.clock.advance(1000)
    assert not world.collector.make_room(MIB, lambda: None)
    assert world.read("alice") == files(2, MIB)
    with world.volume.writer(ModelId("alice")) as writer:
        writer.mend()
    old = (tmp_path / "alice").resolve()
    assert world.collector.make_room(MIB, lambda: None), "the superseded one"
    assert world.read("alice") == files(2, MIB)
    assert not world.collector.make_room(MIB, lambda: None)
    assert not os.path.lexists(tmp_path / "alice")
    assert (old / "model.onnx").exists()


def test_a_withdrawn_model_that_is_damaged_spares_others_too(tmp_path: Path) -> None:
    rules = RetentionRules(keep=0, stale_seconds=60, evict_current=True)
    world = World(tmp_path, retention=rules, clock=VirtualClock(time.time()))
    publish(world, 1, model="alice", size_bytes=2 * MIB)
    publish(world, 1, model="bob", size_bytes=2 * MIB)
    flip((tmp_path / "alice").resolve() / "model.onnx")
    world.settle("alice")
    with leased((tmp_path / "bob").resolve().parent):
        world.collect()  # sees that bob is in use
    world.clock.advance(100)
    for _ in range(3):
        assert not world.collector.make_room(MIB, lambda: None)
    assert [fact.model for fact in world.told(ModelEvicted)] == ["alice"]
    world.clock.advance(60)
    assert world.collector.make_room(MIB, lambda: None)
    assert directories(world) == []
    assert world.read("bob") == files(1, 2 * MIB, "bob")


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


def voices(world: World, *models: str) -> None:
    for model in models:
        publish(world, 1, 2, model=model)


@contextmanager
def failing(monkeypatch: pytest.MonkeyPatch, model: str, code: int) -> Iterator[None]:
    """Nothing of a model can be removed."""
    real = holdings_module.remove_tree

    def remove(path: Path) -> None:
        if f"/models/{model}/" in str(path):
            raise OSError(code, os.strerror(code))
        real(path)

    with monkeypatch.context() as patch:
        patch.setattr(holdings_module, "remove_tree", remove)
        yield


@pytest.mark.parametrize("code", [errno.EIO, errno.EACCES])
def test_a_directory_that_cannot_be_removed_keeps_no_other_from_going(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Neither those of other models, nor those of its own, nor the room that is asked for."""
    world = World(tmp_path, retention=AT_ONCE)
    voices(world, "alice", "bob")
    with failing(monkeypatch, "alice", code):
        for number in (3, 4):
            with pytest.raises(VolumeFailed, match="of alice"):
                world.collect()
            assert len(directories(world, "bob")) == 1
            publish(world, number)
        left = [name for name in directories(world) if not name.startswith(".tmp-")]
        assert len(left) == 2, "what readers see, and what they saw since the last look"
        tight = World(tmp_path, store=world.bucket, budget_bytes=1, retention=RetentionRules(keep=9, stale_seconds=0))
        voices_before = directories(tight, "bob")
        tight.clock.advance(100)
        with pytest.raises(VolumeFailed, match="of alice"):
            tight.collect()
        assert directories(tight, "bob") == voices_before
    world.collect()
    assert len(directories(world)) == 1


def test_room_is_made_elsewhere_where_a_directory_cannot_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, budget_bytes=6 * MIB, retention=RetentionRules(keep=9, stale_seconds=0))
    publish(world, 1, 2, model="alice", size_bytes=MIB)
    publish(world, 1, 2, model="bob", size_bytes=MIB)
    with failing(monkeypatch, "alice", errno.EIO):
        publish(world, 1, model="carol", size_bytes=2 * MIB + MIB // 2)
    assert len(directories(world, "bob")) == 1


def test_a_model_that_cannot_be_looked_at_keeps_no_other_from_being_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, retention=AT_ONCE)
    voices(world, "alice", "bob")
    real = world.volume.holdings

    def look(model: ModelId) -> Holdings:
        if model == "alice":
            raise VolumeFailed("cannot look at alice: I/O error", "io")
        return real(model)

    monkeypatch.setattr(world.volume, "holdings", look)
    verdicts, failed = world.collector.plan()
    assert {item.holding.model for item in verdicts} == {"bob"}
    assert str(failed) == "cannot look at alice: I/O error"


@pytest.mark.parametrize("code", [errno.ENOENT, errno.ESTALE])
def test_a_file_of_a_file_server_that_goes_while_it_is_removed_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """An `.nfs…` file goes when its last reader closes it, between the look at the directory and its removal."""
    world = World(tmp_path, retention=AT_ONCE)
    voices(world, "alice")
    with failing(monkeypatch, "alice", code):
        world.collect()
    assert len(directories(world)) == 2
    world.collect()
    assert len(directories(world)) == 1


def parked(world: World, model: str) -> None:
    """Leave a download behind that a shutdown has parked, after its first part."""
    world.upload(model, {"model.onnx": os.urandom(18 * MIB)})

    def stop(fact: object, observe: Callable[[Fact], None] = world.board.__call__) -> None:
        if isinstance(fact, BytesFetched):
            world.stop.set()
        observe(fact)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world, "board", stop)
        with pytest.raises(Stopped):
            world.sync(model)
    world.stop.clear()
    assert (world.home(model) / "staging").exists()


def test_a_download_that_was_parked_goes_when_its_model_left_or_is_left_out(tmp_path: Path) -> None:
    """No event told of it: the comparison finds it."""
    world = World(tmp_path, concurrency=1)
    publish(world, 1, model="stays")
    publish(world, 1, model="pinned")
    for model in ("left", "excluded", "pinned", "stays"):
        parked(world, model)
    world.overrides.pin(ModelId("pinned"))
    for model in ("left", "pinned"):
        world.remove(model)
    later = World(tmp_path, store=world.bucket, naming=Naming(exclude=("excluded",)))
    for model in later.compare()[0]:
        if model != "stays":
            assert later.sync(model).outcome is Outcome.NOOP
    there = {model for model in ("left", "excluded", "pinned", "stays") if (world.home(model) / "staging").exists()}
    assert there == {"stays"}
    assert not world.home("left").exists()
    assert set(later.compare()[0]) == {"stays"}, "and that is all there was to do"


def test_an_empty_bucket_clears_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, concurrency=1)
    parked(world, "alice")
    world.remove("alice")
    assert world.compare()[0] == []


def refused(world: World, model: str, size_bytes: int) -> None:
    """Keep the bytes of a version that was refused."""
    world.upload(model, {"model.onnx": os.urandom(size_bytes)})
    world.bucket.corrupt(f"{model}/model.onnx")
    assert world.sync(model).outcome is Outcome.REJECTED
    [kept] = (world.home(model) / "quarantine").glob("*/files/model.onnx")
    kept.chmod(0o600)
    kept.write_bytes(os.urandom(size_bytes))  # whose wrong bytes were forgotten


def test_what_was_kept_of_a_refusal_goes_before_all_else_when_space_is_needed(tmp_path: Path) -> None:
    world = World(tmp_path, keep_refused=True, budget_bytes=5 * MIB, retention=RetentionRules(keep=9, stale_seconds=0))
    publish(world, 1, 2, model="bob", size_bytes=MIB)
    refused(world, "alice", 2 * MIB)
    world.remove("alice")
    world.sync("alice")
    [item] = world.collector.judge([ModelId("alice")])
    assert (item.remove, item.reason) == (None, "kept of a refusal, to be looked into")
    publish(world, 1, model="carol", size_bytes=2 * MIB)
    assert world.collector.judge([ModelId("alice")]) == []
    assert len(directories(world, "bob")) == 2
    assert world.volume.published(ModelId("alice")).quarantined, "why it was refused is still known"


def test_gc_tells_of_downloads_and_refusals_too(tmp_path: Path) -> None:
    world = World(tmp_path, keep_refused=True, concurrency=1)
    parked(world, "bob")
    refused(world, "alice", 2 * MIB)
    verdicts, _ = world.collector.plan()
    told = {item.holding.place.partition("/")[0]: item for item in verdicts}
    assert set(told) == {"staging", "quarantine"}
    assert told["staging"].reason.startswith("a download in progress or parked, begun ")
    assert told["staging"].holding.size_bytes > MIB
    assert told["quarantine"].holding.size_bytes >= 2 * MIB


def withdrawn(world: World, model: str) -> None:
    world.remove(model)
    world.sync(model)  # the tombstone
    assert world.sync(model).outcome is Outcome.SUCCESS


def test_a_model_that_left_is_forgotten_also_if_the_last_one_to_try_died(tmp_path: Path) -> None:
    world = World(tmp_path, rules=DeletionRules(grace_seconds=0, max_fraction=1), retention=AT_ONCE)
    publish(world, 1, model="alice")
    publish(world, 1, model="bob")
    withdrawn(world, "alice")
    shutil.rmtree(world.home("alice") / "revisions")  # what a death before its records went leaves
    world.collect()
    assert not world.home("alice").exists()
    assert not told(world.volume.published(ModelId("alice")), None)


def test_what_comes_back_after_it_left_is_not_forgotten_while_it_waits(tmp_path: Path) -> None:
    """Its files went for space; the bucket has a version that is refused: that must not be forgotten over and over."""
    world = World(tmp_path, rules=DeletionRules(grace_seconds=0, max_fraction=1), retention=AT_ONCE)
    publish(world, 1, model="alice")
    publish(world, 1, model="bob")
    withdrawn(world, "alice")
    shutil.rmtree(world.home("alice") / "revisions")
    world.upload("alice", files(2))
    world.bucket.corrupt("alice/model.onnx")
    assert world.sync("alice").outcome is Outcome.REJECTED
    world.collect()
    assert world.volume.published(ModelId("alice")).quarantined
    assert world.compare()[0] == []
    world.remove("alice")
    assert world.compare()[0] == ["alice"], "it left again"
    world.sync("alice")
    world.collect()
    assert not world.home("alice").exists()


def test_an_evicted_model_that_leaves_the_bucket_is_a_model_that_left(tmp_path: Path) -> None:
    world = cache(tmp_path)
    publish(world, 1, model="alice", size_bytes=3 * MIB)
    publish(world, 1, model="bob", size_bytes=3 * MIB)
    assert [fact.model for fact in world.told(ModelEvicted)] == ["alice"]
    world.collect()
    assert world.home("alice").exists(), "it may be asked for"
    world.remove("alice")
    assert world.compare()[0] == ["alice"]
    world.sync("alice")
    view = view_of(ModelId("alice"), world.volume.published(ModelId("alice")), None)
    assert view.state is State.ABSENT
    world.collect()
    assert not world.home("alice").exists()
    assert world.compare()[0] == []


def test_a_look_at_leases_is_not_taken_for_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither another thread's, for which it waits, nor another replica's, which is over in a moment."""
    world = World(tmp_path, retention=AT_ONCE)
    publish(world, 1)
    lease = (tmp_path / "alice").resolve().parent / "lease.lock"
    os.utime(lease, (1, 1))
    inside = threading.Barrier(2)
    met: list[bool] = []

    def flock(_descriptor: int, _how: int) -> None:
        with suppress(threading.BrokenBarrierError):
            inside.wait(0.2)
            met.append(True)

    def look() -> None:
        world.collector.judge([ModelId("alice")])

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", flock)
        threads = [threading.Thread(target=look) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert met == []
    answers = [BlockingIOError(), None]

    def replica(_descriptor: int, _how: int) -> None:
        if (answer := answers.pop(0)) is not None:
            raise answer

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", replica)
        [item] = world.collector.judge([ModelId("alice")])
    assert not item.holding.leased
    assert lease.stat().st_mtime == 1


@pytest.mark.parametrize("error", [FileNotFoundError(), PermissionError()])
def test_a_use_that_cannot_be_noted_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    """The directory was removed a moment ago, or the file is another user's."""
    world = World(tmp_path, retention=AT_ONCE)
    publish(world, 1)

    def utime(_path: Path) -> None:
        raise error

    with leased((tmp_path / "alice").resolve().parent):
        monkeypatch.setattr(holdings_module.os, "utime", utime)
        [item] = world.collector.judge([ModelId("alice")])
    assert item.holding.leased


def used_at(world: World, model: str) -> float:
    [held] = [item.holding for item in world.collector.judge([ModelId(model)])]
    return world.volume.weigh(held).used_at


@pytest.mark.parametrize("local", [True, False], ids=["local disk", "file server"])
def test_what_the_worker_reads_is_no_use_of_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, local: bool
) -> None:
    """Neither verification, nor reuse, nor the manifests that a restart reads."""
    monkeypatch.setattr(holdings_module, "on_local_disk", lambda _: local)
    world = World(tmp_path)
    for model in ("alice", "bob"):
        publish(world, 1, model=model, size_bytes=100_000)
        for path in (world.home(model) / "revisions").rglob("*"):
            os.utime(path, (5e8, 4e8))  # read once since it was written
    before = 5e8 if local else 4e8
    assert used_at(world, "alice") == before
    world.verify("alice")
    again = World(tmp_path, store=world.bucket)
    again.clock.advance(10)
    publish(again, 1, model="carol", size_bytes=100_000)  # asks for what is there
    again.upload("dave", files(1, 100_000, "alice") | {"config.json": b"dave"})
    assert again.sync("dave").outcome is Outcome.SUCCESS
    assert again.told(BytesReused)
    assert (used_at(again, "alice"), used_at(again, "bob")) == (before, before)
    for name in ("manifest.json", "files/model.onnx"):
        os.utime((tmp_path / "alice").resolve().parent / name, (6e8, 4e8))
    assert used_at(again, "alice") == (6e8 if local else 4e8)
    with leased((tmp_path / "alice").resolve().parent):
        assert used_at(again, "alice") > time.time() - 60


def test_another_users_file_is_read_without_asking_for_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel lets a file's owner alone read without a trace."""
    world = World(tmp_path)
    publish(world, 1)
    real = os.open

    def owned(path: Path, flags: int, *more: int) -> int:
        if flags & os.O_NOATIME:
            raise PermissionError(errno.EPERM, "not the owner")
        return real(path, flags, *more)

    monkeypatch.setattr(os, "open", owned)
    assert world.verify("alice").findings == ()
