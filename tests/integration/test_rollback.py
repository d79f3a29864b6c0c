"""Rollback, pin and unpin on a real volume, beside syncs and comparisons."""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from fakes.clock import VirtualClock
from modelsync.adapters.clock import SystemClock
from modelsync.adapters.volume.files import disk_usage
from modelsync.app.overrides import Overrides
from modelsync.app.sightings import Sightings
from modelsync.core.deletions import DeletionRules
from modelsync.core.facts import (
    Fact,
    ModelAbsent,
    ModelKnown,
    Outcome,
    Pinned,
    PublicationSeen,
    Published,
    ReconcileFinished,
    Unpinned,
)
from modelsync.core.manifest import Current, Reconciled
from modelsync.core.names import ModelId
from modelsync.core.objects import Revision
from modelsync.core.parts import MIB
from modelsync.core.retention import RetentionRules
from modelsync.core.status import State, view_of
from modelsync.errors import ModelBusy, NoRoom, NotPossible, Stopped, StoreDenied, StoreUnavailable
from modelsync.ports import Clock
from support.world import World

ALICE = ModelId("alice")
WEIGHTS = os.urandom(70 << 10)  # large enough to be looked for on the volume


def version(number: int) -> dict[str, bytes]:
    return {"model.onnx": WEIGHTS, "config.json": f'{{"version": {number}}}'.encode()}


def publish(world: World, number: int) -> Revision:
    world.upload("alice", version(number))
    result = world.sync("alice")
    assert result.outcome is Outcome.SUCCESS
    assert result.revision is not None
    return result.revision


def current(world: World) -> Current:
    found = world.volume.published(ALICE).current
    assert found is not None
    return found


def drop(world: World, revision: Revision) -> None:
    """Remove a revision from the volume, as retention does."""
    shutil.rmtree(world.home("alice") / "revisions" / revision)


def operator(world: World, clock: Clock | None = None) -> Overrides:
    """Somebody else on the volume, of whom the world's board hears nothing."""
    return Overrides(
        volume=world.volume,
        refetch=world.refetcher,
        make_room=world.collector.make_room,
        clock=clock or SystemClock(),
        observe=lambda _: None,
        by="command",
        stop=threading.Event(),
        patience_seconds=30.0,
    )


def settled(world: World) -> None:
    """Events and comparisons find nothing to do, and readers see what they saw."""
    seen = world.read("alice")
    world.sync("alice")
    marked, _ = world.compare()
    assert "alice" not in marked
    assert world.read("alice") == seen


def test_a_rollback_switches_to_the_revision_before_and_is_not_undone(world: World) -> None:
    first, bad = publish(world, 1), publish(world, 2)
    world.bucket.calls.clear()
    answer = world.rollback("alice")
    assert (answer.revision, answer.pinned, answer.changed) == (first, True, True)
    assert answer.reason == f"rolled back from {bad[:12]} by test: it is on the volume"
    assert world.read("alice") == version(1)
    assert world.bucket.calls.total() == 0, "S3 is not needed"
    settled(world)
    world.upload("alice", version(3))
    settled(world)
    assert current(world).pin == f"rolled back from {bad[:12]} by test"


def test_a_rollback_is_told_in_facts_and_by_the_board(world: World) -> None:
    first, bad = publish(world, 1), publish(world, 2)
    world.facts.clear()
    world.rollback("alice")
    [published] = world.told(Published)
    assert (published.revision, published.previous, published.event_at) == (first, bad, None)
    assert published.reason.startswith(f"rolled back from {bad[:12]} by test")
    [pinned] = world.told(Pinned)
    assert (pinned.revision, pinned.rolled_back) == (first, True)
    view = view_of(ALICE, world.volume.published(ALICE), world.board.models()[ALICE])
    assert (view.state, view.revision, view.pinned, view.synced_at) == (State.PUBLISHED, first, True, None)
    assert view.reason == f"pinned: rolled back from {bad[:12]} by test"


def test_a_second_rollback_goes_further_back_and_a_third_has_nowhere_to_go(world: World) -> None:
    first, second, third = (publish(world, number) for number in (1, 2, 3))
    assert world.rollback("alice").revision == second
    assert world.rollback("alice").revision == first
    with pytest.raises(NotPossible, match="nothing to roll back to"):
        world.rollback("alice")
    assert world.rollback("alice", third[:8]).revision == third
    assert world.read("alice") == version(3)


def test_a_rollback_to_what_readers_see_only_pins(world: World) -> None:
    first = publish(world, 1)
    link = os.readlink(world.base / "alice")
    world.facts.clear()
    assert world.rollback("alice", first).changed
    assert not world.rollback("alice", first).changed
    assert os.readlink(world.base / "alice") == link
    assert (len(world.told(Published)), len(world.told(Pinned))) == (0, 1)


def test_a_pinned_model_is_unpinned_and_returns_to_what_the_bucket_has(world: World) -> None:
    publish(world, 1)
    second = publish(world, 2)
    world.rollback("alice")
    world.facts.clear()
    answer = world.overrides.unpin(ALICE)
    assert (answer.pinned, answer.changed) == (False, True)
    assert len(world.told(Unpinned)) == 1
    assert world.compare()[0] == [ALICE], "the next comparison would do it too"
    assert world.sync("alice").revision == second
    assert world.read("alice") == version(2)
    assert world.compare()[0] == []
    assert not world.overrides.unpin(ALICE).changed


def test_unpinning_finds_what_the_bucket_got_meanwhile(world: World) -> None:
    publish(world, 1)
    world.overrides.pin(ALICE, "audit")
    world.upload("alice", version(2))
    settled(world)
    world.overrides.unpin(ALICE)
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.read("alice") == version(2)


def test_a_pin_has_a_reason_that_can_be_changed(world: World) -> None:
    publish(world, 1)
    assert world.overrides.pin(ALICE).changed
    assert not world.overrides.pin(ALICE).changed
    assert world.overrides.pin(ALICE, "audit").changed
    assert current(world).pin == "audit (by test)"
    again = world.overrides.pin(ALICE)
    assert (again.changed, again.reason) == (False, "it is pinned already: audit (by test)")


def test_nothing_can_be_done_with_a_model_that_nobody_knows(world: World) -> None:
    for order in (world.overrides.rollback, world.overrides.pin, world.overrides.unpin):
        with pytest.raises(NotPossible, match="there is no model 'bob' on the volume"):
            order(ModelId("bob"))
    assert not world.home("bob").exists()


def test_a_model_that_was_withdrawn_is_published_again_and_stays(tmp_path: Path) -> None:
    world = World(tmp_path, rules=DeletionRules(grace_seconds=0, max_fraction=1.0))
    world.upload("bob", version(1))
    world.sync("bob")
    first = publish(world, 1)
    world.remove("alice")
    world.sync("alice")
    world.sync("alice")
    assert not (world.base / "alice").exists()
    with pytest.raises(NotPossible, match="readers see no revision"):
        world.overrides.pin(ALICE)
    answer = world.rollback("alice")
    assert (answer.revision, answer.reason) == (first, "rolled back by test: it is on the volume")
    assert world.read("alice") == version(1)
    settled(world)
    assert world.board.gone() == {}
    world.overrides.unpin(ALICE)
    world.sync("alice")
    world.sync("alice")
    assert not (world.base / "alice").exists(), "the bucket does not have it"
    world.fetcher.close()


def test_a_pin_takes_a_models_tombstone_away(world: World) -> None:
    world.upload("bob", version(1))
    world.sync("bob")
    publish(world, 1)
    world.remove("alice")
    world.sync("alice")
    assert current(world).gone_since is not None
    world.overrides.pin(ALICE)
    assert current(world).gone_since is None
    settled(world)
    assert world.board.models()[ALICE].state is State.PUBLISHED


def test_a_rollback_mends_what_a_model_failed_of_in_health(world: World) -> None:
    publish(world, 1)
    publish(world, 2)
    world.store.plan("list", *[StoreUnavailable("away")] * 3)
    assert world.sync("alice").outcome is Outcome.ERROR
    assert ALICE in world.board.failing()
    world.rollback("alice")
    assert world.board.failing() == {}
    assert world.board.models()[ALICE].state is State.PUBLISHED


def test_a_busy_model_is_waited_for(world: World) -> None:
    first = publish(world, 1)
    publish(world, 2)
    taken = ExitStack()
    taken.enter_context(world.volume.writer(ALICE))

    class Releasing(VirtualClock):
        def wait(self, stop: threading.Event, seconds: float) -> bool:
            taken.close()
            return super().wait(stop, seconds)

    assert operator(world, clock=Releasing()).rollback(ALICE).revision == first


def test_a_model_that_stays_busy_is_told_and_left_alone(world: World) -> None:
    publish(world, 1)
    publish(world, 2)
    with world.volume.writer(ALICE), pytest.raises(ModelBusy, match="waited for 5 s; try again"):
        world.rollback("alice")
    world.stop.set()
    with world.volume.writer(ALICE), pytest.raises(Stopped):
        world.rollback("alice")
    assert world.read("alice") == version(2)


def test_something_in_the_links_place_is_told(world: World) -> None:
    publish(world, 1)
    publish(world, 2)
    (world.base / "alice").unlink()
    (world.base / "alice").mkdir()
    with pytest.raises(NotPossible, match="is not modelsync's"):
        world.rollback("alice", current(world).previous[0].revision)


def test_a_pinned_link_that_somebody_removed_comes_back(world: World) -> None:
    publish(world, 1)
    publish(world, 2)
    world.rollback("alice")
    (world.base / "alice").unlink()
    assert world.compare()[0] == [ALICE]
    world.sync("alice")
    assert world.read("alice") == version(1)
    assert current(world).pin is not None
    world.overrides.unpin(ALICE)
    world.sync("alice")
    assert world.read("alice") == version(2)


# Revisions that are not on the volume any more


def test_a_removed_revision_is_fetched_again_by_its_versions(world: World) -> None:
    world.bucket.keeps_versions = True
    first = publish(world, 1)
    publish(world, 2)
    manifest = world.volume.manifest(ALICE, first)
    drop(world, first)
    world.remove("alice")
    world.facts.clear()
    answer = world.rollback("alice", first)
    assert answer.revision == first
    assert answer.reason.endswith("fetched again from S3: the versions that it was made of")
    assert world.read("alice") == version(1)
    assert world.volume.manifest(ALICE, first) == manifest
    assert world.verify("alice").findings == ()
    settled(world)


def test_what_is_fetched_again_makes_room_as_a_sync_does(tmp_path: Path) -> None:
    world = World(tmp_path, budget_bytes=5 * MIB + MIB // 2, retention=RetentionRules(keep=9, stale_seconds=0))
    world.bucket.keeps_versions = True
    revisions = {}
    for number, model in ((1, "alice"), (2, "alice"), (1, "bob"), (2, "bob")):
        world.clock.advance(1)
        world.upload(model, {"model.onnx": os.urandom(2 * MIB if model == "alice" else MIB)})
        revisions[model, number] = world.sync(model).revision
        if (model, number) == ("alice", 2):
            drop(world, revisions["alice", 1])
    answer = world.rollback("alice", revisions["alice", 1])
    assert answer.revision == revisions["alice", 1]
    assert disk_usage(tmp_path / ".modelsync") <= 5 * MIB + MIB // 2
    assert len(os.listdir(world.home("bob") / "revisions")) == 1
    assert world.volume.linked(ModelId("bob")) == revisions["bob", 2]
    tight = World(tmp_path, store=world.bucket, budget_bytes=3 * MIB, retention=RetentionRules(stale_seconds=0))
    tight.overrides.unpin(ALICE)
    drop(tight, revisions["alice", 2])
    with pytest.raises(NoRoom, match=r"2\.0 MiB are needed"):
        tight.rollback("alice", revisions["alice", 2])
    assert tight.volume.linked(ALICE) == revisions["alice", 1]


def test_a_file_that_was_not_fetched_but_reused_keeps_its_version(world: World) -> None:
    world.bucket.keeps_versions = True
    first, second = publish(world, 1), publish(world, 2)
    world.upload("alice", {"model.onnx": os.urandom(70 << 10), "config.json": b"3"})
    world.sync("alice")
    for revision in (first, second):
        drop(world, revision)
    world.bucket.remove("alice/model.onnx")
    assert world.rollback("alice", second).revision == second
    assert world.read("alice") == version(2)


def test_without_versions_an_unchanged_object_still_does(world: World) -> None:
    first = publish(world, 1)
    publish(world, 2)
    drop(world, first)
    world.upload("alice", version(1))
    assert world.rollback("alice", first).revision == first


def test_a_bucket_without_versions_is_told_and_readers_keep_what_they_see(world: World) -> None:
    first = publish(world, 1)
    publish(world, 2)
    drop(world, first)
    with pytest.raises(NotPossible, match="cannot be fetched again: the bucket keeps no versions, or this one was del"):
        world.rollback("alice")
    assert world.read("alice") == version(2)
    assert current(world).pin is None
    settled(world)
    assert not (world.home("alice") / "staging").exists()


def test_a_deleted_version_is_told(world: World) -> None:
    world.bucket.keeps_versions = True
    first = publish(world, 1)
    publish(world, 2)
    drop(world, first)
    world.bucket.forget_versions("alice/config.json")
    with pytest.raises(NotPossible, match="or this one was deleted"):
        world.rollback("alice")


def test_a_missing_permission_is_named(world: World) -> None:
    world.bucket.keeps_versions = True
    first = publish(world, 1)
    publish(world, 2)
    drop(world, first)
    world.store.plan("get", StoreDenied("S3 answered 403"))
    with pytest.raises(NotPossible, match="old versions need s3:GetObjectVersion"):
        world.rollback("alice")


def test_bytes_that_are_not_those_that_were_published_are_not_shown(world: World) -> None:
    world.bucket.keeps_versions = True
    world.bucket.checksums = False
    world.bucket.put("alice/model.onnx", b"weights", etag="not-an-md5")
    world.bucket.put("alice/config.json", b"1", etag="old-config")
    first = world.sync("alice").revision
    publish(world, 2)
    assert first is not None
    drop(world, first)
    world.bucket.put("alice/model.onnx", b"WEIGHTS", etag="not-an-md5")
    record = json.loads((world.home("alice") / "history" / f"{first}.json").read_bytes())
    for file in record["files"]:
        file["version_id"] = None
    world.bucket.put("alice/config.json", b"1", etag="old-config")
    (world.home("alice") / "history" / f"{first}.json").unlink()
    (world.home("alice") / "history" / f"{first}.json").write_text(json.dumps(record))
    with pytest.raises(NotPossible, match=r"model\.onnx: crc64nvme is .* not the bytes that were published"):
        world.rollback("alice", first)
    assert world.read("alice") == version(2)


def test_an_outage_is_no_end_and_the_next_attempt_succeeds(world: World) -> None:
    world.bucket.keeps_versions = True
    first = publish(world, 1)
    publish(world, 2)
    drop(world, first)
    world.store.plan("get", "refuse", "refuse", "refuse")
    with pytest.raises(StoreUnavailable):
        world.rollback("alice")
    assert world.read("alice") == version(2)
    assert world.rollback("alice").revision == first


# The history


def test_the_history_has_what_the_record_names_and_no_more(world: World) -> None:
    made = [publish(world, number) for number in range(25)]
    assert world.volume.history(ALICE) == frozenset(made[-21:])
    assert world.volume.recall(ALICE, made[-2]) == world.volume.manifest(ALICE, made[-2])
    assert world.volume.recall(ALICE, made[0]) is None


def test_a_history_that_cannot_be_read_is_told(world: World) -> None:
    first = publish(world, 1)
    publish(world, 2)
    drop(world, first)
    (world.home("alice") / "history" / f"{first}.json").unlink()
    (world.home("alice") / "history" / f"{first}.json").write_bytes(b"{")
    with pytest.raises(NotPossible, match=f"the manifest of revision {first} cannot be read"):
        world.rollback("alice")


def test_a_volume_without_hard_links_keeps_copies(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    first = publish(world, 1)
    assert world.volume.recall(ALICE, first) == world.volume.manifest(ALICE, first)


def test_a_comparison_finds_a_rollback_that_another_process_made(world: World) -> None:
    """The board has heard of nothing: the volume tells."""
    first = publish(world, 1)
    publish(world, 2)
    other = operator(world)
    other.rollback(ALICE)
    assert world.sync("alice").outcome is Outcome.NOOP
    assert world.board.models()[ALICE].revision == first
    world.compare()
    assert world.board.models()[ALICE].pinned
    other.unpin(ALICE)
    world.compare()
    assert not world.board.models()[ALICE].pinned


def test_orders_of_several_replicas_at_once_leave_one_whole_answer(world: World) -> None:
    revisions = [publish(world, number) for number in range(3)]
    orders: list[Callable[[], object]] = [
        lambda: operator(world).rollback(ALICE, revisions[0]),
        lambda: operator(world).rollback(ALICE, revisions[1]),
        lambda: operator(world).pin(ALICE, "audit"),
        lambda: operator(world).unpin(ALICE),
        lambda: world.sync("alice"),
    ] * 3
    threads = [threading.Thread(target=order) for order in orders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    found = world.volume.published(ALICE)
    assert found.consistent
    assert world.read("alice") in [version(number) for number in range(3)]
    assert world.verify("alice").findings == ()


def test_a_comparison_sees_what_others_publish_once_and_nothing_else(world: World) -> None:
    seen: list[Fact] = []
    sightings = Sightings(seen.append)

    def compare() -> None:
        world.facts.clear()
        world.compare()
        for fact in [*world.facts, ReconcileFinished(Reconciled(0.0, 0, 0, 0, 0, 0), 0.1)]:
            sightings(fact)

    first, second = publish(world, 1), publish(world, 2)
    compare()
    assert not seen, "what was there at the start is no news"
    operator(world).rollback(ALICE)
    compare()
    compare()
    at = current(world).published_at
    assert seen == [PublicationSeen(ALICE, first, second, at, pinned=True, rolled_back=True)]
    own = world.overrides.rollback(ALICE, second)
    for fact in world.told(Published):
        sightings(fact)
    world.clock.advance(1)
    seen.clear()
    compare()
    assert own.changed
    assert not seen, "that was done here"
    world.upload("bob", version(1))
    world.sync("bob")
    compare()
    [fact] = seen
    assert isinstance(fact, PublicationSeen)
    assert (fact.model, fact.previous, fact.pinned, fact.rolled_back) == ("bob", None, False, False)


def test_a_comparison_that_read_an_older_record_takes_nothing_back() -> None:
    seen: list[Fact] = []
    sightings = Sightings(seen.append)
    for fact in (
        Published(ALICE, Revision("2" * 32), "s", None, 1, 1, 20.0, None, "why"),
        ModelKnown(ALICE, Revision("1" * 32), 10.0),
        ModelAbsent(ALICE),
        ModelKnown(ALICE, Revision("1" * 32), 10.0),
    ):
        sightings(fact)
    assert not seen
