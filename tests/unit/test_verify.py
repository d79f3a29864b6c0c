"""What counts as damage, and what is done about it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from modelsync.core.damage import NO_MANIFEST, Finding, Kind, Remedy, damaging
from modelsync.core.health import Status, damage_check
from modelsync.core.manifest import BadRecord, Current, Damage, FileRecord, Manifest, Published, Scrubbed
from modelsync.core.names import ModelId, RelPath
from modelsync.core.objects import Digest, ModelFile, RemoteObject, Revision, Snapshot, revision_of
from modelsync.core.plan import Build, Noop, Switch, in_step, plan, triage
from modelsync.core.verify import Entry, check_bytes, check_link, check_manifest, check_names

ALICE = ModelId("alice")
CRC = "0123456789abcdef"
RECORDS = tuple(
    FileRecord(RelPath(path), 10, f"etag of {path}", None, CRC, "crc64nvme") for path in ("c.json", "m.onnx")
)
FILES = tuple(ModelFile(file.path, RemoteObject(file.path, file.size_bytes, file.etag, 0.0)) for file in RECORDS)
REVISION = revision_of(FILES)
OLD = Revision("0" * 32)
MANIFEST = Manifest(ALICE, REVISION, Digest("d"), RECORDS, single=False, source="s3://b/", created_at=1.0, sync_id="s")
WHOLE = (Entry("c.json", 10, 0o444), Entry("m.onnx", 10, 0o444))
ROTTEN = Finding(Kind.CHECKSUM, "m.onnx", CRC, "f" * 16)


def test_what_was_published_is_without_findings() -> None:
    assert check_manifest(MANIFEST, ALICE, REVISION) is None
    assert check_names(MANIFEST, WHOLE) == ((), RECORDS)
    assert all(check_bytes(record, 10, CRC) is None for record in RECORDS)


@pytest.mark.parametrize(
    "manifest",
    [
        replace(MANIFEST, model=ModelId("bob")),
        replace(MANIFEST, revision=OLD),
        replace(MANIFEST, files=RECORDS[:1]),
        replace(MANIFEST, files=(RECORDS[0], replace(RECORDS[1], size_bytes=11))),
    ],
    ids=["of another model", "of another revision", "a file less", "another size"],
)
def test_a_manifest_is_the_revisions_own(manifest: Manifest) -> None:
    finding = check_manifest(manifest, ALICE, REVISION)
    assert finding is not None
    assert (finding.kind, finding.remedy) == (Kind.MANIFEST, Remedy.REBUILD)


@pytest.mark.parametrize(
    ("entry", "kind", "actual", "worth_reading"),
    [
        (None, Kind.MISSING, "not there", False),
        (Entry("m.onnx", 10, 0o777, regular=False), Kind.MISSING, "no file", False),
        (Entry("m.onnx", 9, 0o444), Kind.SIZE, "9", False),
        (Entry("m.onnx", 10, 0o644), Kind.MODE, "0644", True),
    ],
)
def test_a_file_is_there_with_its_size_and_cannot_be_written(
    entry: Entry | None,
    kind: Kind,
    actual: str,
    worth_reading: bool,  # noqa: FBT001
) -> None:
    entries = [WHOLE[0], *([entry] if entry else [])]
    [finding], readable = check_names(MANIFEST, entries)
    assert (finding.kind, finding.path, finding.actual) == (kind, "m.onnx", actual)
    assert (RECORDS[1] in readable) is worth_reading
    assert RECORDS[0] in readable


def test_a_file_that_nobody_published_is_damage_and_its_name_is_made_printable() -> None:
    found, _ = check_names(MANIFEST, [*WHOLE, Entry("x.txt", 1, 0o444), Entry("bad\udcff\n", 1, 0o444)])
    assert {finding.kind for finding in found} == {Kind.EXTRA}
    assert [finding.path for finding in found] == ["'bad\\udcff\\n'", "x.txt"]
    assert Damage.from_json(Damage(ALICE, REVISION, 1.0, found).to_json()).findings == found


@pytest.mark.parametrize(("size_bytes", "crc", "kind"), [(9, CRC, Kind.SIZE), (10, "0" * 16, Kind.CHECKSUM)])
def test_bytes_are_held_against_size_and_checksum(size_bytes: int, crc: str, kind: Kind) -> None:
    finding = check_bytes(RECORDS[1], size_bytes, crc)
    assert finding is not None
    assert finding.kind == kind


def test_a_finding_is_a_sentence() -> None:
    assert str(ROTTEN) == f"m.onnx: crc64nvme is {'f' * 16}, not {CRC}"
    assert str(NO_MANIFEST) == "manifest is missing or unreadable, not readable"


@pytest.mark.parametrize("kind", Kind)
def test_only_what_can_be_wrong_with_bytes_makes_a_revision_unfit(kind: Kind) -> None:
    finding = Finding(kind, "m.onnx", "", "")
    assert damaging((finding,)) == (() if kind in {Kind.MODE, Kind.LINK} else (finding,))


def published(revision: Revision = REVISION, **more: object) -> Published:
    whole = Published(Current(ALICE, revision, SNAPSHOT.digest, 0.0), linked=revision, kept=frozenset({revision}))
    return replace(whole, **more)  # type: ignore[arg-type]


SNAPSHOT = Snapshot(ALICE, FILES)
WITHDRAWN = Current(ALICE, REVISION, SNAPSHOT.digest, 0.0, gone_since=1.0, unpublished_at=2.0)


@pytest.mark.parametrize(
    ("on_volume", "actual"),
    [
        (published(), None),
        (Published(), None),
        (published(linked=OLD), OLD),
        (published(linked=None), "not there"),
        (published(current=None), REVISION),
        (published(linked=None, current=WITHDRAWN), None),
        (published(current=WITHDRAWN), REVISION),
    ],
    ids=["whole", "nothing published", "elsewhere", "no link", "no record", "withdrawn", "withdrawn, but there"],
)
def test_the_link_points_at_the_revision_on_record(on_volume: Published, actual: str | None) -> None:
    finding = check_link(on_volume)
    assert (finding and finding.actual) == actual


DAMAGED = published(kept=frozenset({OLD}), damage=(ROTTEN,))


def decide(on_volume: Published, snapshot: Snapshot = SNAPSHOT) -> object:
    asked = triage(snapshot, on_volume, s3_now=1e9, settle_seconds=0.0, quiet_seconds=9.0)
    return asked or plan(snapshot, None, on_volume, s3_now=1e9, commit_timeout_seconds=9.0)


def test_a_damaged_revision_is_built_anew_though_the_bucket_has_not_changed() -> None:
    assert not in_step(SNAPSHOT.digest, DAMAGED)
    decision = decide(DAMAGED)
    assert isinstance(decision, Build)
    assert decision.reason == f"the published revision is damaged: {ROTTEN}"


def test_once_it_is_built_readers_are_switched_to_it() -> None:
    built = replace(DAMAGED, kept=frozenset({REVISION}))
    assert not in_step(SNAPSHOT.digest, built)
    assert isinstance(decide(built), Switch)


def test_if_the_bucket_has_another_content_by_now_that_one_is_brought() -> None:
    decision = decide(DAMAGED, Snapshot(ALICE, FILES[1:]))
    assert isinstance(decision, Build)
    assert "the bucket differs" in decision.reason


def pinned(on_volume: Published) -> Published:
    assert on_volume.current is not None
    return replace(on_volume, current=replace(on_volume.current, pin="rollback"))


def test_a_pinned_revision_is_built_anew_but_never_replaced_by_another() -> None:
    assert isinstance(decide(pinned(DAMAGED)), Build)
    decision = decide(pinned(DAMAGED), Snapshot(ALICE, FILES[1:]))
    assert isinstance(decision, Noop)
    assert "damaged and no longer in the bucket" in decision.reason


def test_health_names_the_model_and_its_damage() -> None:
    assert damage_check({})[0] is Status.HEALTHY
    status, reason = damage_check({ModelId("bob"): "b", ALICE: str(ROTTEN)})
    assert status is Status.DEGRADED
    assert reason == f"alice: {ROTTEN} (and 1 more)"


def test_records_of_damage_and_scrub_survive_a_round_trip() -> None:
    damage = Damage(ALICE, REVISION, 1.0, (ROTTEN,))
    assert Damage.from_json(damage.to_json()) == damage
    scrubbed = Scrubbed(1.0, "alice", REVISION, "m.onnx", 1, 10, 0, 2.0)
    assert Scrubbed.from_json(scrubbed.to_json()) == scrubbed


@pytest.mark.parametrize(
    ("record", "before", "after"),
    [
        (Damage(ALICE, REVISION, 1.0, (ROTTEN,)), b'"crc64nvme"', b'"of no kind"'),
        (MANIFEST, b'"c.json"', b"5"),
        (MANIFEST, b'"size_bytes": 10', b'"size_bytes": "10"'),
    ],
)
def test_records_with_fields_of_another_type_are_no_records(
    record: Damage | Manifest, before: bytes, after: bytes
) -> None:
    altered = record.to_json().replace(before, after)
    assert altered != record.to_json()
    with pytest.raises(BadRecord):
        type(record).from_json(altered)
