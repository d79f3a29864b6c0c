"""The check `volume`: what syncs met on it stays told until they no longer do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from modelsync.app.dirty import DirtyModels
from modelsync.app.janitor import Janitor
from modelsync.app.trouble import COMPARISON, report
from modelsync.app.worker import Worker
from modelsync.core.facts import HealthChanged, ModelAbsent, ReconcileFinished, VolumeTried
from modelsync.core.health import Check, Status
from modelsync.core.manifest import Reconciled
from modelsync.core.names import ModelId
from modelsync.core.parts import MIB
from modelsync.errors import StoreDenied, VolumeFailed
from support.world import World


def look(world: World) -> Check:
    """The check after the volume was tried once more."""
    world.clock.advance(15)
    Janitor(world.volume, world.clock, world.observe)._try()
    return world.board.checks()["volume"]


def work(world: World, model: str) -> None:
    """Let a worker sync one model, as the service does."""
    world.dirty = DirtyModels(world.clock)
    world.dirty.mark(ModelId(model), why="test")
    Worker(world.dirty, world.sync_models, world.observe).run(world.stop, lambda: world.dirty.drain(0.0) and None)


@pytest.mark.parametrize("rule", ["budget", "least free"])
def test_a_model_without_room_keeps_the_volume_degraded_until_it_has_room(tmp_path: Path, rule: str) -> None:
    limits = {"budget_bytes": MIB} if rule == "budget" else {"min_free_bytes": 1 << 60}
    world = World(tmp_path, **limits)
    world.upload("bob", {"model.onnx": os.urandom(2 * MIB)})
    assert look(world).status is Status.HEALTHY
    work(world, "bob")
    since = world.clock.now()
    for _ in range(3):
        check = look(world)
        assert (check.status, check.since) == (Status.DEGRADED, since)
        assert check.reason.startswith("bob: 2.0 MiB are needed")
    work(world, "bob")
    assert look(world).since == since
    told = [fact.status for fact in world.told(HealthChanged) if fact.check == "volume"]
    assert told == sorted(told, reverse=True), "healthy, then degraded: the log and the stream see no flapping"
    world.remove("bob")
    work(world, "bob")
    assert look(world).status is Status.HEALTHY


def test_one_model_does_not_clear_what_another_met(tmp_path: Path) -> None:
    world = World(tmp_path)
    for name in ("alice", "bob"):
        report(VolumeFailed(f"{name} did not fit"), world.observe, name)
    world.upload("bob", {"model.onnx": b"w"})
    assert look(world).reason == "bob: bob did not fit (and 1 more)"
    work(world, "bob")
    assert look(world).reason == "alice: alice did not fit"
    world.observe(VolumeTried(Status.UNHEALTHY, "it is gone"))
    assert world.board.checks()["volume"].status is Status.UNHEALTHY, "what is worse is told first"
    world.observe(ModelAbsent(ModelId("alice")))
    assert look(world).status is Status.HEALTHY


def test_a_failed_call_of_a_comparison_is_told_until_one_is_through(tmp_path: Path) -> None:
    world = World(tmp_path)
    report(VolumeFailed("cannot record the comparison"), world.observe, COMPARISON)
    report(StoreDenied("no permission"), world.observe, COMPARISON)
    assert look(world).status is Status.DEGRADED
    world.observe(ReconcileFinished(Reconciled(1.0, 0, 0, 0, 0), 0.5))
    assert look(world).status is Status.HEALTHY
    assert world.board.checks()["s3"].reason == "no permission"
