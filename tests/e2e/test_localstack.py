"""The service beside LocalStack, which tells of removals, versions and topics as S3 does, and moto does not."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from modelsync.core.parts import MIB
from modelsync.demo.emulator import Emulator
from support.localstack import LocalStack
from support.voices import aws_cp, put_voice
from support.worker import Setting, Worker, until

ALICE = {"model.onnx": b"weights 1", "config.json": b"{}"}
MODELS = ["alice", "bob", "carol", "dave"]
LARGE = os.urandom(MIB) * 9


@pytest.fixture
def emulator(localstack: LocalStack) -> Emulator:
    """Where `bucket` and `setting` are made."""
    return localstack


@pytest.fixture
def versioned(bucket: Any) -> Any:
    """The bucket, which now keeps versions."""
    bucket.s3.put_bucket_versioning(Bucket=bucket.name, VersioningConfiguration={"Status": "Enabled"})
    return bucket


def start(setting: Setting, bucket: Any, *, models: list[str] = MODELS, **more: str) -> Worker:
    """A worker that has these models, and from now on learns by events alone."""
    for model in models:
        put_voice(bucket, model, ALICE)
    worker = setting.start(RECONCILE_INTERVAL_SECONDS="0", **more)
    until(lambda: worker.metric("last_reconcile_success_timestamp_seconds"), "the first comparison")
    until(lambda: shown(setting) == models, "the models")
    heard(bucket)
    return worker


def heard(bucket: Any) -> None:
    """Wait until the worker has done with every event so far."""
    until(lambda: bucket.messages() == (0, 0), "the messages' deletion")


def shown(setting: Setting) -> list[str]:
    return sorted(path.name for path in setting.base.iterdir() if path.is_symlink())


def manifest(setting: Setting, model: str) -> dict[str, dict[str, Any]]:
    """The published files' records, by path."""
    record = json.loads(((setting.base / model).resolve().parent / "manifest.json").read_bytes())
    return {file["path"]: file for file in record["files"]}


def delete(bucket: Any, model: str) -> dict[str, str]:
    """Delete a model as most people do; returns the delete markers' version ids by key, if there are any."""
    keys = [f"{model}/{name}" for name in (*ALICE, "modelsync.json")]
    return {key: bucket.s3.delete_object(Bucket=bucket.name, Key=key).get("VersionId", "") for key in keys}


def remove_versions(bucket: Any, versions: dict[str, str]) -> None:
    for key, version_id in versions.items():
        bucket.s3.delete_object(Bucket=bucket.name, Key=key, VersionId=version_id)


def test_a_removal_is_heard_of_and_withdrawn_after_the_grace(setting: Setting, bucket: Any) -> None:
    start(setting, bucket, DELETE_GRACE_SECONDS="1")
    delete(bucket, "alice")
    until(lambda: shown(setting) == MODELS[1:], "the withdrawal")
    heard(bucket)


def test_a_new_version_is_published_and_the_removal_of_an_old_one_is_not_heeded(
    setting: Setting, versioned: Any
) -> None:
    worker = start(setting, versioned, models=["alice"], DELETE_GRACE_SECONDS="0", SETTLE_SECONDS="0.2")
    key = "alice/model.onnx"
    old = {key: versioned.s3.head_object(Bucket=versioned.name, Key=key)["VersionId"]}
    assert manifest(setting, "alice")["model.onnx"]["version_id"] == old[key]

    put_voice(versioned, "alice", ALICE | {"model.onnx": b"weights 2"})
    until(lambda: setting.read("alice")["model.onnx"] == b"weights 2", "the new version")
    new = versioned.s3.head_object(Bucket=versioned.name, Key=key)["VersionId"]
    assert manifest(setting, "alice")["model.onnx"]["version_id"] == new != old[key]
    heard(versioned)

    unchanged = worker.metric("events_total", queue="model_sync", outcome="noop")
    remove_versions(versioned, old)
    until(lambda: worker.metric("events_total", queue="model_sync", outcome="noop") > unchanged, "the removal's event")
    heard(versioned)
    assert setting.read("alice")["model.onnx"] == b"weights 2"
    assert worker.metric("sync_total", outcome="success") == 2
    assert not worker.metric("unpublished_total")


def test_a_delete_marker_that_is_removed_within_the_grace_changes_nothing(setting: Setting, versioned: Any) -> None:
    worker = start(setting, versioned, DELETE_GRACE_SECONDS="3600")
    link = (setting.base / "alice").readlink()
    markers = delete(versioned, "alice")
    until(lambda: worker.metric("tombstones") == 1, "the tombstone")
    heard(versioned)
    # What brings it back is told as one more removal: that of the marker.
    remove_versions(versioned, markers)
    until(lambda: worker.metric("tombstones") == 0, "its end")
    heard(versioned)
    assert (setting.base / "alice").readlink() == link
    assert worker.metric("sync_total", outcome="success") == len(MODELS)


def test_delete_markers_withdraw_after_the_grace_and_their_removal_brings_back(
    setting: Setting, versioned: Any
) -> None:
    worker = start(setting, versioned, DELETE_GRACE_SECONDS="1")
    markers = delete(versioned, "alice")
    until(lambda: shown(setting) == MODELS[1:], "the withdrawal")
    until(lambda: worker.metric("unpublished_total") == 1, "the metric")
    remove_versions(versioned, markers)
    until(lambda: shown(setting) == MODELS, "its return")
    assert setting.read("alice") == ALICE
    assert worker.metric("downloaded_bytes_total") == len(MODELS) * sum(map(len, ALICE.values())), "it was kept"


@pytest.mark.parametrize("raw", ["true", "false"])
def test_a_topic_between_bucket_and_queue_is_seen_through(setting: Setting, bucket: Any, raw: str) -> None:
    sns = bucket.emulator.client("sns")
    topic = sns.create_topic(Name=bucket.name)["TopicArn"]
    queue = bucket.sqs.get_queue_attributes(QueueUrl=bucket.place.queue_url, AttributeNames=["QueueArn"])["Attributes"]
    sns.subscribe(
        TopicArn=topic, Protocol="sqs", Endpoint=queue["QueueArn"], Attributes={"RawMessageDelivery": raw}
    )  # fmt: skip
    events = {"TopicArn": topic, "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]}
    bucket.s3.put_bucket_notification_configuration(
        Bucket=bucket.name, NotificationConfiguration={"TopicConfigurations": [events]}
    )
    worker = start(setting, bucket, models=[])
    put_voice(bucket, "älice +%41", ALICE)
    until(lambda: shown(setting) == ["älice +%41"], "the voice")
    heard(bucket)
    assert worker.metric("event_to_publish_seconds_count") == 1
    assert not worker.metric("events_total", queue="model_sync", outcome="unparsable")


@pytest.mark.parametrize(
    ("algorithm", "proof"),
    [("SHA256", "sha256-parts"), ("SHA1", "sha1-parts"), ("CRC32", "crc32-parts"), ("CRC32C", "crc32c-parts")],
)
def test_a_composite_checksum_is_verified_part_by_part_and_the_proof_recorded(
    setting: Setting, bucket: Any, algorithm: str, proof: str
) -> None:
    upload = {"Bucket": bucket.name, "Key": "alice/model.onnx"}
    upload["UploadId"] = bucket.s3.create_multipart_upload(**upload, ChecksumAlgorithm=algorithm)["UploadId"]
    parts: list[dict[str, Any]] = []
    for number, content in enumerate((LARGE[: 5 * MIB], LARGE[5 * MIB :]), 1):  # of unequal size
        sent = bucket.s3.upload_part(**upload, PartNumber=number, Body=content, ChecksumAlgorithm=algorithm)
        parts.append({"PartNumber": number} | {name: sent[name] for name in ("ETag", f"Checksum{algorithm}")})
    bucket.s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    ended = setting.command("sync", SETTLE_SECONDS="0")
    assert ended.returncode == 0, ended.stderr
    assert setting.read("alice") == {"model.onnx": LARGE}
    assert manifest(setting, "alice")["model.onnx"]["proof"] == proof


def test_the_aws_cli_uploads_a_voice_and_an_upload_that_is_in_progress_holds_the_next_back(
    setting: Setting, bucket: Any, tmp_path: Path
) -> None:
    voice = tmp_path / "voice"
    voice.mkdir()
    files = {"model.onnx": LARGE, "config.json": b"{}"}
    for name, content in files.items():
        (voice / name).write_bytes(content)
    worker = start(setting, bucket, models=[], SETTLE_SECONDS="0.5")
    uploading = aws_cp(setting.environment, voice, f"s3://{bucket.name}/alice", bucket.emulator.url)
    assert uploading.wait(60) == 0
    until(lambda: shown(setting) == ["alice"], "the voice")
    assert setting.read("alice") == files
    assert {path: file["proof"] for path, file in manifest(setting, "alice").items()} == {
        "model.onnx": "crc32-parts",
        "config.json": "crc32",
    }
    upload = {"Bucket": bucket.name, "Key": "alice/model.onnx"}
    upload["UploadId"] = bucket.s3.create_multipart_upload(**upload, ChecksumAlgorithm="CRC64NVME")["UploadId"]
    bucket.put("alice/config.json", b"[]")
    held_back = "an upload of 'alice/model.onnx' is in progress"
    until(lambda: any(held_back in line.get("reason", "") for line in worker.logs()), "a look at it")
    part = bucket.s3.upload_part(**upload, PartNumber=1, Body=b"weights 2", ChecksumAlgorithm="CRC64NVME")
    parts = [{"PartNumber": 1, "ETag": part["ETag"]}]
    bucket.s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    until(lambda: setting.read("alice") == {"model.onnx": b"weights 2", "config.json": b"[]"}, "the next version")
    heard(bucket)
