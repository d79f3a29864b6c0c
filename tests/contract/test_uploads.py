"""What every `Uploads` must do: the real one against moto and LocalStack, the fake in memory."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from fakes.store import FakeStore
from fakes.uploads import FakeUploads
from modelsync.adapters.aws import AwsOptions, AwsSession
from modelsync.adapters.s3 import S3Options, S3Store, S3Uploads
from modelsync.app.payload import BytesPayload
from modelsync.core.objects import RemoteObject
from modelsync.core.parts import MIB, Span
from modelsync.core.proof import Expected, Proof, expected
from modelsync.demo.emulator import Emulator
from modelsync.errors import BucketMissing, ObjectChanged, Stopped, StoreUnavailable
from modelsync.ports import ObjectStore
from modelsync.ports.push import Uploads


@dataclass(frozen=True)
class Subject:
    """Uploads under test, a store that shows what they did, and the keys that have unfinished ones."""

    uploads: Uploads
    store: ObjectStore
    pending: Callable[[], list[str]]

    def find(self, key: str) -> RemoteObject | None:
        return next((remote for remote in self.store.list(key).objects if remote.key == key), None)

    def read(self, remote: RemoteObject) -> bytes:
        data, buffer = b"", memoryview(bytearray(1 << 20))
        with self.store.open(remote, Span(0, remote.size_bytes)) as body:
            while count := body.readinto(buffer):
                data += bytes(buffer[:count])
        return data

    def put_in_parts(self, key: str, *parts: bytes) -> str:
        upload_id = self.uploads.begin(key)
        sent = [self.uploads.put_part(key, upload_id, n, BytesPayload(part)) for n, part in enumerate(parts, 1)]
        whole = BytesPayload(b"".join(parts))
        return self.uploads.complete(key, upload_id, sent, size_bytes=whole.size_bytes, crc64nvme=whole.crc64nvme)


def real(emulator: Emulator, bucket: str) -> tuple[S3Uploads, S3Store]:
    session = AwsSession(AwsOptions(region="us-east-1", s3_endpoint_url=emulator.url))
    return S3Uploads(S3Options(bucket), session, lambda _: None), S3Store(S3Options(bucket), session, lambda _: None)


@pytest.fixture(params=["moto", "localstack", "fake"])
def subject(request: pytest.FixtureRequest, server: Callable[[str], Emulator]) -> Iterator[Subject]:
    if request.param == "fake":
        bucket = FakeStore()
        fake = FakeUploads(bucket)
        yield Subject(fake, bucket, lambda: [upload_id.split()[0] for upload_id in fake.pending])
        return
    name = f"test-{uuid.uuid4().hex[:12]}"
    emulator = server(request.param)
    s3 = emulator.client("s3")
    s3.create_bucket(Bucket=name)
    uploads, store = real(emulator, name)

    def pending() -> list[str]:
        return [upload["Key"] for upload in s3.list_multipart_uploads(Bucket=name).get("Uploads", [])]

    yield Subject(uploads, store, pending)
    uploads.close()
    store.close()


@pytest.mark.parametrize("content", [b"", b"content", os.urandom(3 * MIB)], ids=["empty", "small", "large"])
def test_an_object_is_there_with_its_checksum(subject: Subject, content: bytes) -> None:
    payload = BytesPayload(content)
    etag = subject.uploads.put("a", payload)
    remote = subject.find("a")
    assert remote is not None
    assert (remote.etag, remote.size_bytes) == (etag, len(content))
    assert subject.read(remote) == content
    assert expected(subject.store.head(remote)) == Expected(Proof.CRC64NVME, payload.crc64nvme)


@pytest.mark.parametrize("key", ["a b+c%20/m.onnx", "ä/日本.onnx", "x/!*'();:@&=+$,?#[]~.onnx", "x//y.onnx"])
def test_a_key_goes_through_whatever_is_in_it(subject: Subject, key: str) -> None:
    subject.uploads.put(key, BytesPayload(b"1"))
    subject.put_in_parts(f"{key}2", b"2")
    assert [remote.key for remote in subject.store.scan("")] == [key, f"{key}2"]


def test_an_upload_replaces_what_was_there(subject: Subject) -> None:
    first = subject.uploads.put("a", BytesPayload(b"one"))
    second = subject.uploads.put("a", BytesPayload(b"two"))
    remote = subject.find("a")
    assert remote is not None
    assert first != second == remote.etag
    assert subject.read(remote) == b"two"


def test_parts_become_one_object_whose_checksum_is_of_the_whole(subject: Subject) -> None:
    parts = [os.urandom(5 * MIB), os.urandom(5 * MIB), b"end"]
    etag = subject.put_in_parts("a", *parts)
    remote = subject.find("a")
    assert remote is not None
    assert (remote.etag, remote.size_bytes) == (etag, 10 * MIB + 3)
    assert etag.endswith("-3")
    assert subject.read(remote) == b"".join(parts)
    whole = BytesPayload(b"".join(parts))
    assert expected(subject.store.head(remote)) == Expected(Proof.CRC64NVME, whole.crc64nvme)
    assert subject.pending() == []


def test_parts_may_come_in_any_order_and_more_than_once(subject: Subject) -> None:
    one, other, end = os.urandom(5 * MIB), os.urandom(5 * MIB), b"end"
    upload_id = subject.uploads.begin("a")
    last = subject.uploads.put_part("a", upload_id, 2, BytesPayload(end))
    subject.uploads.put_part("a", upload_id, 1, BytesPayload(other))
    first = subject.uploads.put_part("a", upload_id, 1, BytesPayload(one))
    whole = BytesPayload(one + end)
    subject.uploads.complete("a", upload_id, [first, last], size_bytes=whole.size_bytes, crc64nvme=whole.crc64nvme)
    remote = subject.find("a")
    assert remote is not None
    assert subject.read(remote) == one + end


def test_before_it_is_complete_nothing_is_seen_and_an_abort_leaves_nothing(subject: Subject) -> None:
    upload_id = subject.uploads.begin("a")
    part = subject.uploads.put_part("a", upload_id, 1, BytesPayload(b"x"))
    assert subject.find("a") is None
    assert subject.pending() == ["a"]
    subject.uploads.abort("a", upload_id)
    subject.uploads.abort("a", upload_id)
    assert subject.pending() == []
    with pytest.raises((ObjectChanged, StoreUnavailable)):  # S3 says 404, moto 500
        subject.uploads.complete("a", upload_id, [part], size_bytes=1, crc64nvme=BytesPayload(b"x").crc64nvme)
    assert subject.find("a") is None


class Balking(BytesPayload):
    """Ends in the middle, as a push does that is interrupted."""

    def __iter__(self) -> Iterator[memoryview]:
        yield memoryview(b"x" * (self.size_bytes // 2))
        raise Stopped("interrupted")


def test_a_payload_that_fails_is_no_object_and_no_harm(subject: Subject) -> None:
    with pytest.raises(Stopped, match="interrupted"):
        subject.uploads.put("a", Balking(b"x" * 1000))
    assert subject.find("a") is None
    subject.uploads.put("a", BytesPayload(b"x"))
    assert subject.find("a") is not None


def test_broken_off_uploads_can_be_followed_by_others_closed_ones_cannot(subject: Subject) -> None:
    subject.uploads.put("a", BytesPayload(b"x"))
    subject.uploads.break_off()
    subject.uploads.put("b", BytesPayload(b"x"))
    subject.uploads.close()
    with pytest.raises(Stopped):
        subject.uploads.put("c", BytesPayload(b"x"))


@pytest.mark.parametrize("kind", ["moto", "localstack", "fake"])
def test_a_bucket_that_does_not_exist_is_told(kind: str, server: Callable[[str], Emulator]) -> None:
    uploads: Uploads = (
        FakeUploads(FakeStore(missing=True)) if kind == "fake" else real(server(kind), "no-such-bucket")[0]
    )
    for ask in (lambda: uploads.put("a", BytesPayload(b"x")), lambda: uploads.begin("a")):
        with pytest.raises(BucketMissing):
            ask()
