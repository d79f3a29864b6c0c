"""A world for each test, and a pod beside a bucket that checks signatures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.authority import Authority
from fakes.cloud import REGION, SigningS3
from fakes.hostile_s3 import S3
from fakes.sigv4 import Keyring
from support.signed import BUCKET, Pod
from support.world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.fetcher.close()


@pytest.fixture
def pod(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pod]:
    """No keys, no AWS_DEFAULT_REGION: Kubernetes' webhooks set AWS_REGION alone."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_REGION", REGION)
    keys = Keyring()
    with SigningS3(BUCKET, keys) as s3:
        s3.put("alice/model.onnx", b"weights")
        made = Pod(keys, s3, monkeypatch)
        yield made
        made.close()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who signs the certificates of servers on loopback."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def s3(request: pytest.FixtureRequest, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    """A server for one test, that does what it is told; by https if the parameter says so."""
    encrypted = getattr(request, "param", "http") == "https"
    if encrypted:
        monkeypatch.setenv("SSL_CERT_FILE", authority.file)
    server = S3(authority.server("127.0.0.1") if encrypted else None)
    yield server
    server.close()
