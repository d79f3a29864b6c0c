"""A rollback that dies before any one of its calls to the file system, one run for each of them.

The rename of the link is the moment: a death before it leaves everything as it was, one after it
leaves the model rolled back and pinned.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fakes.store import FakeStore
from modelsync.core.deletions import DeletionRules
from modelsync.core.facts import Outcome
from modelsync.core.manifest import Current
from modelsync.core.names import ModelId
from support.crash import deaths, in_child, names, seen_by_a_reader
from support.world import World

ALICE = ModelId("alice")
V1 = {"model.onnx": b"weights 1", "config.json": b"{}", "de/vocab.txt": b"abc"}
V2 = {"model.onnx": b"weights 2", "config.json": b"{ }", "de/vocab.txt": b"abc"}


class Case:
    """A volume and its bucket, the same bucket in each process. What readers see before and after."""

    before: dict[str, bytes] | None = V2
    after = V1
    pin: str | None = None

    def start(self, base: Path, *versions: dict[str, bytes]) -> World:
        made = World(base, store=FakeStore(keeps_versions=True), concurrency=1, rules=DeletionRules(grace_seconds=0))
        made.upload("bob", V1)
        for files in versions:
            made.upload("alice", files)
        return made

    def later(self, base: Path) -> World:
        return self.start(base, V1, V2)

    def publish(self, base: Path) -> World:
        made = self.start(base, V1)
        assert {made.sync(model).outcome for model in ("bob", "alice")} == {Outcome.SUCCESS}
        made.upload("alice", V2)
        assert made.sync("alice").outcome is Outcome.SUCCESS
        return made


class PinnedBefore(Case):
    pin = "audit (by test)"

    def publish(self, base: Path) -> World:
        made = super().publish(base)
        made.overrides.pin(ALICE, "audit")
        return made


class Removed(Case):
    """The revision is not on the volume any more: it is fetched again."""

    def publish(self, base: Path) -> World:
        made = super().publish(base)
        shutil.rmtree(made.home("alice") / "revisions" / on_record(made).previous[0].revision)
        return made


class Withdrawn(Case):
    """The model left the bucket, and its readers."""

    before = None
    after = V2

    def later(self, base: Path) -> World:
        made = super().later(base)
        made.remove("alice")
        return made

    def publish(self, base: Path) -> World:
        made = super().publish(base)
        made.remove("alice")
        made.sync("alice")  # the tombstone
        assert made.sync("alice").outcome is Outcome.SUCCESS
        return made


def on_record(made: World) -> Current:
    found = made.volume.published(ALICE).current
    assert found is not None
    return found


def recover(case: Case, base: Path, seen: dict[str, bytes] | None) -> None:
    """The next worker: it keeps what readers saw after the death, and a second attempt gets the job done."""
    made = case.later(base)
    while made.compare()[0]:
        made.sync("alice")
    made.sync("alice")  # an event
    assert seen_by_a_reader(base) == seen
    pin = on_record(made).pin
    if seen == case.after:
        assert pin is not None
        assert pin.startswith("rolled back")
    else:
        assert pin == case.pin
        made.rollback("alice")
    assert made.verify("alice").findings == ()
    assert not [name for name in names(base) if ".tmp-" in name or "staging" in name or "next.json" in name]


@pytest.mark.parametrize("case", [Case(), PinnedBefore(), Removed(), Withdrawn()], ids=lambda case: type(case).__name__)
def test_death_before_any_step_of_a_rollback_leaves_it_done_and_pinned_or_not_done(tmp_path: Path, case: Case) -> None:
    template = tmp_path / "template"
    template.mkdir()
    assert in_child(case.publish, template) == 0
    assert seen_by_a_reader(template) == case.before

    def work(base: Path, count: Callable[[], None]) -> None:
        made = case.later(base)
        count()
        made.rollback("alice")

    for base, step, done in deaths(template, tmp_path, work, least=10):
        seen = seen_by_a_reader(base)
        assert seen in ([case.after] if done else [case.before, case.after]), f"step {step}"
        assert in_child(recover, case, base, seen) == 0, f"recovery after step {step}"
        assert seen_by_a_reader(base) == case.after, f"step {step}"
