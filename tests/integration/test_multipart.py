"""Objects that were uploaded in parts, against a real server: proven by what S3 keeps of the parts."""

from __future__ import annotations

import base64
import hashlib
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from modelsync.adapters.aws import AwsOptions, AwsSession
from modelsync.adapters.s3 import S3Options, S3Store
from modelsync.app.checksums import Composite
from modelsync.core.facts import Outcome
from modelsync.core.parts import MIB
from modelsync.core.proof import Proof

from support.world import World  # isort: skip


@pytest.fixture
def world(tmp_path: Path, bucket: Any) -> World:
    session = AwsSession(AwsOptions(region="us-east-1", s3_endpoint_url=bucket.emulator.url))
    real = S3Store(S3Options(bucket.name), session, lambda _: None)
    made = World(tmp_path)
    made.store._store = real
    return made


def upload(bucket: Any, key: str, parts: Sequence[bytes], **more: str) -> None:
    upload_id = bucket.s3.create_multipart_upload(Bucket=bucket.name, Key=key, **more)["UploadId"]
    told = []
    for number, part in enumerate(parts, 1):
        answer = bucket.s3.upload_part(
            Bucket=bucket.name, Key=key, UploadId=upload_id, PartNumber=number, Body=part, **more
        )
        told.append({"PartNumber": number, "ETag": answer["ETag"]})
    bucket.s3.complete_multipart_upload(
        Bucket=bucket.name, Key=key, UploadId=upload_id, MultipartUpload={"Parts": told}
    )


@pytest.mark.parametrize("sizes", [(5, 5, 1), (6, 5, 1), (5, 7, 9)], ids=["even", "odd", "large"])
def test_an_object_in_parts_is_proven_by_its_etag(world: World, bucket: Any, sizes: tuple[int, ...]) -> None:
    parts = [os.urandom(size * MIB) for size in sizes]
    upload(bucket, "alice/model.onnx", parts)
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.read("alice")["model.onnx"] == b"".join(parts)
    revision = world.volume.linked(world.volume.models()[0])
    assert revision is not None
    manifest = world.volume.manifest(world.volume.models()[0], revision)
    assert manifest is not None
    assert manifest.files[0].proof == "etag-md5-parts"


@pytest.mark.parametrize("algorithm", ["CRC32C", "SHA256", "CRC64NVME"])
def test_an_object_in_parts_with_a_checksum_is_accepted(world: World, bucket: Any, algorithm: str) -> None:
    parts = [os.urandom(5 * MIB), os.urandom(3)]
    upload(bucket, "alice/model.onnx", parts, ChecksumAlgorithm=algorithm)
    result = world.sync("alice")
    assert result.outcome is Outcome.SUCCESS, result.reason
    assert world.read("alice")["model.onnx"] == b"".join(parts)


def test_a_flipped_bit_in_an_object_in_parts_is_found(world: World, bucket: Any) -> None:
    upload(bucket, "alice/model.onnx", [os.urandom(5 * MIB), b"end"])
    world.store.plan("get", "flip")
    assert world.sync("alice").outcome is Outcome.SUCCESS
    upload(bucket, "bob/model.onnx", [os.urandom(5 * MIB), b"end"])
    world.store.plan("get", "flip", "flip")
    result = world.sync("bob")
    assert result.outcome is Outcome.REJECTED
    assert "etag-md5-parts is " in result.reason


def chunks_of(data: bytes, size: int) -> list[memoryview]:
    return [memoryview(data[start : start + size]) for start in range(0, len(data), size)]


@pytest.mark.parametrize("chunk", [1, 3, 7, 100])
def test_composite_checksums_are_made_as_s3_makes_them(chunk: int) -> None:
    parts = [b"first part", b"second", b"3"]
    data = b"".join(parts)
    sizes = [len(part) for part in parts]
    md5 = hashlib.md5(b"".join(hashlib.md5(part).digest() for part in parts)).hexdigest()
    sha = base64.b64encode(hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).digest()).decode()
    crc = zlib.crc32(b"".join(zlib.crc32(part).to_bytes(4, "big") for part in parts)).to_bytes(4, "big")
    for proof, value in ((Proof.MD5, md5), (Proof.SHA256, sha), (Proof.CRC32, base64.b64encode(crc).decode())):
        found = Composite(proof, sizes)
        for piece in chunks_of(data, chunk):
            found.update(piece)
        assert found.value() == f"{value}-3"
