"""Objects that a key of KMS or of the customer encrypts: their ETag is no MD5, whatever it looks like."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from awscrt.checksums import crc64nvme

from modelsync.adapters.aws import AwsOptions, AwsSession
from modelsync.adapters.s3 import S3Options, S3Store
from modelsync.core.facts import FileVerified, Outcome
from modelsync.core.parts import MIB
from support.signed import Pod
from support.world import World

NO_MD5 = hashlib.md5(b"something else").hexdigest()
CUSTOMER = ("InvalidRequest", "The object was stored using a form of Server Side Encryption.")
SIZES = {"in one request": 1000, "in parts": 20 * MIB}


@pytest.fixture
def world(pod: Pod, tmp_path: Path) -> Iterator[World]:
    pod.static_keys()
    made = World(tmp_path)
    made.store._store = pod.store()
    yield made
    made.fetcher.close()


def proofs(world: World) -> list[str]:
    return [fact.proof for fact in world.told(FileVerified) if isinstance(fact, FileVerified)]


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("encryption", ["aws:kms", "aws:kms:dsse"])
@pytest.mark.parametrize("etag", [NO_MD5, f"{NO_MD5}-2"], ids=["one upload", "multipart"])
def test_without_a_checksum_only_the_size_proves_an_object_under_kms(
    pod: Pod, world: World, size: int, encryption: str, etag: str
) -> None:
    pod.s3.put("alice/model.onnx", b"x" * size, etag=etag, x_amz_server_side_encryption=encryption)
    result = world.sync("alice")
    assert result.outcome is Outcome.SUCCESS, result.reason
    assert proofs(world) == ["size"]


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_the_checksum_proves_an_object_under_kms(pod: Pod, world: World, size: int) -> None:
    content = b"x" * size
    checksum = base64.b64encode(crc64nvme(content).to_bytes(8, "big")).decode()
    headers = {"x_amz_server_side_encryption": "aws:kms", "x_amz_checksum_type": "FULL_OBJECT"}
    pod.s3.put("alice/model.onnx", content, etag=NO_MD5, x_amz_checksum_crc64nvme=checksum, **headers)
    pod.s3.put("bob/model.onnx", b"y" * size, etag=NO_MD5[::-1], x_amz_checksum_crc64nvme=checksum, **headers)
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert proofs(world) == ["crc64nvme"]
    assert world.sync("bob").outcome is Outcome.REJECTED


@pytest.mark.parametrize("more", [{}, {"ChecksumAlgorithm": "SHA256"}], ids=["no checksum", "sha256"])
def test_an_object_that_was_put_with_kms_is_never_held_against_an_md5(
    tmp_path: Path, bucket: Any, more: dict[str, str]
) -> None:
    made = World(tmp_path)
    session = AwsSession(AwsOptions("us-east-1", bucket.emulator.url))
    store = made.store._store = S3Store(S3Options(bucket.name), session, lambda _: None)
    bucket.s3.put_object(
        Bucket=bucket.name, Key="alice/model.onnx", Body=b"weights", ServerSideEncryption="aws:kms", **more
    )
    assert made.sync("alice").outcome is Outcome.SUCCESS
    assert proofs(made)[0] in {"size", "crc32", "crc64nvme", "sha256"}
    made.fetcher.close()
    store.close()


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_an_object_under_a_customers_key_is_refused_until_it_is_uploaded_otherwise(
    pod: Pod, world: World, size: int
) -> None:
    pod.s3.put("alice/model.onnx", b"x" * size, etag=NO_MD5, refusal=CUSTOMER)
    result = world.sync("alice")
    assert result.outcome is Outcome.REJECTED
    assert "encrypted with a customer's key (SSE-C): use SSE-S3 or SSE-KMS" in result.reason
    asked = len(pod.s3.seen)
    assert world.sync("alice").outcome is Outcome.REJECTED
    assert len(pod.s3.seen) == asked + 1, "it is on record: only the listing was asked for"
    pod.s3.put("alice/model.onnx", b"x" * size)
    assert world.sync("alice").outcome is Outcome.SUCCESS


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("KMS.DisabledException", "the object's KMS key cannot be used: enable it, and give the role kms:Decrypt"),
        ("AccessDenied", "kms:Decrypt"),
        ("InvalidObjectState", "the object is archived: restore it"),
    ],
)
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_an_object_that_cannot_be_read_now_is_tried_again(
    pod: Pod, world: World, size: int, code: str, advice: str
) -> None:
    pod.s3.put("alice/model.onnx", b"x" * size, refusal=(code, "no"))
    result = world.sync("alice")
    assert result.outcome is Outcome.ERROR
    assert advice in result.reason
    pod.s3.put("alice/model.onnx", b"x" * size)
    assert world.sync("alice").outcome is Outcome.SUCCESS
