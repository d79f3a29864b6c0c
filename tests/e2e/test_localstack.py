"""The service beside LocalStack, whose events are S3's in more ways than moto's: removals, versions, topics."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelsync.core.parts import MIB
from modelsync.demo.emulator import Emulator
from support.localstack import LocalStack
from support.voices import put_voice
from support.worker import Setting, Worker, until

ALICE = {"model.onnx": b"weights 1", "config.json": b"{}"}
BOB = {"model.onnx": b"weights of bob", "config.json": b"{}"}


@pytest.fixture
def emulator(localstack: LocalStack) -> Emulator:
    """Where `bucket` and `setting` are made."""
    return localstack


@pytest.fixture
def versioned(bucket: Any) -> Any:
    """The bucket, which now keeps versions."""
    bucket.s3.put_bucket_versioning(Bucket=bucket.name, VersioningConfiguration={"Status": "Enabled"})
    return bucket


@pytest.fixture
def heard(emulator: Emulator, bucket: Any) -> Iterator[Any]:
    """A second queue that hears what the worker's does, for the test to read."""
    yield None


def start(setting: Setting, **more: str) -> Worker:
    """A worker that learns by events alone, once its first comparison is over."""
    worker = setting.start(RECONCILE_INTERVAL_SECONDS="0", **more)
    until(lambda: worker.metric("last_reconcile_success_timestamp_seconds"), "the first comparison")
    return worker


def published(setting: Setting, model: str, files: dict[str, bytes]) -> None:
    until(lambda: (setting.base / model).exists() and setting.read(model) == files, f"{model}'s publication")


def told(worker: Worker, event: str) -> list[dict[str, Any]]:
    return [line for line in worker.logs() if line["event"] == event]


def manifest(setting: Setting, model: str) -> dict[str, dict[str, Any]]:
    """The published files' records, by path."""
    record = json.loads(((setting.base / model).resolve().parent / "manifest.json").read_bytes())
    return {file["path"]: file for file in record["files"]}


def remove(bucket: Any, model: str) -> dict[str, str]:
    """Delete all files of a model; returns the delete markers' version ids by key, if the bucket keeps versions."""
    keys = [f"{model}/{name}" for name in (*ALICE, "modelsync.json")]
    return {key: bucket.s3.delete_object(Bucket=bucket.name, Key=key).get("VersionId", "") for key in keys}


def test_an_overwritten_voice_is_a_new_revision_with_its_version_ids_on_record(setting: Setting, versioned: Any) -> None:
    worker = start(setting)
    put_voice(versioned, "alice", ALICE)
    published(setting, "alice", ALICE)
    first = manifest(setting, "alice")
    second = ALICE | {"model.onnx": b"weights 2"}
    put_voice(versioned, "alice", second)
    published(setting, "alice", second)
    until(lambda: versioned.messages() == (0, 0), "the messages' deletion")
    key = "alice/model.onnx"
    held = versioned.s3.head_object(Bucket=versioned.name, Key=key)["VersionId"]
    record = manifest(setting, "alice")["model.onnx"]
    assert record["version_id"] == held != first["model.onnx"]["version_id"]
    assert record["etag"] == hashlib.md5(b"weights 2").hexdigest()
    assert worker.metric("sync_total", outcome="success") == 2


def test_a_delete_marker_withdraws_after_the_grace_and_an_unversioned_removal_too(
    setting: Setting, versioned: Any
) -> None:
    for model in ("alice", "bob", "carol", "dave"):
        put_voice(versioned, model, ALICE)
    worker = start(setting, DELETE_GRACE_SECONDS="1")
    published(setting, "dave", ALICE)
    remove(versioned, "alice")  # no event is made up here: S3's own must do
    until(lambda: not os.path.lexists(setting.base / "alice"), "the withdrawal")
    until(lambda: versioned.messages() == (0, 0), "the messages' deletion")
    assert [line["model"] for line in told(worker, "unpublished")] == ["alice"]
    assert worker.check("deletions")["status"] == "healthy"
