"""A worker that dies before any one of its calls to the file system, one run for each of them.

After every death a reader must see one whole version, and the next worker must finish the job
and leave nothing behind.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fakes.store import FakeStore
from modelsync.core.deletions import DeletionRules
from modelsync.core.facts import Outcome
from modelsync.core.names import ModelId
from modelsync.core.parts import MIB
from modelsync.core.retention import RetentionRules
from modelsync.core.status import told
from support.crash import DIED, deaths, die_before, in_child, names, seen_by_a_reader
from support.damage import flip
from support.world import World

SHARED = {"shared.onnx": bytes(1 << 16), "shared.bin": bytes(range(256)) * 256}  # one is linked, one is copied
V1 = {"model.onnx": b"weights 1", "config.json": b"{}", "de/vocab.txt": b"abc"} | SHARED
V2 = {"model.onnx": bytes(range(256)) * (70 * 1024), "config.json": b"{ }", "de/words.txt": b"abc"} | SHARED
assert len(V2["model.onnx"]) > 16 * MIB, "large enough for two parts"


def world(base: Path, files: dict[str, bytes]) -> World:
    """A worker of its own on the volume; one connection for large files, so that steps come in much the same order."""
    store = FakeStore()
    made = World(base, store=store, concurrency=1, rules=DeletionRules(grace_seconds=0))
    made.upload("alice", files)
    return made


@pytest.mark.parametrize("before", [None, V1], ids=["first publication", "update"])
def test_death_before_any_step_shows_readers_one_whole_version(tmp_path: Path, before: dict[str, bytes] | None) -> None:
    template = tmp_path / "template"
    template.mkdir()
    if before is not None:

        def publish() -> None:
            assert world(template, before).sync("alice").outcome is Outcome.SUCCESS

        assert in_child(publish) == 0

    def work(base: Path, count: Callable[[], None]) -> None:
        made = world(base, V2)
        count()
        assert made.sync("alice").outcome is Outcome.SUCCESS

    def recover(base: Path) -> None:
        made = world(base, V2)
        while made.compare()[0]:
            assert made.sync("alice").outcome in {Outcome.SUCCESS, Outcome.NOOP}

    for base, step, done in deaths(template, tmp_path, work, least=25):
        assert seen_by_a_reader(base) in ([V2] if done else [before, V2]), f"step {step}"
        assert in_child(recover, base) == 0, f"recovery after step {step}"
        assert seen_by_a_reader(base) == V2, f"step {step}"
        if done:
            assert not [name for name in names(base) if ".tmp-" in name or "staging" in name]


def test_death_before_any_step_of_a_repair_shows_readers_the_published_revision_or_the_repaired_one(
    tmp_path: Path,
) -> None:
    template = tmp_path / "template"
    template.mkdir()

    def publish() -> None:
        assert world(template, V1).sync("alice").outcome is Outcome.SUCCESS
        flip((template / "alice").resolve() / "model.onnx")

    assert in_child(publish) == 0
    damaged = seen_by_a_reader(template)
    assert damaged != V1

    def work(base: Path, count: Callable[[], None]) -> None:
        made = world(base, V1)
        count()
        assert made.repair("alice").outcome is Outcome.SUCCESS

    def recover(base: Path) -> None:
        made = world(base, V1)
        made.settle("alice")
        while made.compare()[0]:
            assert made.sync("alice").outcome in {Outcome.SUCCESS, Outcome.NOOP}
        assert made.verify("alice").findings == ()

    for base, step, done in deaths(template, tmp_path, work, least=25):
        assert seen_by_a_reader(base) in ([V1] if done else [damaged, V1]), f"step {step}"
        assert in_child(recover, base) == 0, f"recovery after step {step}"
        assert seen_by_a_reader(base) == V1, f"step {step}"
        assert not [name for name in names(base) if ".tmp-" in name or "staging" in name], f"step {step}"


def test_repeated_deaths_get_the_job_done_at_last(tmp_path: Path) -> None:
    """No life is long enough for the whole job: each must build on what the ones before it left."""
    for life in range(1, 50):

        def work(life: int = life) -> None:
            made = world(tmp_path, V2)
            die_before(50 + life % 7)  # one part takes 32 writes
            while made.compare()[0]:
                made.sync("alice")

        ended = in_child(work)
        assert ended in {0, DIED}
        assert seen_by_a_reader(tmp_path) in [None, V2]
        if ended == 0:
            break
    assert life > 1, "one life was not enough"
    assert seen_by_a_reader(tmp_path) == V2
    assert not [name for name in names(tmp_path) if ".tmp-" in name or "staging" in name]


def test_death_while_a_model_is_withdrawn_leaves_it_whole_or_gone(tmp_path: Path) -> None:
    template = tmp_path / "template"
    template.mkdir()

    def others(base: Path) -> World:
        made = world(base, {})
        made.upload("bob", V1)
        return made

    def publish() -> None:
        made = others(template)
        made.upload("alice", V1)
        assert {made.sync(model).outcome for model in ("alice", "bob")} == {Outcome.SUCCESS}

    assert in_child(publish) == 0

    def work(base: Path, count: Callable[[], None]) -> None:
        made = others(base)
        count()
        made.sync("alice")  # the tombstone
        assert made.sync("alice").outcome is Outcome.SUCCESS

    def recover(base: Path) -> None:
        made = others(base)
        while made.compare()[0]:
            made.sync("alice")
        assert seen_by_a_reader(base) is None
        current = made.volume.published(ModelId("alice")).current
        assert current is not None
        assert current.unpublished_at is not None
        assert not [name for name in names(base) if ".tmp-" in name]
        made.bucket.calls.clear()
        made.upload("alice", V1)
        assert made.sync("alice").outcome is Outcome.SUCCESS
        assert made.bucket.calls["get"] == 0, "the revision was kept"

    for base, step, done in deaths(template, tmp_path, work, least=8):
        assert seen_by_a_reader(base) in ([None] if done else [V1, None]), f"step {step}"
        assert in_child(recover, base) == 0, f"recovery after step {step}"
        assert seen_by_a_reader(base) == V1, f"step {step}"


def test_death_while_a_revision_is_removed_leaves_what_readers_see_and_no_rest(tmp_path: Path) -> None:
    template = tmp_path / "template"
    template.mkdir()

    def keeper(base: Path) -> World:
        return World(base, store=FakeStore(), retention=RetentionRules(keep=0, stale_seconds=0))

    def publish() -> None:
        for files in (V1, V2):
            assert world(template, files).sync("alice").outcome is Outcome.SUCCESS

    assert in_child(publish) == 0

    def work(base: Path, count: Callable[[], None]) -> None:
        made = keeper(base)
        count()
        assert [item for item in made.collect() if item.remove]

    def recover(base: Path) -> None:
        keeper(base).collect()

    for base, step, _ in deaths(template, tmp_path, work, least=8):
        assert seen_by_a_reader(base) == V2, f"step {step}"
        assert in_child(recover, base) == 0, f"recovery after step {step}"
        assert seen_by_a_reader(base) == V2, f"step {step}"
        assert len(os.listdir(base / ".modelsync/models/alice/revisions")) == 1, f"step {step}"
        assert not [name for name in names(base) if ".tmp-" in name], f"step {step}"


def test_death_while_a_model_is_refused_leaves_the_refusal_or_nothing(tmp_path: Path) -> None:
    template = tmp_path / "template"
    template.mkdir()

    def damaged(base: Path) -> World:
        made = world(base, {"model.onnx": b"weights 1"})
        made.bucket.corrupt("alice/model.onnx")
        return made

    def work(base: Path, count: Callable[[], None]) -> None:
        made = damaged(base)
        count()
        assert made.sync("alice").outcome is Outcome.REJECTED

    def recover(base: Path) -> None:
        made = damaged(base)
        while made.compare()[0]:
            assert made.sync("alice").outcome is Outcome.REJECTED
        assert len(made.volume.published(ModelId("alice")).quarantined) == 1

    for base, step, _ in deaths(template, tmp_path, work, least=15):
        assert in_child(recover, base) == 0, f"recovery after step {step}"
        assert seen_by_a_reader(base) is None, f"step {step}"
        assert not [name for name in names(base) if ".tmp-" in name or "staging" in name], f"step {step}"


CACHE = RetentionRules(keep=0, stale_seconds=0, evict_current=True)
ROOM = 64 << 10


def test_death_while_a_model_is_evicted_leaves_it_whole_or_evicted(tmp_path: Path) -> None:
    """Its link goes, the record says why, its files go: the next one who needs room does what is left of that."""
    template = tmp_path / "template"
    template.mkdir()

    def cached(base: Path) -> World:
        made = World(base, store=FakeStore(), concurrency=1, retention=CACHE)
        made.upload("alice", V1)
        return made

    def publish() -> None:
        assert cached(template).sync("alice").outcome is Outcome.SUCCESS

    assert in_child(publish) == 0

    def work(base: Path, count: Callable[[], None]) -> None:
        made = cached(base)
        made.clock.advance(100)
        count()
        assert made.collector.make_room(ROOM, lambda: None)

    def recover(base: Path, seen: dict[str, bytes] | None) -> None:
        made = cached(base)
        made.clock.advance(200)
        while made.compare()[0]:
            made.sync("alice")
        made.collector.make_room(ROOM, lambda: None)
        made.collect()
        assert seen_by_a_reader(base) is None
        current = made.volume.published(ModelId("alice")).current
        assert current is not None
        if seen is None or current.evicted:
            assert made.sync("alice").outcome is Outcome.NOOP, "it comes back when it is asked for"
        assert not [name for name in names(base) if ".tmp-" in name]
        assert not os.listdir(made.home("alice") / "revisions")
        assert made.sync("alice", wanted=True).outcome is Outcome.SUCCESS

    for base, step, done in deaths(template, tmp_path, work, least=8):
        seen = seen_by_a_reader(base)
        assert seen in ([None] if done else [V1, None]), f"step {step}"
        assert in_child(recover, base, seen) == 0, f"recovery after step {step}"
        assert seen_by_a_reader(base) == V1, f"step {step}"


def test_death_while_a_model_is_forgotten_leaves_a_record_that_says_so_or_nothing(tmp_path: Path) -> None:
    template = tmp_path / "template"
    template.mkdir()

    def keeper(base: Path) -> World:
        rules = DeletionRules(grace_seconds=0)
        made = World(base, store=FakeStore(), rules=rules, retention=RetentionRules(keep=0, stale_seconds=0))
        made.upload("bob", V1)
        return made

    def publish() -> None:
        made = keeper(template)
        made.upload("alice", V1)
        assert {made.sync(model).outcome for model in ("alice", "bob")} == {Outcome.SUCCESS}
        made.remove("alice")
        made.sync("alice")  # the tombstone
        assert made.sync("alice").outcome is Outcome.SUCCESS

    assert in_child(publish) == 0

    def work(base: Path, count: Callable[[], None]) -> None:
        made = keeper(base)
        made.clock.advance(100)
        count()
        made.collector.make_room(ROOM, lambda: None)

    def recover(base: Path) -> None:
        made = keeper(base)
        made.clock.advance(200)
        made.compare()
        made.collect()
        if (made.home("alice") / "current.json").exists():  # the death came before its last revision went
            assert os.listdir(made.home("alice") / "revisions")
            made.collector.make_room(ROOM, lambda: None)
        assert not told(made.volume.published(ModelId("alice")), None), "nothing tells of it any more"
        left = made.home("alice")
        assert not left.exists() or os.listdir(left) in ([], ["writer.lock"])

    for base, step, _ in deaths(template, tmp_path, work, least=10):
        assert in_child(recover, base) == 0, f"recovery after step {step}"
