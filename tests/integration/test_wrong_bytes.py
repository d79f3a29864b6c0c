"""Bytes that are not what S3 has on record: asked for once more, then refused with both values on record."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes import hostile_s3
from fakes.hostile_s3 import S3, Exchange
from modelsync.app import proving
from modelsync.core.facts import Outcome
from modelsync.core.parts import MIB
from modelsync.demo.upload import commit_file
from support.hostile import HostileWorld, sentence

WEIGHTS = "alice/model.onnx"
V1 = {"config.json": b"1", "model.onnx": os.urandom(100_000)}
V2 = {"config.json": b"2", "model.onnx": os.urandom(100_000)}
LARGE_1 = {"model.onnx": os.urandom(17 * MIB)}  # two ranges
LARGE_2 = {"model.onnx": os.urandom(17 * MIB)}


@pytest.fixture
def world(tmp_path: Path, s3: S3) -> Iterator[HostileWorld]:
    made = HostileWorld(tmp_path, s3, concurrency=1)
    yield made
    made.close()


def quarantined(world: HostileWorld) -> list[dict[str, Any]]:
    return [json.loads(path.read_bytes()) for path in (world.home("alice") / "quarantine").glob("*")]


def proofs(world: HostileWorld) -> dict[str, str]:
    """How each file of the published revision was proven."""
    manifest = json.loads(((world.base / "alice").resolve().parent / "manifest.json").read_bytes())
    return {record["path"]: record["proof"] for record in manifest["files"]}


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


@pytest.mark.parametrize("files", [V2, LARGE_2], ids=["one answer", "ranges"])
def test_a_bit_that_flips_on_its_way_is_asked_for_again_from_a_fresh_connection(
    world: HostileWorld, s3: S3, files: dict[str, bytes]
) -> None:
    world.put(files)
    s3.fault("GET", hostile_s3.flip(1234), key=WEIGHTS, at={1})
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.read("alice") == files
    gets = s3.requests("GET", WEIGHTS)
    first, again = gets[: len(gets) // 2], gets[len(gets) // 2 :]
    assert [get.headers.get("range") for get in first] == [get.headers.get("range") for get in again]
    assert {get.connection for get in first} == {1}, "a connection that brought no wrong bytes is kept"
    assert {get.connection for get in again} == {2}
    assert quarantined(world) == []


def test_a_bit_that_flipped_in_the_store_is_refused_with_both_values_on_record(world: HostileWorld, s3: S3) -> None:
    world.put(V1)
    world.sync("alice")
    world.put(V2)
    rotten = bytearray(V2["model.onnx"])
    rotten[5] ^= 16
    s3.corrupt(WEIGHTS, bytes(rotten))
    result = world.sync("alice")
    assert result.outcome is Outcome.REJECTED
    [record] = quarantined(world)
    [get, *_] = s3.requests("GET", WEIGHTS)[-1:]
    on_record = get.answer["x-amz-checksum-crc64nvme"]
    mismatch = record["mismatch"]
    assert (mismatch["path"], mismatch["proof"], mismatch["expected"]) == ("model.onnx", "crc64nvme", on_record)
    assert mismatch["actual"] not in {"", on_record}
    assert sentence(record["reason"]) == result.reason
    assert mismatch["actual"] in result.reason
    assert on_record in result.reason
    assert world.read("alice") == V1
    assert len(s3.requests("GET", WEIGHTS)) == 3, "one of V1, two of V2"
    assert not (world.home("alice") / "staging").exists()
    assert world.sync("alice").outcome is Outcome.REJECTED
    assert len(s3.requests("GET", WEIGHTS)) == 3, "it is not asked for again until it is uploaded again"
    assert world.compare()[0] == []
    world.put(V2)
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.read("alice") == V2


@pytest.mark.parametrize("size_bytes", [1000, 17 * MIB], ids=["one answer", "ranges"])
def test_bytes_that_are_the_buckets_but_not_the_commit_files_do_not_come_again(
    world: HostileWorld, s3: S3, size_bytes: int
) -> None:
    world.put({"model.onnx": bytes(size_bytes)})
    s3.put("alice/modelsync.json", commit_file({"model.onnx": b"x" * size_bytes}))
    result = world.sync("alice")
    assert result.outcome is Outcome.REJECTED
    assert "commit-sha256 is " in sentence(result.reason)
    assert len(s3.requests("GET", WEIGHTS)) == (1 if size_bytes == 1000 else 2)


def test_where_size_is_all_that_s3_offers_a_commit_file_that_does_not_fit_is_tried_twice(
    world: HostileWorld, s3: S3
) -> None:
    s3.put(WEIGHTS, V1["model.onnx"], etag="no hash at all", type="NONE")
    s3.put("alice/modelsync.json", commit_file({"model.onnx": V2["model.onnx"]}))
    assert world.sync("alice").outcome is Outcome.REJECTED
    assert len(s3.requests("GET", WEIGHTS)) == 2


def test_files_that_are_proven_cost_nothing_when_another_is_asked_for_again(world: HostileWorld, s3: S3) -> None:
    world.put({f"{number:02}.onnx": os.urandom(1000) for number in range(20)})
    s3.fault("GET", hostile_s3.flip(5), key="alice/19.onnx", at={1})
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert len(s3.requests("GET")) == 21
    assert s3.requests("HEAD") == []


def test_a_commit_file_that_changed_on_its_way_is_asked_for_again(world: HostileWorld, s3: S3) -> None:
    world.put(V2)
    s3.put("alice/modelsync.json", commit_file(V2))
    digit = commit_file(V2).index(b'"sha256": "') + 12
    s3.fault("GET", hostile_s3.flip(digit), key="alice/modelsync.json", at={1})
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.read("alice") == V2
    one, other = s3.requests("GET", "alice/modelsync.json")
    assert one.connection != other.connection


def test_a_commit_file_that_is_not_what_was_uploaded_is_refused(world: HostileWorld, s3: S3) -> None:
    world.put(V2)
    s3.put("alice/modelsync.json", commit_file(V2))
    s3.corrupt("alice/modelsync.json", commit_file(V2).replace(b"1", b"2"))
    result = world.sync("alice")
    assert result.outcome is Outcome.REJECTED
    assert quarantined(world)[0]["mismatch"]["path"] == "modelsync.json"
    assert "upload the file again" in sentence(result.reason)
    assert world.compare()[0] == []
    s3.put("alice/modelsync.json", commit_file(V2))
    assert world.sync("alice").outcome is Outcome.SUCCESS


@pytest.mark.parametrize("heeds", [True, False], ids=["412", "If-Match ignored"])
def test_an_object_that_is_replaced_between_its_ranges_is_taken_whole(
    world: HostileWorld,
    s3: S3,
    heeds: bool,  # noqa: FBT001
) -> None:
    world.put(LARGE_1)
    s3.heeds_if_match = heeds
    s3.fault("GET", lambda _: world.put(LARGE_2), key=WEIGHTS, at={1})
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.read("alice") == LARGE_2


def test_an_object_that_is_replaced_under_the_same_etag_is_taken_whole(world: HostileWorld, s3: S3) -> None:
    """A server that hands out one ETag for two contents: only the checksum can tell."""
    s3.put(WEIGHTS, LARGE_1["model.onnx"], etag="same")
    s3.fault("GET", lambda _: s3.put(WEIGHTS, LARGE_2["model.onnx"], etag="same"), key=WEIGHTS, at={1})
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.read("alice") == LARGE_2


def test_an_object_that_is_always_replaced_is_left_for_later(world: HostileWorld, s3: S3) -> None:
    world.put(V1)
    world.sync("alice")
    before = len(s3.log)
    world.put(V2)
    s3.fault("GET", lambda _: s3.put(WEIGHTS, os.urandom(1000)), key="alice/config.json")
    s3.fault("GET", hostile_s3.refuse(412, "PreconditionFailed"), key=WEIGHTS)
    result = world.sync("alice")
    assert result.outcome is Outcome.ERROR
    assert "412 PreconditionFailed" in sentence(result.reason)
    assert len(s3.log) - before <= 20, "five plans"
    assert world.read("alice") == V1


B64 = base64.b64encode(hashlib.sha256(V2["model.onnx"]).digest()).decode()
LIES = {
    "composite that is none": {"sha256": B64, "type": "COMPOSITE"},
    "another composite": {"sha256": B64.replace("=", "A=")[:44] + "-3", "type": "FULL_OBJECT"},
    "an unknown algorithm": {"xxhash": "AAAAAAAAAAA=", "type": "FULL_OBJECT"},
    "an unknown type": {"sha256": B64, "type": "HALF_OBJECT"},
}


@pytest.mark.parametrize("name", LIES)
def test_what_a_checksum_is_not_said_to_be_is_not_built_on(world: HostileWorld, s3: S3, name: str) -> None:
    """Where the checksum cannot be used the ETag is: right bytes pass, wrong ones do not."""
    s3.put(WEIGHTS, V2["model.onnx"], **LIES[name])
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert proofs(world) == {"model.onnx": "etag-md5"}
    s3.put("bob/model.onnx", V1["model.onnx"], **LIES[name])
    s3.fault("GET", hostile_s3.flip(7), key="bob/model.onnx")
    result = world.sync("bob")
    assert result.outcome is Outcome.REJECTED
    assert f"but S3 has {md5(V1['model.onnx'])} on record" in sentence(result.reason)


@pytest.mark.parametrize("algorithm", ["sha256", "sha1", "crc32c", "crc32", "crc64nvme"])
def test_a_checksum_of_the_whole_that_is_wrong_is_refused(world: HostileWorld, s3: S3, algorithm: str) -> None:
    s3.put(WEIGHTS, V2["model.onnx"], **{algorithm: "AAAA", "type": "FULL_OBJECT"})
    result = world.sync("alice")
    assert result.outcome is Outcome.REJECTED
    assert f"{algorithm} is " in sentence(result.reason)
    assert quarantined(world)[0]["mismatch"]["expected"] == "AAAA"
    assert not (world.base / "alice").exists()


def test_without_checksums_and_with_an_etag_that_is_no_hash_the_commit_file_proves(world: HostileWorld, s3: S3) -> None:
    for name, content in V2.items():
        s3.put(f"alice/{name}", content, etag=f"revision-7/{name}", type="NONE")
    s3.fault("GET", hostile_s3.flip(7), key=WEIGHTS, at={1})
    s3.put("alice/modelsync.json", commit_file(V2))
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.read("alice") == V2
    assert proofs(world) == {"config.json": "commit-sha256", "model.onnx": "commit-sha256"}


def test_without_any_of_these_the_size_is_all_and_that_is_on_record(world: HostileWorld, s3: S3) -> None:
    s3.put(WEIGHTS, V2["model.onnx"], etag="no hash at all", type="NONE")
    s3.fault("GET", hostile_s3.close_after(100), key=WEIGHTS, at={1})
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.read("alice")["model.onnx"] == V2["model.onnx"]
    assert proofs(world) == {"model.onnx": "size"}


def test_headers_that_break_off_do_not_weaken_the_proof(world: HostileWorld, s3: S3) -> None:
    """The checksum comes last: without it the ETag, which proves nothing here, would be all."""
    world.put({})
    s3.put(WEIGHTS, LARGE_1["model.onnx"], etag="no hash at all", crc64nvme="AAAAAAAAAAA=", type="FULL_OBJECT")
    s3.fault("HEAD", hostile_s3.cut_head("x-amz-checksum"), at={1})
    result = world.sync("alice")
    assert result.outcome is Outcome.REJECTED
    assert "but S3 has AAAAAAAAAAA= on record" in result.reason


# Weak ETags


def test_an_etag_that_somebody_between_weakened_is_the_same_object(world: HostileWorld, s3: S3) -> None:
    world.put(LARGE_1)
    weakened = hostile_s3.header("ETag", f'W/"{md5(LARGE_1["model.onnx"])}"')
    for kind in ("GET", "HEAD"):
        s3.fault(kind, weakened)
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.read("alice") == LARGE_1
    assert {get.headers["if-match"] for get in s3.requests("GET")} == {f'"{md5(LARGE_1["model.onnx"])}"'}


def test_a_weak_etag_pins_nothing_and_proves_nothing(world: HostileWorld, s3: S3) -> None:
    weak = f"W/{md5(V1['model.onnx'])}"
    for model, content in (("alice", V1), ("bob", V2)):
        s3.put(f"{model}/model.onnx", content["model.onnx"], etag=weak, type="NONE")
        assert world.sync(model).outcome is Outcome.SUCCESS
        assert world.read(model)["model.onnx"] == content["model.onnx"]
    assert proofs(world) == {"model.onnx": "size"}
    assert all("if-match" not in get.headers for get in s3.requests("GET"))


# Objects uploaded in parts, of which S3 has no checksum but an ETag that is made of the parts'


def in_parts(s3: S3, parts: list[bytes], *, etag: str | None = None, count: int | None = None) -> None:
    """Upload the weights in parts; `count`: what the ETag says of them."""
    made = md5(b"".join(hashlib.md5(part).digest() for part in parts))
    s3.put(
        WEIGHTS,
        b"".join(parts),
        etag=etag or f"{made}-{count or len(parts)}",
        parts=tuple(map(len, parts)),
        type="NONE",
    )


def asked_parts(s3: S3) -> list[int]:
    return [int(exchange.query["partNumber"]) for exchange in s3.requests("PART")]


EVEN = [bytes([number]) * 1000 for number in range(9)] + [b"end"]
ODD = [bytes([number]) * (1000 + number % 3) for number in range(20)]


def test_parts_of_one_size_take_one_question(world: HostileWorld, s3: S3) -> None:
    in_parts(s3, EVEN)
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert proofs(world) == {"model.onnx": "etag-md5-parts"}
    assert asked_parts(s3) == [1]


def test_parts_of_other_sizes_are_asked_for_one_by_one_each_as_often_as_it_takes(world: HostileWorld, s3: S3) -> None:
    in_parts(s3, ODD)
    s3.fault("PART", hostile_s3.refuse(503, "SlowDown"), at={15, 18})
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert proofs(world) == {"model.onnx": "etag-md5-parts"}
    assert len(asked_parts(s3)) == len(ODD) + 2


PART_REFUSALS = [
    (400, "InvalidArgument"), (403, "AccessDenied"), (404, "NoSuchKey"), (405, "MethodNotAllowed"), (409, "Conflict"),
    (416, "InvalidPartNumber"), (501, "NotImplemented"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "code"), PART_REFUSALS, ids=[str(status) for status, _ in PART_REFUSALS])
def test_a_store_that_tells_no_part_is_asked_once(world: HostileWorld, s3: S3, status: int, code: str) -> None:
    in_parts(s3, EVEN)
    s3.fault("PART", hostile_s3.refuse(status, code))
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert proofs(world) == {"model.onnx": "size"}
    assert asked_parts(s3) == [1]
    assert len(s3.requests("GET")) == 2, "one of them for the reason"


@pytest.mark.parametrize("count", [300, 10_001, 99_999])
def test_a_store_that_does_not_know_of_parts_is_asked_once_at_most(world: HostileWorld, s3: S3, count: int) -> None:
    in_parts(s3, [V1["model.onnx"]], count=count)
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert proofs(world) == {"model.onnx": "size"}
    assert asked_parts(s3) == [1] * (count <= 10_000)


def test_a_store_that_stops_telling_is_not_asked_on(world: HostileWorld, s3: S3) -> None:
    in_parts(s3, ODD)
    s3.fault("PART", hostile_s3.refuse(403, "AccessDenied"), at={5})
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert proofs(world) == {"model.onnx": "size"}
    assert asked_parts(s3) == [1, 2, 3, 4, 5]


def test_wrong_bytes_in_even_parts_are_summed_up_once(
    world: HostileWorld, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    summed = []
    real = proving.Composite

    def counted(*args: Any) -> proving.Composite:
        summed.append(args)
        return real(*args)

    monkeypatch.setattr(proving, "Composite", counted)
    in_parts(s3, EVEN, etag=f"{'0' * 32}-{len(EVEN)}")
    result = world.sync("alice")
    assert result.outcome is Outcome.REJECTED
    assert "etag-md5-parts is " in sentence(result.reason)
    assert len(summed) == 2, "once for each download"


PART_LENGTHS = [("0", "0"), ("1", "17825797"), ("9999999999999999999", "1")]


@pytest.mark.parametrize("lengths", PART_LENGTHS, ids=" and ".join)
def test_parts_of_impossible_sizes_prove_nothing_and_stop_nothing(
    world: HostileWorld, s3: S3, lengths: tuple[str, str]
) -> None:
    def length(exchange: Exchange) -> None:
        exchange.answer["Content-Length"] = lengths[int(exchange.query["partNumber"]) - 1]

    s3.put(WEIGHTS, LARGE_1["model.onnx"], etag=f"{'0' * 32}-2", parts=(1, 1), type="NONE")
    s3.fault("PART", length)
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert proofs(world) == {"model.onnx": "size"}
    assert len(asked_parts(s3)) <= 2
    assert len(s3.requests("GET")) == 2
