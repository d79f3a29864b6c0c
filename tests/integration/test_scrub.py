"""The background scrub, in virtual time on a real volume."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from modelsync.app.scrub import LEAST_PASS_SECONDS, Scrubber
from modelsync.core.facts import BytesScrubbed, DamageFound, Fact, Outcome, ScrubFailed, ScrubFinished
from modelsync.core.health import Status
from modelsync.core.manifest import Scrubbed
from modelsync.core.names import ModelId
from support.damage import flip, open_up, remove
from support.world import World

RATE = 1_000_000
FILES = {
    model: {"model.onnx": os.urandom(300_000), "config.json": b"{}", "vocab.txt": b"abc"}
    for model in ("alice", "bob", "carol")
}


@pytest.fixture
def volume(world: World) -> World:
    """A volume with three models."""
    for model, files in FILES.items():
        world.upload(model, files)
        assert world.sync(model).outcome is Outcome.SUCCESS
    world.facts.clear()
    return world


def scrub(world: World, until: Callable[[Fact], bool] | int = 1) -> None:
    """Scrub until so many passes are complete, or a fact is told."""
    draining = threading.Event()
    passes = until if isinstance(until, int) else None

    def observe(fact: Fact, /) -> None:
        world.observe(fact)
        if (len(world.told(ScrubFinished)) >= passes) if passes is not None else until(fact):  # type: ignore[operator]
            draining.set()

    Scrubber(volume=world.volume, dirty=world.dirty, clock=world.clock, observe=observe, bytes_per_second=RATE).run(
        draining, lambda: None
    )


def read_bytes(world: World) -> int:
    return sum(fact.count for fact in world.facts if isinstance(fact, BytesScrubbed))


def file(world: World, model: str, name: str) -> Path:
    return (world.base / model).resolve() / name


def size(world: World) -> int:
    return sum(path.stat().st_size for model in FILES for path in file(world, model, "").iterdir())


def test_a_pass_reads_every_file_once_at_its_rate_and_is_put_on_record(volume: World) -> None:
    start = volume.clock.now()
    scrub(volume)
    assert read_bytes(volume) == size(volume)
    assert volume.clock.now() - start == pytest.approx(size(volume) / RATE, rel=0.05)
    [fact] = volume.told(ScrubFinished)
    assert isinstance(fact, ScrubFinished)
    assert (fact.found.files, fact.found.size_bytes, fact.found.damaged) == (9, size(volume), 0)
    assert volume.volume.scrubbed() == fact.found
    assert fact.found.finished_at == pytest.approx(volume.clock.now())


def test_a_small_volume_is_not_read_over_and_over(volume: World) -> None:
    start = volume.clock.now()
    scrub(volume, 3)
    assert volume.clock.now() - start >= 2 * LEAST_PASS_SECONDS


def test_a_restart_between_two_passes_does_not_begin_one(volume: World) -> None:
    scrub(volume)
    done = volume.volume.scrubbed()
    draining = threading.Event()
    scrubber = Scrubber(
        volume=volume.volume, dirty=volume.dirty, clock=volume.clock, observe=volume.observe, bytes_per_second=RATE
    )
    scrubber.run(draining, draining.set)  # it is told to end while it waits
    assert volume.volume.scrubbed() == done


@pytest.mark.parametrize("stops", [1, 3, 6])
def test_a_restart_goes_on_where_it_was(volume: World, stops: int) -> None:
    """However often it is stopped: no file is left out, and only the one under way is read twice."""
    for number in range(1, stops + 1):
        whole = size(volume) * number // (stops + 1)
        scrub(volume, lambda _: read_bytes(volume) >= whole)  # noqa: B023 - called before the next round
    scrub(volume)
    [fact] = volume.told(ScrubFinished)
    assert isinstance(fact, ScrubFinished)
    assert fact.found.files == 9
    assert read_bytes(volume) <= size(volume) + stops * 300_000


def test_a_crash_costs_at_most_the_last_seconds(volume: World) -> None:
    """Nothing is recorded at the end of a process that is killed: what is on record is not old."""
    volume.upload("big", {"model.onnx": b"w", **{f"{n:03}.bin": os.urandom(500_000) for n in range(60)}})
    assert volume.sync("big").outcome is Outcome.SUCCESS
    on_record: list[Scrubbed | None] = []

    def killed(_: Fact) -> bool:
        if read_bytes(volume) > 25_000_000 and not on_record:
            on_record.append(volume.volume.scrubbed())
        return bool(on_record)

    scrub(volume, killed)
    [found] = on_record
    assert found is not None
    assert found.size_bytes > 25_000_000 - 11 * RATE


def test_damage_is_set_aside_told_and_its_model_marked_for_a_worker(volume: World) -> None:
    flip(file(volume, "bob", "model.onnx"))
    scrub(volume)
    [fact] = volume.told(DamageFound)
    assert isinstance(fact, DamageFound)
    assert (fact.model, fact.finding.path, fact.finding.kind, fact.seen) == ("bob", "model.onnx", "crc64nvme", True)
    check = volume.board.checks()["scrub"]
    assert check.status is Status.DEGRADED
    assert check.reason.startswith("bob: model.onnx: crc64nvme is ")
    work = volume.dirty.take(lambda: None)
    assert work is not None
    assert work.model == "bob"
    assert work.why.startswith("damaged: model.onnx")
    volume.sync("bob")
    assert volume.board.checks()["scrub"].status is Status.HEALTHY
    assert volume.read("bob") == FILES["bob"]
    scrub(volume, 2)
    assert len(volume.told(DamageFound)) == 1
    finished = volume.told(ScrubFinished)
    assert [fact.found.damaged for fact in finished if isinstance(fact, ScrubFinished)] == [1, 0]


def test_a_file_that_is_missing_is_found_without_reading_the_rest(volume: World) -> None:
    remove(file(volume, "alice", "vocab.txt"))
    scrub(volume)
    [fact] = volume.told(DamageFound)
    assert isinstance(fact, DamageFound)
    assert fact.finding.kind == "missing"
    assert volume.volume.published(ModelId("alice")).damage == (fact.finding,)


def test_a_writable_file_is_made_read_only_and_is_no_reason_to_build_anew(volume: World) -> None:
    path = file(volume, "alice", "config.json")
    open_up(path)
    scrub(volume)
    assert path.stat().st_mode & 0o777 == 0o444
    assert volume.board.checks()["scrub"].status is Status.HEALTHY
    assert volume.volume.published(ModelId("alice")).consistent
    assert read_bytes(volume) == size(volume)


def test_of_all_replicas_one_scrubs_at_a_time(volume: World) -> None:
    rival = threading.Event()
    waits = iter(range(100))

    def beat() -> None:
        if next(waits, None) is None:
            rival.set()

    other = World(volume.base, store=volume.bucket)
    with volume.volume.scrubbing() as alone:
        assert alone
        Scrubber(
            volume=other.volume, dirty=other.dirty, clock=other.clock, observe=other.observe, bytes_per_second=RATE
        ).run(rival, beat)
    assert other.told(BytesScrubbed) == []
    scrub(other)
    assert read_bytes(other) == size(volume)


def test_a_volume_that_goes_away_is_told_and_the_scrub_goes_on_when_it_is_back(volume: World) -> None:
    away = volume.base.with_name(f"{volume.base.name}-away")
    volume.base.rename(away)

    def back(fact: Fact) -> bool:
        if isinstance(fact, ScrubFailed) and away.exists():
            away.rename(volume.base)
        return isinstance(fact, ScrubFinished)

    scrub(volume, back)
    assert len(volume.told(ScrubFailed)) == 1
    [fact] = volume.told(ScrubFinished)
    assert isinstance(fact, ScrubFinished)
    assert fact.found.files == 9


def test_a_record_that_cannot_be_read_means_from_the_start(volume: World) -> None:
    (volume.base / ".modelsync" / "scrub.json").write_bytes(b"{")
    scrub(volume)
    assert read_bytes(volume) == size(volume)


def test_a_model_that_is_removed_meanwhile_is_passed_over(volume: World) -> None:
    def removed(fact: Fact) -> bool:
        if isinstance(fact, BytesScrubbed) and fact.count:
            shutil.rmtree(volume.home("bob") / "revisions", ignore_errors=True)
        return isinstance(fact, ScrubFinished)

    scrub(volume, removed)
    assert volume.told(DamageFound) == []
