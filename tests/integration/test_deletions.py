"""Models that leave the bucket: tombstone, grace, breaker, withdrawal, and the way back."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelsync.app.reconcile import Reconciler
from modelsync.app.worker import Worker
from modelsync.core.deletions import DeletionRules, Policy
from modelsync.core.facts import ModelBack, ModelGone, Outcome, ReconcileFinished, Unpublished
from modelsync.core.health import Status
from modelsync.core.names import ModelId, Naming
from modelsync.errors import StoreDenied, StoreUnavailable, VolumeFailed
from support.world import World

V1 = {"model.onnx": b"weights 1", "config.json": b"{}"}
GRACE = 3600.0
AT_ONCE = DeletionRules(grace_seconds=0)


def fleet(base: Path, number: int = 10, **more: Any) -> World:
    """A world in which so many models, m0 and on, are published."""
    world = World(base, **more)
    for n in range(number):
        world.upload(f"m{n}", V1)
        assert world.sync(f"m{n}").outcome is Outcome.SUCCESS
    return world


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = fleet(tmp_path)
    yield made
    made.fetcher.close()


def current(world: World, model: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((world.home(model) / "current.json").read_bytes())
    return record


def shown(world: World) -> list[str]:
    """The models that readers see."""
    return sorted(path.name for path in world.base.iterdir() if path.is_symlink())


def work_off(world: World) -> None:
    """Compare, and sync what was marked, in the order of their names."""
    marked, found = world.compare()
    for model in marked:
        world.sync(model)
    world.volume.record_reconciled(found)


def health(world: World) -> tuple[Status, str]:
    check = world.board.checks()["deletions"]
    return check.status, check.reason


def test_a_model_that_left_gets_a_tombstone_and_goes_after_the_grace(world: World) -> None:
    world.remove("m0")
    work_off(world)
    assert current(world, "m0")["gone_since"] == world.clock.now()
    assert world.read("m0") == V1
    assert world.board.models()[ModelId("m0")].state == "gone"
    world.clock.advance(GRACE - 1)
    work_off(world)
    assert "m0" in shown(world)
    world.clock.advance(1)
    work_off(world)
    assert "m0" not in shown(world)
    assert current(world, "m0")["unpublished_at"] == world.clock.now()
    assert ModelId("m0") not in world.board.models()
    [fact] = world.told(Unpublished)
    assert fact.revision == current(world, "m0")["revision"]  # type: ignore[attr-defined]
    assert (world.home("m0") / "revisions" / current(world, "m0")["revision"] / "manifest.json").exists()
    assert world.compare()[0] == [], "that is all"


def test_pending_tombstones_cost_no_request_but_the_listing(world: World) -> None:
    world.remove("m0")
    work_off(world)
    world.bucket.calls.clear()
    assert world.compare()[0] == []
    assert world.later == {"m0": GRACE}
    assert world.bucket.calls == {"list": 1}


def test_a_model_that_comes_back_within_the_grace_is_untouched(world: World) -> None:
    link = os.readlink(world.base / "m0")
    world.remove("m0")
    work_off(world)
    world.clock.advance(GRACE - 1)
    world.upload("m0", V1)
    world.bucket.calls.clear()
    work_off(world)
    assert world.bucket.calls["get"] == 0
    assert os.readlink(world.base / "m0") == link
    assert current(world, "m0")["gone_since"] is None
    assert len(world.told(ModelBack)) == 1
    world.remove("m0")
    world.clock.advance(GRACE)
    work_off(world)
    assert "m0" in shown(world), "the grace begins anew"


def test_a_model_that_comes_back_later_is_switched_to_without_a_download(world: World) -> None:
    world.remove("m0")
    work_off(world)
    world.clock.advance(GRACE)
    work_off(world)
    world.clock.advance(GRACE)
    world.upload("m0", V1)
    world.bucket.calls.clear()
    work_off(world)
    assert world.read("m0") == V1
    assert world.bucket.calls["get"] == 0
    assert current(world, "m0")["unpublished_at"] is None
    assert world.board.models()[ModelId("m0")].state == "published"


def test_other_content_under_the_old_name_supersedes_what_was_withdrawn(world: World) -> None:
    world.remove("m0")
    work_off(world)
    world.clock.advance(GRACE)
    work_off(world)
    before, withdrawn_at = current(world, "m0")["revision"], world.clock.now()
    world.clock.advance(GRACE)
    world.upload("m0", {"model.onnx": b"weights 2"})
    work_off(world)
    assert world.read("m0") == {"model.onnx": b"weights 2"}
    assert current(world, "m0")["previous"] == [
        {"revision": before, "superseded_at": withdrawn_at, "rolled_back": False}
    ]


def test_the_policy_keep_says_that_a_model_left_and_withdraws_nothing(tmp_path: Path) -> None:
    world = fleet(tmp_path, rules=DeletionRules(Policy.KEEP, grace_seconds=0))
    world.remove("m0")
    for _ in range(3):
        work_off(world)
        world.clock.advance(1e9)
    assert world.read("m0") == V1
    status = world.board.models()[ModelId("m0")]
    assert status.state == "gone"
    assert "DELETE_POLICY=keep" in str(status.reason)
    assert health(world) == (
        Status.HEALTHY,
        "1 of 10 published models left the bucket (m0): kept, by DELETE_POLICY=keep",
    )


def test_only_the_weights_count(world: World) -> None:
    world.bucket.remove("m0/model.onnx")
    work_off(world)
    assert current(world, "m0")["gone_since"] is not None


def test_an_event_of_a_key_that_exists_is_no_deletion(world: World) -> None:
    """As the deletion of an old version is announced."""
    assert world.sync("m0").outcome is Outcome.NOOP
    assert current(world, "m0")["gone_since"] is None


def test_a_lone_object_and_a_nested_model_go_too(tmp_path: Path) -> None:
    world = World(tmp_path, naming=Naming(depth=2), rules=AT_ONCE)
    world.bucket.put("solo.onnx", b"weights")
    for model in ("en/alice", "en/bob", "de/carol"):
        world.upload(model, V1)
    for model in ("solo.onnx", "en/alice", "en/bob", "de/carol"):
        world.sync(model)
    world.bucket.remove("solo.onnx")
    work_off(world)
    work_off(world)
    assert not os.path.lexists(tmp_path / "solo.onnx")
    world.clock.advance(3601)
    world.remove("en/alice")
    work_off(world)
    work_off(world)
    assert sorted(path.name for path in (tmp_path / "en").iterdir()) == ["bob"]
    assert world.read("de/carol") == V1


# What must never be taken for a deletion


@pytest.mark.parametrize("failure", [StoreUnavailable("S3 is down"), StoreDenied("no permission")])
@pytest.mark.parametrize("call", [1, 2], ids=["listing", "confirmation"])
def test_a_listing_that_fails_withdraws_nothing(world: World, failure: Exception, call: int) -> None:
    world.remove("m0")
    work_off(world)
    world.clock.advance(GRACE)
    world.store.plan("list", *[None] * (call - 1), *[failure] * 3)  # type: ignore[arg-type]
    result = world.sync("m0")
    assert (result.outcome, result.reason) == (Outcome.ERROR, str(failure))
    assert world.read("m0") == V1


def test_a_comparison_that_breaks_off_sets_no_tombstone(world: World) -> None:
    world.remove("m9")
    world.store.plan("scan", *[StoreUnavailable("broke off")] * 3)
    with pytest.raises(StoreUnavailable):
        work_off(world)
    assert current(world, "m9")["gone_since"] is None


def test_an_empty_bucket_removes_nothing_and_says_why(tmp_path: Path) -> None:
    world = fleet(tmp_path, number=3, rules=DeletionRules(grace_seconds=0, max_fraction=1.0))
    for n in range(3):
        world.remove(f"m{n}")
    for _ in range(3):
        work_off(world)
        world.clock.advance(1e6)
    assert shown(world) == ["m0", "m1", "m2"]
    assert all(current(world, model)["gone_since"] is None for model in shown(world)), "the grace did not even begin"
    status, reason = health(world)
    assert status is Status.DEGRADED
    assert "the bucket has no model, 3 are published: none is withdrawn; check S3_BUCKET_NAME" in reason
    assert {fact.reason for fact in world.told(ModelGone)} == {reason}  # type: ignore[attr-defined]
    for n in range(3):
        world.upload(f"m{n}", V1)
    work_off(world)
    assert health(world) == (Status.HEALTHY, "no published model has left the bucket")


def test_an_empty_bucket_stops_a_single_sync_too(tmp_path: Path) -> None:
    world = fleet(tmp_path, rules=AT_ONCE)
    for n in range(10):
        world.remove(f"m{n}")
    assert world.sync("m0").wait_seconds == 0
    result = world.sync("m0")
    assert "the bucket is empty" in result.reason
    assert (result.outcome, shown(world)[0]) == (Outcome.NOOP, "m0")


def test_the_last_models_never_go(tmp_path: Path) -> None:
    world = fleet(tmp_path, number=1, rules=AT_ONCE)
    world.remove("m0")
    world.bucket.put("other.onnx", b"not published yet")
    world.sync("m0")
    result = world.sync("m0")
    assert "never taken for a deletion" in result.reason
    assert shown(world) == ["m0"]
    world.sync("other.onnx")
    assert world.sync("m0").outcome is Outcome.SUCCESS, "now another one stays"
    assert shown(world) == ["other.onnx"]


def test_a_pinned_model_stays(world: World) -> None:
    path = world.home("m0") / "current.json"
    path.write_text(json.dumps(current(world, "m0") | {"pin": "rollback"}))
    world.remove("m0")
    for _ in range(3):
        work_off(world)
        world.sync("m0")
        world.clock.advance(GRACE)
    assert world.read("m0") == V1
    assert current(world, "m0")["gone_since"] is None


def test_a_model_that_the_configuration_leaves_out_has_not_left_the_bucket(world: World) -> None:
    other = World(world.base, store=world.bucket, naming=Naming(exclude=("m0", "m1")), rules=AT_ONCE)
    for _ in range(3):
        work_off(other)
        other.sync("m0")  # as by its name on the command line
    assert shown(other) == [f"m{n}" for n in range(10)]
    assert other.board.gone() == {}


def test_a_model_that_comes_back_at_the_last_moment_stays(world: World) -> None:
    world.remove("m0")
    work_off(world)
    world.clock.advance(GRACE)
    world.store.plan("list", None, lambda: world.upload("m0", V1))
    assert world.sync("m0").outcome is Outcome.NOOP
    assert world.read("m0") == V1
    assert current(world, "m0")["gone_since"] is None


def test_records_that_cannot_be_read_stop_a_withdrawal(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.remove("m0")
    work_off(world)
    world.clock.advance(GRACE)

    def fail() -> None:
        raise VolumeFailed("cannot read")

    monkeypatch.setattr(world.volume, "records", fail)
    assert world.sync("m0").outcome is Outcome.ERROR
    assert world.read("m0") == V1


def test_models_that_are_due_together_read_the_records_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(3):
        world.remove(f"m{n}")
    work_off(world)
    world.clock.advance(GRACE)
    reads = []
    records = world.volume.records
    monkeypatch.setattr(world.volume, "records", lambda: [reads.append(1), *records()][1:])
    work_off(world)
    assert (len(shown(world)), len(reads)) == (7, 1)
    world.clock.advance(3601)
    world.remove("m3")
    work_off(world)
    world.clock.advance(GRACE)
    work_off(world)
    assert (len(shown(world)), len(reads)) == (6, 2)


# The breaker


@pytest.mark.parametrize("rules", [DeletionRules(), AT_ONCE], ids=["with a grace", "at once"])
def test_too_many_at_once_stay_all_until_they_are_back(tmp_path: Path, rules: DeletionRules) -> None:
    world = fleet(tmp_path, rules=rules)
    for n in range(4):
        world.remove(f"m{n}")
    for _ in range(3):
        work_off(world)
        world.clock.advance(2 * GRACE)
    assert len(shown(world)) == 10
    status, reason = health(world)
    assert status is Status.DEGRADED
    assert "4 of 10 published models left the bucket (m0, m1, m2, m3): more than DELETE_MAX_FRACTION=0.3" in reason
    assert world.board.models()[ModelId("m0")].reason == reason
    for n in range(3):
        world.upload(f"m{n}", V1)
        work_off(world)
    assert health(world)[0] is Status.DEGRADED, "one is missing still, and who knows whether that is meant"
    assert "m3" in shown(world)
    world.upload("m3", V1)
    work_off(world)
    assert health(world)[0] is Status.HEALTHY


def test_what_one_comparison_finds_counts_before_its_tombstones_are_written(tmp_path: Path) -> None:
    world = fleet(tmp_path, rules=AT_ONCE)
    for n in range(4):
        world.remove(f"m{n}")
    for model in world.compare()[0]:
        for _ in range(2):
            world.sync(model)
    assert len(shown(world)) == 10, "not even the first"


def test_a_restart_does_not_forget_that_deletions_are_held_back(world: World) -> None:
    for n in range(5):
        world.remove(f"m{n}")
    work_off(world)
    for n in range(4):
        world.upload(f"m{n}", V1)
    world.clock.advance(GRACE)
    other = World(world.base, store=world.bucket)
    other.clock.advance(GRACE)
    work_off(other)
    assert other.read("m4") == V1
    assert "5 were missing at once" in health(other)[1]
    permissive = World(world.base, store=world.bucket, rules=DeletionRules(max_fraction=0.5))
    permissive.clock.advance(2 * GRACE)
    work_off(permissive)
    assert "m4" not in shown(permissive), "the operator has allowed for five"


def test_events_one_after_the_other_do_not_slip_under_the_breaker(tmp_path: Path) -> None:
    world = fleet(tmp_path, rules=AT_ONCE)
    for n in range(9):
        world.remove(f"m{n}")
        for _ in range(2):
            world.sync(f"m{n}")  # as for the event of its deletion
        world.clock.advance(300)
    assert len(shown(world)) == 7
    assert health(world)[0] is Status.DEGRADED


def test_slow_deletions_go_on(tmp_path: Path) -> None:
    world = fleet(tmp_path, rules=AT_ONCE)
    for n in range(9):
        world.remove(f"m{n}")
        for _ in range(2):
            world.sync(f"m{n}")
        world.clock.advance(3601)
    assert shown(world) == ["m9"]


def test_replicas_share_one_breaker(tmp_path: Path) -> None:
    worlds = [fleet(tmp_path, rules=AT_ONCE)]
    worlds += [World(tmp_path, store=worlds[0].bucket, rules=AT_ONCE) for _ in range(2)]
    for world in worlds:
        work_off(world)  # each knows all models
    for n in range(9):
        worlds[0].remove(f"m{n}")

    def take_part(which: int) -> None:
        for n in range(which, 9, 3):
            for _ in range(2):
                worlds[which].sync(f"m{n}")

    threads = [threading.Thread(target=take_part, args=(which,)) for which in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(shown(worlds[0])) >= 7


# Time, restarts, names


@pytest.mark.parametrize("restart", [False, True])
def test_the_grace_ends_without_another_comparison(tmp_path: Path, restart: bool) -> None:  # noqa: FBT001
    rules = DeletionRules(grace_seconds=50)
    world = fleet(tmp_path, rules=rules)
    world.remove("m0")
    if restart:
        work_off(world)
        world = World(tmp_path, store=world.bucket, rules=rules)
    reconciler = Reconciler(
        comparison=world.comparison, volume=world.volume, dirty=world.dirty, clock=world.clock,
        observe=world.observe, interval_seconds=0,
    )  # fmt: skip
    worker = Worker(world.dirty, world.sync_models, world.observe)
    threads = [
        threading.Thread(target=worker.run, args=(world.stop, lambda: None)),
        threading.Thread(target=reconciler.run, args=(world.stop, lambda: None)),
    ]
    for thread in threads:
        thread.start()
    start = world.clock.now()
    # The worker may be done before the comparison that marked the model has been told of.
    while not (world.told(Unpublished) and world.told(ReconcileFinished)):
        assert world.clock.now() - start < 1e6
    world.stop.set()
    world.dirty.drain(world.clock.monotonic() + 1e9)
    for thread in threads:
        thread.join(10)
    assert len(world.told(ReconcileFinished)) == 1
    assert "m0" not in shown(world)


def test_a_crash_between_link_and_record_is_finished(world: World) -> None:
    world.remove("m0")
    work_off(world)
    (world.base / "m0").unlink()
    work_off(world)
    assert current(world, "m0")["unpublished_at"] is not None
    assert world.compare()[0] == []


def test_a_link_that_an_operator_removed_is_put_on_record_whatever_the_breaker_says(tmp_path: Path) -> None:
    world = fleet(tmp_path, number=1)
    world.remove("m0")
    (world.base / "m0").unlink()
    world.bucket.put("notes.txt", b"the bucket is not empty")
    assert world.sync("m0").outcome is Outcome.SUCCESS
    assert current(world, "m0")["unpublished_at"] is not None


def test_a_link_that_is_back_beside_its_record_is_what_counts(world: World) -> None:
    target = os.readlink(world.base / "m0")
    world.remove("m0")
    work_off(world)
    world.clock.advance(GRACE)
    work_off(world)
    (world.base / "m0").symlink_to(target)  # as a power loss can bring it back
    world.clock.advance(GRACE)
    work_off(world)
    assert "m0" not in shown(world)
    (world.base / "m0").symlink_to(target)
    world.upload("m0", V1)
    work_off(world)
    assert current(world, "m0")["unpublished_at"] is None
    assert world.compare()[0] == []


def test_the_name_of_a_withdrawn_model_is_free(world: World) -> None:
    world.remove("m0")
    work_off(world)
    world.clock.advance(GRACE)
    world.upload("M0", V1)
    work_off(world)
    assert "M0" not in shown(world), "m0 had the name until just now"
    work_off(world)
    world.upload("M0", {"config.json": b"{ }"})
    work_off(world)
    assert world.read("M0")["config.json"] == b"{ }"
