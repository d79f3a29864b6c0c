"""The full comparison, and when it is made."""

from __future__ import annotations

import threading
from itertools import pairwise

import pytest

from modelsync.app.reconcile import Reconciler
from modelsync.app.worker import Worker
from modelsync.core.facts import KeyRefused, ReconcileFailed, ReconcileFinished
from modelsync.core.health import Status
from modelsync.core.names import ModelId
from modelsync.errors import StoreUnavailable
from support.world import World

V1 = {"model.onnx": b"weights 1", "config.json": b"{}"}


def run(world: World, *, until: int, interval_seconds: float = 1e12, ask: bool = False) -> None:
    """Run the loop with two workers until so many comparisons ended, well or not."""
    draining = threading.Event()
    reconciler = Reconciler(
        comparison=world.comparison, volume=world.volume, dirty=world.dirty, clock=world.clock,
        observe=world.observe, interval_seconds=interval_seconds,
    )  # fmt: skip
    if ask:
        reconciler.ask()

    def beat() -> None:
        if len(world.told(ReconcileFinished)) + len(world.told(ReconcileFailed)) >= until:
            draining.set()

    worker = Worker(world.dirty, world.sync_models, world.observe)
    threads = [threading.Thread(target=worker.run, args=(world.stop, lambda: None)) for _ in range(2)]
    for thread in threads:
        thread.start()
    reconciler.run(draining, beat)
    assert world.dirty.drain(world.clock.monotonic() + 1e9)
    for thread in threads:
        thread.join(10)


def test_the_first_comparison_brings_everything_and_is_put_on_record(world: World) -> None:
    for model in ("alice", "bob", "carol"):
        world.upload(model, V1)
    assert world.volume.reconciled() is None
    run(world, until=1)
    assert all(world.read(model) == V1 for model in ("alice", "bob", "carol"))
    found = world.volume.reconciled()
    assert found is not None
    assert (found.models, found.objects, found.changed, found.absent) == (3, 6, 3, 0)


def test_an_unchanged_bucket_costs_one_listing_and_no_lock(world: World) -> None:
    for model in ("alice", "bob"):
        world.upload(model, V1)
        world.sync(model)
    world.bucket.calls.clear()
    marked, found = world.compare()
    assert marked == []
    assert (found.models, found.changed) == (2, 0)
    assert world.bucket.calls == {"list": 1}


def test_what_an_event_missed_is_found(world: World) -> None:
    world.upload("alice", V1)
    world.sync("alice")
    world.upload("alice", {"config.json": b"{ }"})
    assert world.compare()[0] == ["alice"]


def test_a_listing_that_breaks_off_concludes_nothing(world: World) -> None:
    for model in ("alice", "bob"):
        world.upload(model, V1)
        world.sync(model)
    world.store.plan("scan", *[StoreUnavailable("broke off")] * 3)
    with pytest.raises(StoreUnavailable):
        world.compare()
    assert world.volume.reconciled() is None
    assert world.read("alice") == V1


def test_models_that_left_the_bucket_are_counted_and_kept(world: World) -> None:
    world.upload("alice", V1)
    world.sync("alice")
    for name in V1:
        world.bucket.remove(f"alice/{name}")
    marked, found = world.compare()
    assert (marked, found.absent) == ([], 1)
    assert world.read("alice") == V1


def test_a_key_that_names_no_model_is_told_and_stops_nobody(world: World) -> None:
    world.bucket.put("../evil.onnx", b"x")
    world.upload("alice", V1)
    marked, found = world.compare()
    assert marked == ["alice"]
    assert found.refused == 1
    assert len(world.told(KeyRefused)) == 1


def test_a_published_model_keeps_its_name_against_an_earlier_key(world: World) -> None:
    world.upload("alice", V1)
    world.sync("alice")
    world.upload("Alice", V1)
    marked, _ = world.compare()
    assert marked == ["Alice"]
    assert world.sync("Alice").outcome.value == "rejected"
    assert world.compare()[0] == []


def test_a_failed_comparison_is_told_and_made_again(world: World) -> None:
    world.upload("alice", V1)
    world.upload("bob", V1)
    world.store.plan("scan", *[StoreUnavailable("S3 is down")] * 3)
    run(world, until=2)
    assert [fact.reason for fact in world.told(ReconcileFailed)] == ["S3 is down"]  # type: ignore[attr-defined]
    assert len(world.told(ReconcileFinished)) == 1
    assert world.board.checks()["s3"].status is Status.HEALTHY
    assert world.read("alice") == V1


def test_s3_being_down_is_a_degraded_health_with_its_reason(world: World) -> None:
    world.upload("alice", V1)
    world.upload("bob", V1)
    world.store.plan("scan", *[StoreUnavailable("S3 is down")] * 3)
    run(world, until=1)
    check = world.board.checks()["s3"]
    assert (check.status, check.reason) == (Status.DEGRADED, "S3 is down")


def test_a_model_that_fails_does_not_hold_the_record_back(world: World) -> None:
    world.upload("alice", V1)
    world.upload("bob", V1)
    world.bucket.corrupt("alice/model.onnx")
    run(world, until=1)
    assert world.volume.reconciled() is not None
    assert world.board.models()[ModelId("alice")].state == "rejected"
    assert world.board.checks()["sync"].status is Status.DEGRADED


def alone(world: World, interval_seconds: float) -> Reconciler:
    """A reconciler without workers: nothing but its own waits makes time pass."""
    return Reconciler(
        comparison=world.comparison,
        volume=world.volume,
        dirty=world.dirty,
        clock=world.clock,
        observe=world.observe,
        interval_seconds=interval_seconds,
    )


def test_comparisons_go_on_every_interval_with_jitter(world: World) -> None:
    """Replicas that start together do not go on listing together."""
    draining = threading.Event()
    ends: list[float] = []

    def beat() -> None:
        if len(world.told(ReconcileFinished)) > len(ends):
            ends.append(world.clock.now())
        if len(ends) == 20:
            draining.set()

    alone(world, 100.0).run(draining, beat)
    pauses = [later - earlier for earlier, later in pairwise(ends)]
    assert min(pauses) >= 90
    assert max(pauses) <= 110
    assert max(pauses) - min(pauses) > 2


def test_an_interval_of_nothing_means_once(world: World) -> None:
    waits = iter(range(50))
    draining = threading.Event()

    def beat() -> None:
        if next(waits, None) is None:
            draining.set()

    alone(world, 0.0).run(draining, beat)
    assert len(world.told(ReconcileFinished)) == 1


@pytest.mark.parametrize("before", [False, True], ids=["first", "later"])
def test_a_comparison_whose_syncs_outlast_the_interval_counts_unless_it_is_the_first(
    world: World,
    before: bool,  # noqa: FBT001
) -> None:
    """The first one tells that there is something to read; a later one how old the view of the bucket is."""
    if before:
        world.volume.record_reconciled(world.compare()[1])
        world.clock.advance(1000)
    world.upload("alice", V1)  # nobody syncs it
    start, stop = world.clock.now(), threading.Event()

    def beat() -> None:
        if world.clock.now() > start + 1000:
            stop.set()

    Reconciler(
        comparison=world.comparison,
        volume=world.volume,
        dirty=world.dirty,
        clock=world.clock,
        observe=world.observe,
        interval_seconds=300.0,
    ).run(stop, beat)
    found = world.volume.reconciled()
    assert bool(world.told(ReconcileFinished)) == before
    assert (found is not None and found.finished_at >= start) == before
