"""The small rules: proofs, parts, backoff, health, records."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from modelsync.core.backoff import backoff_seconds
from modelsync.core.etags import is_weak, parse_etag, same_object
from modelsync.core.health import Check, Status, move, queue_check, silent, sync_check, verdict
from modelsync.core.manifest import (
    BadRecord,
    Current,
    FileRecord,
    Manifest,
    Mismatch,
    Published,
    Quarantine,
    Reconciled,
    Superseded,
)
from modelsync.core.names import ModelId, RelPath
from modelsync.core.objects import Digest, Revision
from modelsync.core.parts import MIB, Span, part_size_bytes, split
from modelsync.core.proof import Expected, ObjectDetails, Proof, expected

MD5 = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("details", "wanted"),
    [
        (ObjectDetails(5, MD5, {"crc32": "a=", "crc64nvme": "b="}), Expected(Proof.CRC64NVME, "b=")),
        (ObjectDetails(5, MD5, {"crc64nvme": "b=", "sha256": "c="}), Expected(Proof.SHA256, "c=")),
        (ObjectDetails(5, MD5, {"crc32c": "a=", "crc32": "b="}), Expected(Proof.CRC32C, "a=")),
        (ObjectDetails(5, MD5), Expected(Proof.MD5, MD5)),
        (ObjectDetails(5, MD5, encryption="AES256"), Expected(Proof.MD5, MD5)),
        (ObjectDetails(5, MD5, encryption="aws:kms"), Expected(Proof.SIZE, "5")),
        (ObjectDetails(5, MD5, encryption="customer AES256"), Expected(Proof.SIZE, "5")),
        (ObjectDetails(5, f"{MD5}-3"), Expected(Proof.MD5, f"{MD5}-3", 3)),
        (ObjectDetails(5, f"{MD5}-3", encryption="aws:kms"), Expected(Proof.SIZE, "5")),
        (ObjectDetails(5, f"{MD5}-3", {"crc64nvme": "c="}), Expected(Proof.CRC64NVME, "c=")),
        (ObjectDetails(5, f"{MD5}-3", {"crc32c": "c="}, "FULL_OBJECT"), Expected(Proof.CRC32C, "c=")),
        (ObjectDetails(5, f"{MD5}-3", {"crc32c": "c="}), Expected(Proof.MD5, f"{MD5}-3", 3)),
        (ObjectDetails(5, "6b046eab-80000000"), Expected(Proof.SIZE, "5")),
        (ObjectDetails(5, f"{MD5}-3", {"sha256": "c=-3"}, "COMPOSITE"), Expected(Proof.SHA256, "c=-3", 3)),
        (ObjectDetails(5, f"{MD5}-3", {"sha256": "c=-3"}), Expected(Proof.SHA256, "c=-3", 3)),
        (ObjectDetails(5, MD5, {"xxhash": "c="}), Expected(Proof.MD5, MD5)),
        (ObjectDetails(5, f"W/{MD5}"), Expected(Proof.SIZE, "5")),
        (ObjectDetails(5, f"W/{MD5}-3"), Expected(Proof.SIZE, "5")),
        (ObjectDetails(5, f"W/{MD5}-3", {"crc32c": "c="}), Expected(Proof.SIZE, "5")),
        (ObjectDetails(5, f"W/{MD5}", {"crc32c": "c="}), Expected(Proof.CRC32C, "c=")),
    ],
)
def test_the_strongest_proof_that_s3_offers_is_chosen(details: ObjectDetails, wanted: Expected) -> None:
    assert expected(details) == wanted


@pytest.mark.parametrize(
    ("said", "etag"),
    [('"e"', "e"), ("e", "e"), ("", ""), ('W/"e"', "W/e"), ("W/e", "W/e"), ('"W/"e""', "W/e"), ('w/"e"', 'w/"e')],
)
def test_an_etag_loses_its_quotes_but_not_its_weakness(said: str, etag: str) -> None:
    assert parse_etag(said) == etag
    assert is_weak(parse_etag(said)) is etag.startswith("W/")


def test_a_weak_etag_may_be_of_the_same_object_as_a_strong_one() -> None:
    assert same_object("W/e", "e")
    assert same_object("e", "e")
    assert not same_object("W/e", "f")


@pytest.mark.parametrize("checksums", [{}, {"sha256": "c=-3"}])
def test_without_the_parts_sizes_only_the_whole_size_is_left(checksums: dict[str, str]) -> None:
    details = ObjectDetails(5, f"{MD5}-3", checksums)
    assert expected(details, parts_known=False) == Expected(Proof.SIZE, "5")


@pytest.mark.parametrize("size_bytes", [0, 1, 16 * MIB])
def test_a_small_object_is_one_span(size_bytes: int) -> None:
    assert split(size_bytes) == (Span(0, size_bytes),)


@pytest.mark.parametrize(
    ("size_bytes", "part"),
    [(17 * MIB, 16 * MIB), (2048 * MIB, 32 * MIB), (500 << 30, 64 * MIB), (1 << 40, 105 * MIB), (2049 * MIB, 33 * MIB)],
)
def test_part_sizes_grow_with_the_object(size_bytes: int, part: int) -> None:
    assert part_size_bytes(size_bytes) == part


def test_backoff_grows_to_its_cap_and_jitters_down_to_a_quarter() -> None:
    def steps(jitter: float) -> list[float]:
        return [backoff_seconds(n, base_seconds=1, cap_seconds=8, jitter=jitter) for n in (1, 2, 3, 4, 5, 1000)]

    assert steps(1.0) == [1, 2, 4, 8, 8, 8]
    assert steps(0.0) == [0.25, 0.5, 1, 2, 2, 2]


@pytest.mark.parametrize(("asked", "waited"), [(0.0, 0.25), (5.0, 5.0), (1e6, 8.0)])
def test_the_wait_that_is_asked_for_is_kept_up_to_the_cap(asked: float, waited: float) -> None:
    assert backoff_seconds(1, base_seconds=1, cap_seconds=8, jitter=0.0, asked_seconds=asked) == waited


def test_the_worst_check_is_the_verdict() -> None:
    healthy, degraded = Check(Status.HEALTHY, "", 0), Check(Status.DEGRADED, "", 0)
    assert verdict([]) is Status.HEALTHY
    assert verdict([healthy, degraded]) is Status.DEGRADED
    assert verdict([Check(Status.UNHEALTHY, "", 0), degraded]) is Status.UNHEALTHY


def test_a_checks_clock_goes_on_while_its_status_stays() -> None:
    first = move(None, Status.DEGRADED, "a", 1.0)
    assert move(first, Status.DEGRADED, "b", 2.0) == Check(Status.DEGRADED, "b", 1.0)
    assert move(first, Status.HEALTHY, "c", 3.0) == Check(Status.HEALTHY, "c", 3.0)


def test_failing_models_are_named() -> None:
    assert sync_check({})[0] is Status.HEALTHY
    status, reason = sync_check({ModelId("b"): "x", ModelId("a"): "y"})
    assert (status, reason) == (Status.DEGRADED, "a: y (and 1 more)")


@pytest.mark.parametrize("redrives", [True, None])
@pytest.mark.parametrize("unreadable", [True, False])
def test_a_queue_that_redrives_or_may_is_healthy(redrives: bool | None, unreadable: bool) -> None:  # noqa: FBT001
    assert queue_check("it answers", redrives=redrives, unreadable=unreadable) == (Status.HEALTHY, "it answers")


def test_a_queue_without_redrive_policy_warns_and_is_degraded_once_it_matters() -> None:
    status, reason = queue_check("it answers", redrives=False, unreadable=False)
    assert status is Status.HEALTHY
    assert reason.startswith("it answers; warning: the queue has no redrive policy")
    status, reason = queue_check("it answers", redrives=False, unreadable=True)
    assert status is Status.DEGRADED
    assert "give it a dead-letter queue" in reason


def test_loops_that_do_not_beat_are_told() -> None:
    assert silent({"a": (10.0, 5.0), "b": (10.0, 50.0)}, 20.0) == {"a": 10.0}


REVISION, LISTING, ALICE = Revision("r"), Digest("d"), ModelId("alice")
RECORDS = [
    Manifest(ALICE, REVISION, LISTING, (FileRecord(RelPath("a/ä.onnx"), 1, "e", None, "0" * 16, "crc64nvme"),),
             single=False, source="s3://b/", created_at=1.5, sync_id="s"),
    Current(ALICE, REVISION, LISTING, 1.5, (Superseded(Revision("q"), 1.0),), pin=None),
    Current(ALICE, REVISION, LISTING, 1.5, gone_since=2.5, unpublished_at=3.5),
    Current(ALICE, REVISION, LISTING, 1.5, signer="sha256:ab", signers="require x"),
    Current(ALICE, REVISION, LISTING, 1.5, unsigned="why"),
    Quarantine(ALICE, REVISION, LISTING, "signature", "why", 1.5, rules="require x"),
    Quarantine(ALICE, REVISION, LISTING, "key", "why", 1.5),
    Quarantine(ALICE, REVISION, LISTING, "checksum", "why", 1.5, Mismatch("a.onnx", "crc64nvme", "x", "y")),
    Reconciled(1.5, 1, 2, 3, 4, 5),
]  # fmt: skip


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_record_is_read_as_it_was_written(record: Manifest) -> None:
    assert type(record).from_json(record.to_json()) == record


def test_a_refusal_from_before_mismatches_were_kept_is_read() -> None:
    written = json.loads(Quarantine(ALICE, REVISION, LISTING, "key", "why", 1.5).to_json())
    del written["mismatch"]
    assert Quarantine.from_json(json.dumps(written).encode()).mismatch is None


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b'{"version": 2}', b'{"version": 1, "x": 1}', b"\xff", b"[" * 2000]
)
def test_what_is_no_record_is_refused(record: Manifest, data: bytes) -> None:
    with pytest.raises(BadRecord):
        type(record).from_json(data)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", 5),
        ("model", "\ud800"),
        ("revision", None),
        ("published_at", "1.5"),
        ("published_at", float("nan")),
        ("published_at", 1e11),
        ("published_at", True),
        ("previous", [{"revision": "q", "superseded_at": None}]),
        ("pin", []),
    ],
)
def test_a_field_of_another_kind_makes_no_record(field: str, value: object) -> None:
    written = json.loads(Current(ALICE, REVISION, LISTING, 1.5).to_json())
    assert Current.from_json(json.dumps(written | {"pin": "ä"}).encode()).pin == "ä"
    with pytest.raises(BadRecord):
        Current.from_json(json.dumps(written | {field: value}).encode())


@pytest.mark.parametrize(("field", "value"), [("mismatch", "x"), ("mismatch", []), ("reason", ["x"])])
def test_a_refusal_with_something_else_in_it_is_no_record(field: str, value: object) -> None:
    written = json.loads(Quarantine(ALICE, REVISION, LISTING, "key", "why", 1.5).to_json())
    with pytest.raises(BadRecord):
        Quarantine.from_json(json.dumps(written | {field: value}).encode())


def test_record_and_link_must_agree() -> None:
    current = Current(ALICE, REVISION, LISTING, 0.0)
    assert Published().consistent
    assert Published(current, linked=REVISION, kept=frozenset({REVISION})).consistent
    assert not Published(current, linked=REVISION).consistent, "the link dangles"
    assert not Published(current).consistent
    assert not Published(linked=REVISION).consistent
    withdrawn = replace(current, gone_since=1.0, unpublished_at=2.0)
    assert Published(withdrawn, kept=frozenset({REVISION})).consistent
    assert not Published(withdrawn, linked=REVISION, kept=frozenset({REVISION})).consistent, "the link is back"


def test_a_record_without_the_fields_of_deletions_is_read() -> None:
    current = Current(ALICE, REVISION, LISTING, 1.5)
    fields = json.loads(current.to_json())
    del fields["gone_since"], fields["unpublished_at"]
    assert Current.from_json(json.dumps(fields).encode()) == current
