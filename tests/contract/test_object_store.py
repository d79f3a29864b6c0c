"""What every `ObjectStore` must do: the real one against moto and LocalStack, the fake in memory."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest

from fakes.store import FakeStore
from modelsync.adapters.aws import AwsOptions, AwsSession
from modelsync.adapters.s3 import S3Options, S3Store
from modelsync.core.objects import RemoteObject
from modelsync.core.parts import Span
from modelsync.core.proof import Proof, expected
from modelsync.demo.emulator import Emulator
from modelsync.errors import BucketMissing, ObjectChanged, Stopped
from modelsync.ports import ObjectStore


class Subject:
    """A store under test, and a way to change its bucket."""

    def __init__(
        self,
        store: ObjectStore,
        put: Callable[[str, bytes], object],
        remove: Callable[[str], object],
        begin_upload: Callable[[str], object],
        keep_versions: Callable[[], object],
    ) -> None:
        self.store = store
        self.put = put
        self.remove = remove
        self.begin_upload = begin_upload
        self.keep_versions = keep_versions

    def find(self, key: str) -> RemoteObject:
        return next(remote for remote in self.store.list(key).objects if remote.key == key)

    def read(self, remote: RemoteObject, span: Span | None = None, chunk: int = 1 << 20) -> bytes:
        buffer = memoryview(bytearray(chunk))
        data = b""
        with self.store.open(remote, span or Span(0, remote.size_bytes)) as body:
            while count := body.readinto(buffer):
                data += bytes(buffer[:count])
        return data


def real_store(emulator: Emulator, bucket: str) -> S3Store:
    session = AwsSession(AwsOptions(region="us-east-1", s3_endpoint_url=emulator.url))
    return S3Store(S3Options(bucket), session, lambda _: None)


@pytest.fixture(params=["moto", "localstack", "fake"])
def subject(request: pytest.FixtureRequest, server: Callable[[str], Emulator]) -> Iterator[Subject]:
    if request.param == "fake":
        fake = FakeStore()
        yield Subject(fake, fake.put, fake.remove, fake.begin_upload, lambda: setattr(fake, "keeps_versions", True))
        return
    name = f"test-{uuid.uuid4().hex[:12]}"
    emulator = server(request.param)
    s3 = emulator.client("s3")
    s3.create_bucket(Bucket=name)
    store = real_store(emulator, name)
    yield Subject(
        store,
        lambda key, content: s3.put_object(Bucket=name, Key=key, Body=content, ChecksumAlgorithm="CRC64NVME"),
        lambda key: s3.delete_object(Bucket=name, Key=key),
        lambda key: s3.create_multipart_upload(Bucket=name, Key=key),
        lambda: s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"}),
    )
    store.close()


ODD_KEYS = [
    "a b+c%20/m.onnx",
    "ä/ö/日本.onnx",
    "x/!*'();:@&=+$,?#[]~.onnx",
    "dir/",
    "x//y.onnx",
    "x/../y.onnx",
    "x/./y.onnx",
    "/leading.onnx",
]


def test_a_listing_is_in_key_order_with_size_etag_and_time(subject: Subject) -> None:
    for key in ("b/2.onnx", "a/1.onnx", "b/10.onnx", "c"):
        subject.put(key, key.encode())
    listing = subject.store.list("b/")
    assert [remote.key for remote in listing.objects] == ["b/10.onnx", "b/2.onnx"]
    assert [remote.size_bytes for remote in listing.objects] == [9, 8]
    assert all('"' not in remote.etag and remote.etag for remote in listing.objects)
    assert all(listing.at - remote.last_modified < 60 for remote in listing.objects)


@pytest.mark.parametrize("key", ODD_KEYS)
def test_a_key_comes_through_whatever_is_in_it(subject: Subject, key: str) -> None:
    subject.put("a", b"before")
    subject.put(key, b"content")
    subject.put("zz", b"after")
    assert [remote.key for remote in subject.store.scan("")] == sorted(["a", key, "zz"])
    assert subject.read(subject.find(key)) == b"content"


def test_a_listing_goes_over_many_pages(subject: Subject) -> None:
    keys = [f"k{number:04}" for number in range(1005)]
    for key in keys:
        subject.put(key, b"x")
    assert [remote.key for remote in subject.store.scan("k")] == keys
    assert len(subject.store.list("").objects) == 1005


def test_a_whole_object_comes_with_its_checksum(subject: Subject) -> None:
    subject.put("a", b"hello world")
    remote = subject.find("a")
    assert subject.read(remote, chunk=3) == b"hello world"
    with subject.store.open(remote, Span(0, 11)) as body:
        in_answer = expected(body.details)
    assert in_answer.proof is Proof.CRC64NVME
    assert expected(subject.store.head(remote)) == in_answer


def test_a_span_is_read_exactly(subject: Subject) -> None:
    subject.put("a", bytes(range(256)))
    remote = subject.find("a")
    assert subject.read(remote, Span(10, 20), chunk=3) == bytes(range(10, 20))
    assert subject.read(remote, Span(255, 256)) == b"\xff"


def test_an_empty_object_is_read(subject: Subject) -> None:
    subject.put("a", b"")
    assert subject.read(subject.find("a")) == b""


def test_a_replaced_object_is_not_read(subject: Subject) -> None:
    subject.put("a", b"one")
    remote = subject.find("a")
    subject.put("a", b"two")
    for ask in (
        lambda: subject.read(remote),
        lambda: subject.read(remote, Span(0, 2)),
        lambda: subject.store.head(remote),
    ):
        with pytest.raises(ObjectChanged):
            ask()


def test_a_removed_object_is_not_read(subject: Subject) -> None:
    subject.put("a", b"one")
    remote = subject.find("a")
    subject.remove("a")
    for ask in (lambda: subject.read(remote), lambda: subject.store.head(remote)):
        with pytest.raises(ObjectChanged):
            ask()


def test_a_version_on_record_is_read_when_the_object_was_replaced_or_removed(subject: Subject) -> None:
    subject.keep_versions()
    subject.put("a", b"one")
    listed = subject.find("a")
    version_id = subject.store.head(listed).version_id
    assert version_id
    pinned = listed._replace(version_id=version_id)
    subject.put("a", b"two")
    assert subject.read(pinned) == b"one"
    assert subject.read(pinned, Span(1, 3)) == b"ne"
    subject.remove("a")
    assert subject.read(pinned) == b"one"
    assert subject.store.head(pinned).version_id == version_id
    with pytest.raises(ObjectChanged):
        subject.read(pinned._replace(version_id="no-such-version"))


def test_uploads_in_progress_are_listed_below_a_prefix(subject: Subject) -> None:
    for key in ("a/m.onnx", "b/ä b.onnx", "b/m.onnx"):
        subject.begin_upload(key)
    subject.put("b/c.json", b"{}")
    uploads = list(subject.store.uploads("b/"))
    assert sorted(upload.key for upload in uploads) == ["b/m.onnx", "b/ä b.onnx"]
    assert all(upload.begun_at > 1e9 for upload in uploads)
    assert list(subject.store.uploads("c/")) == []


# LocalStack says that it encodes these keys, and does not.
@pytest.mark.parametrize("subject", ["moto", "fake"], indirect=True)
@pytest.mark.parametrize("key", ODD_KEYS)
def test_the_key_of_an_upload_comes_through_whatever_is_in_it(subject: Subject, key: str) -> None:
    subject.begin_upload(key)
    assert [upload.key for upload in subject.store.uploads("")] == [key]


def test_a_closed_store_gives_nothing(subject: Subject) -> None:
    subject.store.close()
    with pytest.raises(Stopped):
        subject.store.list("")


@pytest.mark.parametrize("kind", ["moto", "localstack", "fake"])
def test_a_bucket_that_does_not_exist_is_told(kind: str, server: Callable[[str], Emulator]) -> None:
    store: ObjectStore = FakeStore(missing=True) if kind == "fake" else real_store(server(kind), "no-such-bucket")
    for ask in (lambda: store.list(""), lambda: list(store.scan(""))):
        with pytest.raises(BucketMissing):
            ask()
