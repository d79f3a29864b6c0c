"""Which revision a model goes back to, and why not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from modelsync.core.damage import NO_MANIFEST
from modelsync.core.manifest import Current, FileRecord, Manifest, Published, Superseded, succeed
from modelsync.core.names import ModelId, Naming, RelPath
from modelsync.core.objects import Digest, ModelFile, RemoteObject, Revision, Snapshot, revision_of
from modelsync.core.plan import Build, Noop, PlannedFile, Switch, triage
from modelsync.core.rollback import Impossible, Refetch, Restore, Stay, altered, check_reason, choose, rebuild

ALICE = ModelId("alice")
V1, V2, V3, BAD = (Revision(digit * 32) for digit in "123b")
LIKE_V1 = Revision("1" * 8 + "0" * 24)


def superseded(*revisions: Revision) -> tuple[Superseded, ...]:
    return tuple(Superseded(revision, 100.0 - number) for number, revision in enumerate(revisions))


CURRENT = Current(ALICE, BAD, Digest("l"), 100.0, superseded(V3, V2, V1))
ON_VOLUME = Published(CURRENT, BAD, frozenset({BAD, V2, V1}))


def reason(choice: object) -> str:
    assert isinstance(choice, Impossible)
    return choice.reason


def test_the_newest_revision_that_is_whole_on_the_volume_is_chosen() -> None:
    choice = choose(ON_VOLUME, {V3, V2, V1, BAD}, None)
    assert isinstance(choice, Restore)
    assert choice.revision == V2


def test_if_none_is_on_the_volume_the_newest_on_record_is_fetched_again() -> None:
    choice = choose(replace(ON_VOLUME, kept=frozenset({BAD})), {V2, V1, BAD}, None)
    assert isinstance(choice, Refetch)
    assert choice.revision == V2


def test_what_was_rolled_back_from_is_not_gone_back_to_unless_it_is_named() -> None:
    previous = (replace(superseded(V3)[0], rolled_back=True), *superseded(V1))
    on_volume = Published(replace(CURRENT, previous=previous), BAD, frozenset({BAD, V3}))
    told = reason(choose(on_volume, {V3}, None))
    assert "nothing to roll back to" in told
    assert f"name one to go to it: {V3}" in told
    assert isinstance(choose(on_volume, {V3}, V3), Restore)


def test_a_withdrawn_model_goes_back_to_what_readers_saw_last() -> None:
    withdrawn = replace(ON_VOLUME, current=replace(CURRENT, unpublished_at=120.0), linked=None)
    choice = choose(withdrawn, (), None)
    assert isinstance(choice, Restore)
    assert choice.revision == BAD


@pytest.mark.parametrize("on_volume", [Published(), Published(CURRENT, BAD, frozenset({BAD}))])
def test_without_an_earlier_revision_there_is_nothing_to_roll_back_to(on_volume: Published) -> None:
    told = reason(choose(on_volume, {BAD}, None))
    assert told.startswith("there is nothing to roll back to: ")
    assert "is on the volume or on record" in told


@pytest.mark.parametrize("to", [V1, "111111"])
def test_a_revision_is_named_whole_or_by_its_start(to: str) -> None:
    choice = choose(ON_VOLUME, (), to)
    assert isinstance(choice, Restore)
    assert choice.revision == V1


def test_a_start_that_two_revisions_have_names_none() -> None:
    told = reason(choose(ON_VOLUME, {LIKE_V1}, "111111"))
    assert told == f"'111111' names more than one revision: {LIKE_V1}, {V1}"


@pytest.mark.parametrize("to", ["", "11111", "1" * 33, "../../x", "ABCDEF12", "x" * 5000])
def test_what_cannot_be_a_revisions_name_is_told_briefly(to: str) -> None:
    told = reason(choose(ON_VOLUME, (), to))
    assert "names no revision" in told
    assert len(told) < 200


def test_a_revision_that_nobody_knows_is_told_with_those_there_are() -> None:
    told = reason(choose(ON_VOLUME, (), "aaaaaa"))
    assert told == f"no revision aaaaaa is on the volume or on record; there are {V1}, {V2}, {BAD}"
    assert reason(choose(Published(), (), "aaaaaa")).endswith("; there is none")


def test_a_revision_of_which_nothing_is_left_is_told() -> None:
    told = reason(choose(ON_VOLUME, (), V3))
    assert told.startswith(f"readers saw revision {V3} once, but neither its files nor its manifest are left")


def test_what_readers_see_stays() -> None:
    assert choose(ON_VOLUME, (), BAD) == Stay(BAD, "readers see it already")


@pytest.mark.parametrize(
    ("kept", "remembered", "kind"), [({BAD}, set(), Restore), (set(), {BAD}, Refetch), (set(), set(), Impossible)]
)
def test_what_readers_see_damaged_is_restored_from_wherever_it_is_whole(
    kept: set[Revision], remembered: set[Revision], kind: type
) -> None:
    damaged = Published(CURRENT, BAD, frozenset(kept), damage=(NO_MANIFEST,))
    assert isinstance(choose(damaged, remembered, BAD), kind)


# Fetching again


FILES = (
    FileRecord(RelPath("de/vocab.txt"), 3, "e1", "v1", "00000000000000aa", "crc64nvme"),
    FileRecord(RelPath("model.onnx"), 10, "e2", None, "00000000000000bb", "crc64nvme", "5" * 64),
)


def manifest(*files: FileRecord, single: bool = False) -> Manifest:
    listed = (ModelFile(file.path, RemoteObject("", file.size_bytes, file.etag, 0.0)) for file in files)
    return Manifest(ALICE, revision_of(listed), Digest("l"), files, single, "s3://b/voices/", 1.0, "s")


def test_a_remembered_revision_is_fetched_by_its_versions_and_what_else_is_on_record() -> None:
    build = rebuild(manifest(*FILES), Naming(prefix="voices/"), source="s3://b/voices/")
    assert isinstance(build, Build)
    assert build.revision == manifest(*FILES).revision
    assert build.files == (
        PlannedFile(FILES[0].path, RemoteObject("voices/alice/de/vocab.txt", 3, "e1", 0.0, "v1")),
        PlannedFile(FILES[1].path, RemoteObject("voices/alice/model.onnx", 10, "e2", 0.0, None), "5" * 64),
    )


def test_a_model_of_one_object_has_its_own_name_as_key() -> None:
    single = replace(manifest(FILES[1], single=True), model=ModelId("solo.onnx"))
    build = rebuild(single, Naming(), source="s3://b/voices/")
    assert isinstance(build, Build)
    assert build.files[0].object.key == "solo.onnx"


def test_a_revision_of_another_bucket_is_not_fetched() -> None:
    told = reason(rebuild(manifest(*FILES), Naming(), source="s3://other/"))
    assert told == "it came from s3://b/voices/, and this is s3://other/"


def test_a_manifest_that_lists_something_else_is_not_believed() -> None:
    forged = replace(manifest(*FILES), files=FILES[:1])
    assert "not the revision's own" in reason(rebuild(forged, Naming(), source="s3://b/voices/"))


def test_fetched_bytes_must_be_those_that_were_published() -> None:
    assert altered(manifest(*FILES), FILES) is None
    other = replace(FILES[1], crc64nvme="00000000000000cc")
    told = altered(manifest(*FILES), (FILES[0], other))
    assert told is not None
    assert told.startswith("model.onnx: crc64nvme is 00000000000000cc, not 00000000000000bb")


# Records


def test_the_record_after_a_rollback_says_what_was_left_by_it() -> None:
    after = succeed(
        CURRENT, replace(manifest(), revision=V2), now=150.0, listing=Digest("m"), pin="why", rolled_back=True
    )
    assert (after.revision, after.pin, after.published_at, after.listing) == (V2, "why", 150.0, "m")
    assert after.previous == (Superseded(BAD, 150.0, rolled_back=True), *superseded(V3), Superseded(V1, 98.0))


def test_what_was_withdrawn_was_not_left_by_a_rollback() -> None:
    withdrawn = replace(CURRENT, unpublished_at=120.0, previous=())
    after = succeed(
        withdrawn, replace(manifest(), revision=V2), now=150.0, listing=Digest("m"), pin=None, rolled_back=True
    )
    assert after.previous == (Superseded(BAD, 120.0),)
    assert after.unpublished_at is None


def test_the_first_record_and_one_of_the_same_revision_supersede_nothing() -> None:
    same = replace(manifest(), revision=BAD)
    assert succeed(None, same, now=1.0, listing=Digest("m"), pin=None).previous == ()
    assert succeed(CURRENT, same, now=1.0, listing=Digest("m"), pin=None).previous == CURRENT.previous


@pytest.mark.parametrize("text", ["", "two\nlines", "\x1b[31mred", "x" * 201, "a\u2028b"])
def test_a_reason_is_one_line(text: str) -> None:
    with pytest.raises(ValueError, match="one line"):
        check_reason(text)
    assert check_reason("broken on Monday: ä") == "broken on Monday: ä"


# What a pin does to decisions


def test_readers_of_a_pinned_model_are_led_back_to_its_revision() -> None:
    pinned = Published(replace(CURRENT, pin="why"), V1, frozenset({BAD, V1}))

    snapshot = Snapshot(ALICE, (ModelFile(RelPath("m.onnx"), RemoteObject("alice/m.onnx", 1, "e", 1.0)),))

    def decide(on_volume: Published) -> object:
        return triage(snapshot, on_volume, s3_now=1000.0, settle_seconds=0.0, quiet_seconds=0.0)

    assert isinstance(decide(replace(pinned, linked=BAD)), Noop)
    assert decide(pinned) == Switch(BAD, f"pinned to {BAD}: readers are led back to it")
    assert decide(replace(pinned, linked=None)) == Switch(BAD, f"pinned to {BAD}: readers are led back to it")
    assert decide(replace(pinned, kept=frozenset({V1}))) is None
