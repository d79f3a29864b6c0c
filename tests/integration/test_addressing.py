"""Where a bucket is asked for, and that every key is signed as S3 reads it, in both styles of addressing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fakes.authority import Authority
from fakes.cloud import REGION, SigningS3
from fakes.forward_proxy import ForwardProxy
from modelsync.adapters.s3 import S3Options, S3Store
from modelsync.errors import BucketMissing, StoreDenied
from support.signed import BUCKET, Pod, read

KEYS = [
    "a b/two  spaces.onnx",
    "a+b/c+d.onnx",
    "100%/%41/%2F.onnx",
    "~tilde/-_.~.onnx",
    "ä/ö/日本語/🎙.onnx",
    "e\u0301 decomposed.onnx",
    "x/!*'();:@&=$,?#[]\"<>\\^`{|}.onnx",
    "//double//slash.onnx",
    "./dot/../dots.onnx",
]


@pytest.fixture(autouse=True)
def _static_keys(pod: Pod) -> None:
    pod.static_keys()


@contextmanager
def on_aws(pod: Pod, directory: Path, bucket: str, host: str) -> Iterator[tuple[S3Store, SigningS3]]:
    """A bucket at Amazon's name for it, which is reached through a proxy that knows where that is."""
    authority = Authority(directory)
    with (
        SigningS3(bucket, pod.keys, tls=authority.server(host)) as s3,
        ForwardProxy({host: s3.port}) as proxy,
    ):
        pod.set(HTTPS_PROXY=f"http://{proxy.address}", AWS_CA_BUNDLE=authority.file)
        store = S3Store(S3Options(bucket), pod.session(on_aws=True), lambda _: None)
        yield store, s3
        store.close()


def upload_and_read(s3: SigningS3, store: S3Store) -> None:
    for key in KEYS:
        s3.put(key, key.encode())
    listed = store.list("").objects
    assert [remote.key for remote in listed] == sorted(KEYS)
    for remote in listed:
        assert read(store, remote) == remote.key.encode()
        assert store.head(remote).size_bytes == remote.size_bytes
        assert [again.key for again in store.list(remote.key).objects] == [remote.key]


def test_every_key_is_signed_right_by_path(pod: Pod) -> None:
    pod.s3.objects.clear()
    upload_and_read(pod.s3, pod.store())
    assert all(request.path.startswith(f"/{BUCKET}/") for request in pod.s3.seen)


def test_every_key_is_signed_right_by_host(pod: Pod, tmp_path: Path) -> None:
    host = f"{BUCKET}.s3.{REGION}.amazonaws.com"
    with on_aws(pod, tmp_path, BUCKET, host) as (store, s3):
        upload_and_read(s3, store)
        assert {request.headers["host"] for request in s3.seen} == {host}


def test_a_bucket_with_dots_is_asked_for_by_path_on_aws_since_no_certificate_covers_it(
    pod: Pod, tmp_path: Path
) -> None:
    with on_aws(pod, tmp_path, "my.tts.models", f"s3.{REGION}.amazonaws.com") as (store, s3):
        upload_and_read(s3, store)
        assert all(request.path.startswith("/my.tts.models/") for request in s3.seen)


def test_another_bucket_is_told_as_missing(pod: Pod) -> None:
    with pytest.raises(BucketMissing, match="check S3_BUCKET_NAME, AWS_REGION and the endpoint"):
        pod.store(options=S3Options("others")).check()


def test_requests_one_after_the_other_share_a_connection(pod: Pod) -> None:
    store = pod.store()
    for _ in range(3):
        remote = store.list("").objects[0]
        read(store, remote)
        store.head(remote)
    assert pod.s3.connections == 1


# Who pays


def test_the_requester_pays_with_every_request_if_told_to(pod: Pod) -> None:
    with SigningS3(BUCKET, pod.keys, payer=True) as s3:
        s3.put("a", b"content")
        session = pod.session(s3_url=s3.url)
        with pytest.raises(StoreDenied, match="AccessDenied"):
            pod.store(session).check()
        store = pod.store(session, S3Options(BUCKET, request_payer="requester"))
        remote = store.list("").objects[0]
        assert read(store, remote) == b"content"
        assert store.head(remote).size_bytes == 7
        paid = [(request.method, request.headers.get("x-amz-request-payer")) for request in s3.seen[1:]]
        assert paid == [("GET", "requester"), ("GET", "requester"), ("HEAD", "requester")]


def test_nobody_pays_unasked(pod: Pod) -> None:
    pod.store().check()
    assert "x-amz-request-payer" not in pod.s3.seen[0].headers
