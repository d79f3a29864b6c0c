"""Models that leave the bucket, with the service as a process against real servers."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

from fakes.proxy import Proxy
from support.voices import put_voice
from support.worker import Setting, Worker, until

VOICE = {"model.onnx": b"weights 1", "config.json": b"{}"}


def publish(setting: Setting, bucket: Any, number: int) -> None:
    """Bring so many voices, m0 and on, to the volume."""
    for n in range(number):
        put_voice(bucket, f"m{n}", VOICE)
    ended = setting.command("sync")
    assert ended.returncode == 0, ended.stderr
    bucket.sqs.purge_queue(QueueUrl=bucket.place.queue_url)


def delete(bucket: Any, *models: str) -> None:
    for model in models:
        for name in (*VOICE, "modelsync.json"):
            bucket.s3.delete_object(Bucket=bucket.name, Key=f"{model}/{name}")


def announce(bucket: Any, key: str) -> None:
    """Send what S3 sends of a removal: the emulator does not."""
    record = {
        "eventVersion": "2.1", "eventSource": "aws:s3", "eventTime": "2026-11-23T16:56:19.000Z",
        "eventName": "ObjectRemoved:Delete",
        "s3": {"bucket": {"name": bucket.name}, "object": {"key": key, "sequencer": "0055AED6DCD90281E5"}},
    }  # fmt: skip
    bucket.sqs.send_message(QueueUrl=bucket.place.queue_url, MessageBody=json.dumps({"Records": [record]}))


def start(setting: Setting, **more: str) -> Worker:
    """Start a worker and wait for its first comparison."""
    worker = setting.start(**more)
    until(lambda: worker.metric("last_reconcile_success_timestamp_seconds"), "the first comparison")
    return worker


def shown(setting: Setting) -> list[str]:
    return sorted(path.name for path in setting.base.iterdir() if path.is_symlink())


def told(worker: Worker, event: str) -> list[dict[str, Any]]:
    return [line for line in worker.logs() if line["event"] == event]


def test_a_removal_event_withdraws_the_model_after_the_grace_and_an_upload_brings_it_back(
    setting: Setting, bucket: Any
) -> None:
    publish(setting, bucket, 3)
    worker = start(setting, DELETE_GRACE_SECONDS="1", RECONCILE_INTERVAL_SECONDS="0")
    delete(bucket, "m0")
    announce(bucket, "m0/modelsync.json")
    until(lambda: shown(setting) == ["m1", "m2"], "the withdrawal")
    until(lambda: bucket.messages() == (0, 0), "the message's deletion")
    until(lambda: worker.metric("unpublished_total") == 1, "the metric")
    assert worker.metric("tombstones") == 0
    assert worker.check("deletions")["status"] == "healthy"
    assert [line["event"] for line in worker.logs() if line["event"] in {"left the bucket", "unpublished"}] == [
        "left the bucket",
        "unpublished",
    ]
    put_voice(bucket, "m0", VOICE)
    until(lambda: shown(setting) == ["m0", "m1", "m2"], "its return")
    assert setting.read("m0") == VOICE
    assert not told(worker, "downloading"), "the volume had kept it"


def test_a_removal_event_of_an_old_version_withdraws_nothing(setting: Setting, bucket: Any) -> None:
    publish(setting, bucket, 3)
    worker = start(setting, DELETE_GRACE_SECONDS="0")
    announce(bucket, "m0/modelsync.json")
    until(lambda: bucket.messages() == (0, 0), "the message's deletion")
    assert worker.metric("events_total", queue="model_sync", outcome="noop") >= 1
    assert shown(setting) == ["m0", "m1", "m2"]
    assert not told(worker, "left the bucket")


def test_a_pending_withdrawal_outlives_a_restart_and_an_outage(setting: Setting, bucket: Any, proxy: Proxy) -> None:
    publish(setting, bucket, 3)
    first = start(setting, DELETE_GRACE_SECONDS="3600")
    delete(bucket, "m0")
    first.send(signal.SIGHUP)
    until(lambda: first.metric("tombstones") == 1, "the tombstone")
    assert first.end() == 0
    proxy.down = True
    second = setting.start(DELETE_GRACE_SECONDS="0.1")
    until(lambda: second.check("s3").get("status") == "degraded", "the outage")
    assert shown(setting) == ["m0", "m1", "m2"], "nothing is removed because S3 cannot be reached"
    proxy.down = False
    until(lambda: shown(setting) == ["m1", "m2"], "the withdrawal")


def test_a_bucket_that_is_suddenly_empty_removes_nothing_and_health_says_why(setting: Setting, bucket: Any) -> None:
    publish(setting, bucket, 3)
    del setting.environment["SQS_MODEL_SYNC_QUEUE_URL"]
    worker = start(setting, DELETE_GRACE_SECONDS="0", DELETE_MAX_FRACTION="1")
    delete(bucket, "m0", "m1", "m2")
    worker.send(signal.SIGHUP)
    until(lambda: worker.check("deletions")["status"] == "degraded", "the breaker")
    assert "the bucket has no model, 3 are published: none is withdrawn" in worker.check("deletions")["reason"]
    assert worker.get("/health")[0] == 200
    assert worker.metric("deletions_held") == 1
    assert shown(setting) == ["m0", "m1", "m2"]
    for n in range(3):
        put_voice(bucket, f"m{n}", VOICE)
    worker.send(signal.SIGHUP)
    until(lambda: worker.check("deletions")["status"] == "healthy", "recovery")
    assert not told(worker, "unpublished")


def test_sync_withdraws_too_and_says_so(setting: Setting, bucket: Any) -> None:
    publish(setting, bucket, 4)
    delete(bucket, "m0")
    preview = setting.command("sync", "--dry-run")
    assert preview.stdout.startswith("m0: leave: it left the bucket, seen first at"), preview.stderr
    within = setting.command("sync", "--json")
    [row] = json.loads(within.stdout)["models"]
    assert (within.returncode, row["model"], row["outcome"]) == (0, "m0", "noop")
    assert "unless it comes back" in row["reason"]
    assert shown(setting) == ["m0", "m1", "m2", "m3"]
    again = setting.command("sync")
    assert again.stdout.startswith("m0: noop: it left the bucket"), "it is told every time"
    due = setting.command("sync", "--dry-run", DELETE_GRACE_SECONDS="0")
    assert due.stdout.startswith("m0: unpublish: it left the bucket"), due.stderr
    after = setting.command("sync", DELETE_GRACE_SECONDS="0")
    assert after.stdout.startswith("m0: success: it left the bucket"), after.stderr
    assert shown(setting) == ["m1", "m2", "m3"]
    delete(bucket, "m1", "m2")
    held = setting.command("sync", DELETE_GRACE_SECONDS="0")
    assert held.stdout.count("more than DELETE_MAX_FRACTION=0.3, none is withdrawn") == 2, held.stderr
    assert shown(setting) == ["m1", "m2", "m3"]


def test_sync_without_a_grace_needs_one_run(setting: Setting, bucket: Any) -> None:
    publish(setting, bucket, 4)
    delete(bucket, "m0")
    ended = setting.command("sync", DELETE_GRACE_SECONDS="0")
    assert ended.stdout.startswith("m0: success: it left the bucket"), ended.stderr
    assert not os.path.lexists(setting.base / "m0")
