"""Every decision, with its reason."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest

from modelsync.core import plan as core
from modelsync.core.commit import CommittedFile
from modelsync.core.manifest import Current, Published, Quarantine
from modelsync.core.names import ModelId, RelPath
from modelsync.core.objects import ModelFile, RemoteObject, Revision, Snapshot, revision_of
from modelsync.core.plan import (
    INCOMPLETE_RECHECK_SECONDS,
    Build,
    Noop,
    PlannedFile,
    Refuse,
    Switch,
    Wait,
    in_step,
    triage,
    upload_in_progress,
)

NOW = 1_000_000.0
ALICE = ModelId("alice")
OLD = Revision("0" * 32)


def file(path: str, etag: str = "e", size_bytes: int = 10, age: float = 100.0) -> ModelFile:
    return ModelFile(RelPath(path), RemoteObject(f"alice/{path}", size_bytes, etag, NOW - age))


SNAPSHOT = Snapshot(ALICE, (file("c.json"), file("m.onnx")))
REVISION = revision_of(SNAPSHOT.files)


def published(revision: Revision = OLD, listing: str = "other") -> Published:
    current = Current(ALICE, revision, listing, 0.0)  # type: ignore[arg-type]
    return Published(current, linked=revision, kept=frozenset({revision}))


def decide(snapshot: Snapshot, on_volume: Published, quiet_seconds: float = math.inf) -> object:
    return triage(snapshot, on_volume, s3_now=NOW, settle_seconds=2.0, quiet_seconds=quiet_seconds)


def plan(snapshot: Snapshot, commit: Sequence[CommittedFile] | None, on_volume: Published) -> object:
    return core.plan(snapshot, commit, on_volume, s3_now=NOW, commit_timeout_seconds=1000.0)


def test_an_unchanged_listing_needs_nothing() -> None:
    assert isinstance(decide(SNAPSHOT, published(REVISION, SNAPSHOT.digest)), Noop)
    assert in_step(SNAPSHOT.digest, published(REVISION, SNAPSHOT.digest))


def test_a_pinned_model_is_left_alone() -> None:
    on_volume = published()
    assert on_volume.current is not None
    pinned = replace(on_volume, current=replace(on_volume.current, pin="rollback"))
    found = decide(SNAPSHOT, pinned)
    assert isinstance(found, Noop)
    assert "rollback" in found.reason


def unpublished(revision: Revision, listing: str = "other") -> Published:
    """A model that left the bucket and was withdrawn; its revision is still on the volume."""
    before = published(revision, listing)
    assert before.current is not None
    return replace(before, current=replace(before.current, gone_since=1.0, unpublished_at=2.0), linked=None)


def test_a_model_that_was_withdrawn_is_switched_to_when_it_comes_back() -> None:
    back = unpublished(REVISION, SNAPSHOT.digest)
    assert back.consistent
    assert not in_step(SNAPSHOT.digest, back)
    assert decide(SNAPSHOT, back) is None
    assert isinstance(plan(SNAPSHOT, None, back), Switch)
    other = plan(SNAPSHOT, None, unpublished(OLD))
    assert isinstance(other, Build)
    assert "in the bucket again" in other.reason


def test_a_refused_model_that_was_withdrawn_stays_refused() -> None:
    quarantined = (Quarantine(ALICE, REVISION, SNAPSHOT.digest, "key", "broken", 0.0),)
    assert in_step(SNAPSHOT.digest, replace(unpublished(OLD), quarantined=quarantined))


def test_a_model_with_a_tombstone_is_looked_at_when_it_is_back() -> None:
    before = published(REVISION, SNAPSHOT.digest)
    assert before.current is not None
    assert not in_step(SNAPSHOT.digest, replace(before, current=replace(before.current, gone_since=1.0)))


@pytest.mark.parametrize(
    "on_volume",
    [
        replace(published(REVISION, SNAPSHOT.digest), linked=OLD),
        replace(published(REVISION, SNAPSHOT.digest), linked=None),
        replace(published(REVISION, SNAPSHOT.digest), leftover=True),
    ],
    ids=["link elsewhere", "no link", "leftover"],
)
def test_a_volume_that_a_crash_left_odd_is_not_in_step(on_volume: Published) -> None:
    assert not in_step(SNAPSHOT.digest, on_volume)


def test_what_was_refused_once_is_not_fetched_again() -> None:
    record = Quarantine(ALICE, REVISION, SNAPSHOT.digest, "checksum", "broken", 0.0)
    on_volume = replace(published(), quarantined=(record,))
    assert decide(SNAPSHOT, on_volume) == Refuse(REVISION, "checksum", "broken", known=True)
    assert in_step(SNAPSHOT.digest, on_volume)


def test_a_refusal_by_the_gate_stands_as_long_as_its_rules() -> None:
    record = Quarantine(ALICE, REVISION, SNAPSHOT.digest, "onnx", "broken", 0.0, gate="rules-1")
    on_volume = replace(published(), quarantined=(record,))
    assert in_step(SNAPSHOT.digest, on_volume, gate="rules-1", signers="require ann")
    assert not in_step(SNAPSHOT.digest, on_volume, gate="rules-2", signers="require ann")
    assert not in_step(SNAPSHOT.digest, on_volume)
    times = {"s3_now": NOW, "settle_seconds": 2.0, "quiet_seconds": math.inf}
    assert isinstance(triage(SNAPSHOT, on_volume, gate="rules-1", **times), Refuse)
    assert triage(SNAPSHOT, on_volume, gate="rules-2", **times) is None


def test_what_was_refused_for_its_signature_is_looked_at_again_under_other_signers() -> None:
    record = Quarantine(ALICE, REVISION, SNAPSHOT.digest, "signature", "unsigned", 0.0, gate="require ann")
    on_volume = replace(published(), quarantined=(record,))
    assert in_step(SNAPSHOT.digest, on_volume, signers="require ann")
    for signers in ("require bob", ""):
        assert not in_step(SNAPSHOT.digest, on_volume, signers=signers)
        found = triage(SNAPSHOT, on_volume, s3_now=NOW, settle_seconds=0.0, quiet_seconds=9.0, signers=signers)
        assert found is None


def test_what_was_refused_for_another_reason_stands_whoever_may_sign() -> None:
    record = Quarantine(ALICE, REVISION, SNAPSHOT.digest, "checksum", "wrong bytes", 0.0)
    assert in_step(SNAPSHOT.digest, replace(published(), quarantined=(record,)), signers="require ann")


def test_what_readers_see_is_judged_once_for_each_set_of_signers() -> None:
    on_volume = published(REVISION, SNAPSHOT.digest)
    assert on_volume.current is not None
    for judged_by, asked, relist in [("", "", False), ("", "warn", True), ("warn", "warn", False), ("warn", "", False)]:
        seen = replace(on_volume, current=replace(on_volume.current, signers=judged_by))
        assert in_step(SNAPSHOT.digest, seen, signers=asked) is not relist
        found = triage(SNAPSHOT, seen, s3_now=NOW, settle_seconds=0.0, quiet_seconds=9.0, signers=asked)
        assert found == Noop("the bucket has not changed since it was published", relist=relist)


def test_a_refused_key_refuses_the_model() -> None:
    found = decide(replace(SNAPSHOT, refused="bad key"), Published())
    assert isinstance(found, Refuse)
    assert (found.rule, found.reason, found.known) == ("key", "bad key", False)


@pytest.mark.parametrize(("age", "waits"), [(0.0, True), (1.9, True), (2.0, False), (-5.0, True)])
def test_a_young_object_settles_first(age: float, waits: bool) -> None:  # noqa: FBT001
    snapshot = Snapshot(ALICE, (file("m.onnx", age=age), file("c.json", age=50)))
    found = decide(snapshot, Published())
    assert isinstance(found, Wait) == waits
    if isinstance(found, Wait):
        assert found.seconds == pytest.approx(2.0 - age)


@pytest.mark.parametrize(("quiet_seconds", "waits"), [(0.0, True), (1.5, True), (2.0, False)])
def test_a_young_event_is_waited_for_too(quiet_seconds: float, waits: bool) -> None:  # noqa: FBT001
    found = decide(SNAPSHOT, Published(), quiet_seconds)
    assert isinstance(found, Wait) == waits
    if isinstance(found, Wait):
        assert found.seconds == pytest.approx(2.0 - quiet_seconds)


def test_a_commit_file_makes_settling_needless() -> None:
    young = Snapshot(ALICE, (file("m.onnx", age=0),), commit=file("modelsync.json", age=0).object)
    assert decide(young, Published(), quiet_seconds=0.0) is None


def test_a_new_model_is_built() -> None:
    found = plan(SNAPSHOT, None, Published())
    assert isinstance(found, Build)
    assert found.revision == REVISION
    assert [planned.path for planned in found.files] == ["c.json", "m.onnx"]
    assert found.reason == "not published yet"


def test_a_changed_model_is_built_and_says_against_what() -> None:
    found = plan(SNAPSHOT, None, published())
    assert isinstance(found, Build)
    assert OLD in found.reason


def test_a_revision_on_the_volume_is_switched_to_without_a_download() -> None:
    on_volume = replace(published(), kept=frozenset({OLD, REVISION}))
    assert plan(SNAPSHOT, None, on_volume) == Switch(REVISION, "the revision is on the volume already")


def test_a_lost_link_is_made_again_from_the_volume() -> None:
    on_volume = replace(published(REVISION, SNAPSHOT.digest), linked=None)
    assert isinstance(plan(SNAPSHOT, None, on_volume), Switch)


COMMIT = (CommittedFile(RelPath("m.onnx"), 10, "ab"), CommittedFile(RelPath("c.json"), 10, "cd"))


def test_a_commit_chooses_the_files_and_their_digests() -> None:
    snapshot = replace(SNAPSHOT, files=(*SNAPSHOT.files, file("unlisted.json")))
    found = plan(snapshot, COMMIT, Published())
    assert isinstance(found, Build)
    assert [(planned.path, planned.sha256) for planned in found.files] == [("c.json", "cd"), ("m.onnx", "ab")]
    assert found.revision == REVISION, "an unlisted object does not change the revision"


def test_an_unlisted_change_is_no_new_revision_but_a_new_listing() -> None:
    found = plan(SNAPSHOT, COMMIT, published(REVISION))
    assert found == Noop("the files have not changed since they were published", relist=True)


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ((file("m.onnx"),), "1 of 2 files are there: c.json is not there"),
        ((file("c.json"), file("m.onnx", size_bytes=4)), "1 of 2 files are there: m.onnx has 4 bytes, not the 10"),
    ],
)
def test_an_incomplete_commit_waits_and_says_for_what(files: tuple[ModelFile, ...], told: str) -> None:
    found = plan(replace(SNAPSHOT, files=files), COMMIT, Published())
    assert isinstance(found, Wait)
    assert told in found.reason


@pytest.mark.parametrize(("age", "overdue"), [(1000.0, False), (1001.0, True)])
def test_a_commit_that_waits_too_long_for_its_files_says_so(age: float, overdue: bool) -> None:  # noqa: FBT001
    commit = file("modelsync.json", age=age).object
    found = plan(Snapshot(ALICE, (file("m.onnx", age=5000),), commit), COMMIT, Published())
    assert isinstance(found, Wait)
    assert found.overdue == overdue
    assert found.seconds == INCOMPLETE_RECHECK_SECONDS
    assert ("incomplete for more than 1000 s: 1 of 2 files are there" in found.reason) == overdue
    assert ("missing: c.json; upload them" in found.reason) == overdue


def test_the_next_version_on_its_way_is_not_overdue_however_old_the_commit_file_is() -> None:
    commit = file("modelsync.json", age=90000).object
    found = plan(Snapshot(ALICE, (file("m.onnx", age=1, size_bytes=4),), commit), COMMIT, Published())
    assert isinstance(found, Wait)
    assert not found.overdue


def test_a_file_newer_than_its_commit_means_an_upload_in_progress() -> None:
    snapshot = replace(SNAPSHOT, commit=file("modelsync.json", age=50).object)
    newer, older = file("m.onnx", age=10), file("m.onnx", age=90)
    assert upload_in_progress(PlannedFile(newer.path, newer.object), snapshot)
    assert not upload_in_progress(PlannedFile(older.path, older.object), snapshot)
