"""Revisions that the gate refuses: readers keep theirs, and the refusal stands until something changes."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fakes.gate import BAD, ODD, FakeGate
from modelsync.core import facts
from modelsync.core.facts import Outcome
from modelsync.core.limits import GateLimits
from modelsync.core.manifest import Quarantine
from modelsync.core.names import ModelId
from modelsync.core.status import State
from modelsync.errors import GateFailed, ModelBusy, Stopped

from support.world import World  # isort: skip

A = ModelId("alice")
FILES = {"model.onnx": b"weights 1", "de/config.json": b"{}"}
WRONG = FILES | {"de/config.json": BAD + b"{}"}
Make = Callable[..., World]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes worlds of one bucket and volume, as restarts with another configuration do."""
    made: list[World] = []

    def make(gate: FakeGate, *, keep_refused: bool = False) -> World:
        (tmp_path / "volume").mkdir(exist_ok=True)
        before = made[0] if made else None
        world = World(
            tmp_path / "volume",
            gate=gate,
            keep_refused=keep_refused,
            store=before and before.bucket,
            clock=before and before.clock,
        )
        made.append(world)
        return world

    yield make
    for world in made:
        world.fetcher.close()


def fetched(world: World) -> int:
    return sum(fact.count for fact in world.told(facts.BytesFetched))


def quarantined(world: World) -> Quarantine:
    (record,) = world.volume.published(A).quarantined
    return record


def test_what_passes_is_published_and_its_manifest_names_the_rules(make: Make) -> None:
    gate = FakeGate("rules-1")
    world = make(gate)
    world.upload("alice", FILES)
    result = world.sync("alice")
    assert (result.outcome, world.read("alice")) == (Outcome.SUCCESS, FILES)
    assert gate.judged == [["de/config.json", "model.onnx"]]
    assert result.revision is not None
    manifest = world.volume.manifest(A, result.revision)
    assert manifest is not None
    assert manifest.gate == "rules-1"
    assert "gate" in world.told(facts.SyncFinished)[-1].stages


def test_what_is_refused_is_on_record_with_its_file_and_readers_keep_theirs(make: Make) -> None:
    world = make(FakeGate())
    world.upload("alice", FILES)
    world.sync("alice")
    world.upload("alice", WRONG)
    result = world.sync("alice")
    assert (result.outcome, result.reason) == (Outcome.REJECTED, "'de/config.json': it is bad")
    assert world.read("alice") == FILES
    record = quarantined(world)
    assert (record.rule, record.revision, record.rules) == ("fake", result.revision, "rules-1")
    assert record.rejected_at == world.clock.now()
    assert record.file is not None
    assert (record.file.path, record.file.size_bytes) == ("de/config.json", len(WRONG["de/config.json"]))
    assert len(record.file.crc64nvme) == 16
    assert world.told(facts.RevisionRejected)[-1].rule == "fake"
    names = {path.name for path in (world.home("alice") / "quarantine").iterdir()}
    assert names == {f"{result.revision}.json"}
    assert not (world.home("alice") / "staging").exists(), "its bytes are gone"
    view = world.board.models()[A]
    assert (view.state, view.reason) == (State.REJECTED, result.reason)


def test_it_is_not_fetched_again_until_the_bucket_changes(make: Make) -> None:
    gate = FakeGate()
    world = make(gate)
    world.upload("alice", WRONG)
    world.sync("alice")
    before = fetched(world)
    assert world.compare()[0] == [], "a comparison does not ask for it"
    assert world.sync("alice").outcome is Outcome.REJECTED
    assert (fetched(world), len(gate.judged)) == (before, 1)
    world.upload("alice", FILES)
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.read("alice") == FILES


def test_a_recheck_fetches_and_judges_it_once_more(make: Make) -> None:
    gate = FakeGate()
    world = make(gate)
    world.upload("alice", WRONG)
    world.sync("alice")
    before = fetched(world)
    world.overrides.recheck(A)
    assert world.volume.published(A).quarantined == ()
    assert world.compare()[0] == [A]
    assert world.sync("alice").outcome is Outcome.REJECTED
    assert (fetched(world) > before, len(gate.judged)) == (True, 2)
    assert quarantined(world).rule == "fake"
    world.overrides.recheck(ModelId("nobody"))
    with world.volume.writer(A), pytest.raises(ModelBusy):
        world.overrides.recheck(A)


def test_other_rules_lift_a_refusal(make: Make) -> None:
    make(FakeGate("strict")).upload("alice", WRONG)
    world = make(FakeGate("strict"))
    world.sync("alice")
    gate = FakeGate("lenient")
    world = make(gate)
    assert world.compare()[0] == [A]
    assert world.sync("alice").outcome is Outcome.REJECTED
    assert (len(gate.judged), quarantined(world).rules) == (1, "lenient")
    assert world.compare()[0] == []


@pytest.mark.parametrize(
    "limits",
    [
        GateLimits(max_files=1),
        GateLimits(max_file_bytes=8),
        GateLimits(max_model_bytes=10),
        GateLimits(max_path_depth=1),
    ],
)
def test_what_is_too_large_is_refused_before_a_byte_of_it_is_fetched(make: Make, limits: GateLimits) -> None:
    gate = FakeGate()
    gate.limits = limits
    world = make(gate)
    world.upload("alice", FILES)
    result = world.sync("alice")
    assert result.outcome is Outcome.REJECTED
    assert "but GATE_MAX_" in result.reason
    assert (fetched(world), gate.judged) == (0, [])
    record = quarantined(world)
    assert (record.rule, record.rules) == ("limits", "rules-1")
    assert not (world.home("alice") / "staging").exists()
    again = make(FakeGate("rules-2"))
    assert again.sync("alice").outcome is Outcome.SUCCESS, "other limits are other rules"


def test_a_kept_revision_is_judged_again_only_by_other_rules(make: Make) -> None:
    gate = FakeGate("rules-1")
    world = make(gate)
    for content in (FILES, FILES | {"model.onnx": b"weights 2"}, FILES):
        world.upload("alice", content)
        assert world.sync("alice").outcome is Outcome.SUCCESS
    assert len(gate.judged) == 2, "it had passed these rules before"
    gate = FakeGate("rules-2")
    world = make(gate)
    assert world.compare()[0] == [], "what readers see is not judged again"
    world.upload("alice", {"model.onnx": b"weights 2"})
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert len(gate.judged) == 1


def test_a_kept_revision_that_fails_other_rules_is_not_shown_again(make: Make, tmp_path: Path) -> None:
    lenient = FakeGate("lenient")
    world = make(lenient)
    world.upload("alice", FILES)
    world.sync("alice")
    (tmp_path / "none").mkdir()
    ungated = World(world.base, store=world.bucket, clock=world.clock)
    world.upload("alice", WRONG)
    assert ungated.sync("alice").outcome is Outcome.SUCCESS, "without a gate it is published"
    world.upload("alice", FILES)
    assert ungated.sync("alice").outcome is Outcome.SUCCESS
    ungated.fetcher.close()
    world.upload("alice", WRONG)
    result = world.sync("alice")
    assert (result.outcome, world.read("alice")) == (Outcome.REJECTED, FILES)
    assert quarantined(world).file is not None
    assert world.compare()[0] == []


def test_an_operators_pin_is_not_judged(make: Make) -> None:
    world = make(FakeGate("rules-1"))
    world.upload("alice", FILES)
    world.sync("alice")
    world.overrides.pin(A)
    (world.base / "alice").unlink()
    gate = FakeGate("rules-2")
    world = make(gate)
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert (world.read("alice"), gate.judged) == (FILES, [])


def test_what_is_only_warned_of_is_published_and_told(make: Make) -> None:
    world = make(FakeGate())
    world.upload("alice", FILES | {"model.onnx": ODD + b"1"})
    assert world.sync("alice").outcome is Outcome.SUCCESS
    (warned,) = world.told(facts.GateWarned)
    assert (warned.model, warned.rule, warned.reason) == (A, "fake", "'model.onnx': it is odd")


@pytest.mark.parametrize("error", [GateFailed("it cannot be started"), Stopped("the service ends")])
def test_without_a_judgement_nothing_is_published_and_nothing_fetched_again(make: Make, error: Exception) -> None:
    gate = FakeGate()
    gate.failing = error
    world = make(gate)
    world.upload("alice", FILES)
    if isinstance(error, Stopped):
        with pytest.raises(Stopped):
            world.sync("alice")
    else:
        result = world.sync("alice")
        assert (result.outcome, result.reason) == (Outcome.ERROR, "it cannot be started")
    assert not (world.base / "alice").exists()
    assert world.volume.published(A).quarantined == ()
    before, gate.failing = fetched(world), None
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert fetched(world) == before


def test_the_files_of_the_last_refused_revision_can_be_kept(make: Make) -> None:
    world = make(FakeGate(), keep_refused=True)
    quarantine = world.home("alice") / "quarantine"
    kept = []
    for content in (WRONG, WRONG | {"model.onnx": b"weights 2"}):
        world.upload("alice", content)
        revision = world.sync("alice").revision
        assert revision is not None
        kept.append(quarantine / revision)
        assert {path.name: path.read_bytes() for path in kept[-1].rglob("*.*") if "files" in path.parts} == {
            "model.onnx": content["model.onnx"],
            "config.json": content["de/config.json"],
        }
        assert stat.S_IMODE(kept[-1].stat().st_mode) == 0o700, "readers cannot enter it"
    assert not kept[0].exists(), "of each model the last one"
    assert len(list(quarantine.glob("*.json"))) == 2
    assert {record.revision for record in world.volume.published(A).quarantined} == {path.name for path in kept}
    assert json.loads(kept[1].with_suffix(".json").read_bytes())["rule"] == "fake"
    world.overrides.recheck(A)
    assert not quarantine.exists()
