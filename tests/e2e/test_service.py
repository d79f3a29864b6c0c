"""The service as a process, against real servers, with real signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from fakes.proxy import Proxy
from modelsync.demo.reader import Reader
from support.voices import put_voice
from support.worker import Setting, until

LARGE = os.urandom(1 << 20) * 48
ALICE = {"model.onnx": b"weights 1", "config.json": b"{}"}


def test_an_upload_reaches_readers_and_its_message_is_deleted(setting: Setting, bucket: Any) -> None:
    worker = setting.start()
    worker.wait_ready()
    put_voice(bucket, "alice", ALICE)
    until(lambda: (setting.base / "alice").exists() and setting.read("alice") == ALICE, "the voice")
    until(lambda: bucket.messages() == (0, 0), "the messages' deletion")
    status, health = worker.get("/health")
    assert (status, health["status"]) == (200, "healthy")
    assert set(health["checks"]) == {"s3", "queue:model_sync", "volume", "sync", "scrub", "deletions", "retention"}
    assert all(set(check) == {"status", "reason", "since"} for check in health["checks"].values())
    assert worker.get("/live") == (200, {"status": "live"})
    assert worker.metric("event_to_publish_seconds_count") == 1
    assert worker.metric("verified_files_total", proof="commit-sha256") == 2
    assert worker.get("/openapi.json")[1]["info"]["title"] == "modelsync"
    assert worker.end() == 0
    published = next(line for line in worker.logs() if line["event"] == "published")
    assert {"model", "revision", "sync_id", "timestamp", "level"} <= set(published)


def test_a_reader_in_a_tight_loop_sees_only_whole_versions_in_200_updates(setting: Setting, bucket: Any) -> None:
    worker = setting.start()
    worker.wait_ready()
    filler = os.urandom(20_000)

    def version(number: int) -> dict[str, bytes]:
        # Same sizes throughout: nothing but the content tells two versions apart.
        mark = f"{number:06}".encode()
        return {"model.onnx": mark + filler, "config.json": mark, "de/vocab.txt": mark}

    def whole(files: dict[str, bytes]) -> bool:
        return len({content[:6] for content in files.values()}) == 1 and len(files) == 3

    reader = Reader(setting.base / "alice", whole)
    reader.start()
    for number in range(200):
        put_voice(bucket, "alice", version(number))
        worker.wait_published(number + 1)
    seen = reader.stop()
    assert (seen.torn, seen.errors) == (0, 0)
    assert len(seen.revisions) > 100, "the reader was really reading while it changed"
    assert setting.read("alice") == version(199)


def test_sigterm_parks_the_download_returns_the_message_and_a_restart_resumes(
    setting: Setting, bucket: Any, proxy: Proxy
) -> None:
    setting.environment |= {"SHUTDOWN_GRACE_SECONDS": "4", "TRANSFER_CONCURRENCY": "1"}
    worker = setting.start(SETTLE_SECONDS="0")
    worker.wait_ready()
    proxy.hold_after_bytes = 20 << 20  # the answer of one part goes through, the next one's does not
    bucket.put("alice/model.onnx", LARGE)
    until(lambda: worker.metric("downloaded_bytes_total") >= 16 << 20, "a part to arrive")
    start = time.monotonic()
    proxy.hold_after_bytes = 1 << 20
    until(proxy.held.is_set, "a part to be held")
    assert worker.end(signal.SIGTERM) == 0
    assert time.monotonic() - start < 8
    assert bucket.messages() == (1, 0), "it is back at once, for another worker"
    assert not (setting.base / "alice").exists()
    proxy.release()
    again = setting.start(SETTLE_SECONDS="0")
    until((setting.base / "alice").exists, "the voice")
    assert setting.read("alice") == {"model.onnx": LARGE}
    assert again.metric("downloaded_bytes_total") <= 32 << 20, "the first part was not fetched again"
    until(lambda: bucket.messages() == (0, 0), "the message's deletion")


def test_sigterm_returns_untouched_messages_while_a_download_goes_on(
    setting: Setting, bucket: Any, proxy: Proxy
) -> None:
    worker = setting.start(SETTLE_SECONDS="0", SYNC_WORKERS="1")
    worker.wait_ready()
    proxy.hold_after_bytes = 1 << 20
    bucket.put("alice/model.onnx", LARGE[: 8 << 20])
    until(proxy.held.is_set, "the download")
    bucket.put("bob/model.onnx", b"weights")
    until(lambda: bucket.messages() == (0, 2), "both messages to be received")
    worker.send(signal.SIGTERM)
    until(lambda: bucket.messages() == (1, 1), "the message that nobody is at", seconds=10)
    assert worker.process.poll() is None
    proxy.release()
    assert worker.process.wait(30) == 0
    assert setting.read("alice") == {"model.onnx": LARGE[: 8 << 20]}
    assert bucket.messages() == (1, 0)


def test_sigterm_lets_a_short_download_finish(setting: Setting, bucket: Any, proxy: Proxy) -> None:
    worker = setting.start(SETTLE_SECONDS="0")
    worker.wait_ready()
    proxy.hold_after_bytes = 1 << 20
    bucket.put("alice/model.onnx", LARGE[: 8 << 20])
    until(proxy.held.is_set, "the download")
    worker.send(signal.SIGTERM)
    until(lambda: any(line["event"] == "stopping" for line in worker.logs()), "the signal to be noticed")
    proxy.release()
    assert worker.process.wait(30) == 0
    assert setting.read("alice") == {"model.onnx": LARGE[: 8 << 20]}
    assert bucket.messages() == (0, 0)


@pytest.mark.parametrize("connections", [1, 4])
def test_sigkill_in_mid_download_costs_at_most_a_part_per_connection(
    setting: Setting, bucket: Any, proxy: Proxy, connections: int
) -> None:
    setting.environment |= {"TRANSFER_CONCURRENCY": str(connections)}
    worker = setting.start(SETTLE_SECONDS="0")
    worker.wait_ready()
    bucket.put("alice/config.json", b"{}")
    weights = LARGE[: 16 << 20] * 2 * connections  # two parts for each connection
    proxy.hold_after_bytes = 20 << 20  # of each: one part and a quarter
    bucket.put("alice/model.onnx", weights)
    until(lambda: worker.metric("downloaded_bytes_total") >= (20 * connections - 1) << 20, "a part for each")
    worker.end(signal.SIGKILL)
    assert not (setting.base / "alice").exists()
    proxy.release()
    again = setting.start(SETTLE_SECONDS="0")
    until((setting.base / "alice").exists, "the voice")
    assert setting.read("alice") == {"model.onnx": weights, "config.json": b"{}"}
    assert again.metric("downloaded_bytes_total") <= (16 * connections << 20) + 2, "no more than what broke off"
    assert not list((setting.base / ".modelsync").rglob("staging")), "nothing is left over"


def test_a_restart_finds_everything_and_downloads_nothing(setting: Setting, bucket: Any) -> None:
    first = setting.start()
    for model in ("alice", "bob"):
        put_voice(bucket, model, ALICE)
    first.wait_published(2)
    assert first.end() == 0
    second = setting.start()
    second.wait_ready()
    until(lambda: second.metric("last_reconcile_success_timestamp_seconds"), "a comparison")
    assert second.metric("s3_requests_total", operation="GetObject", outcome="ok") == 0
    assert second.metric("models", state="published") == 2
    assert second.metric("reconcile_duration_seconds_count") == 1


def test_without_s3_the_models_stay_readable_and_health_says_why(setting: Setting, bucket: Any, proxy: Proxy) -> None:
    first = setting.start()
    first.wait_ready()
    put_voice(bucket, "alice", ALICE)
    first.wait_published()
    assert first.end() == 0
    proxy.down = True
    second = setting.start()
    until(lambda: second.check("s3").get("status") == "degraded", "the outage to be noticed")
    assert "S3 cannot be reached" in second.check("s3")["reason"]
    second.wait_ready()  # a comparison has finished on this volume before
    assert second.get("/live")[0] == 200
    assert second.get("/health")[0] == 200
    assert setting.read("alice") == ALICE
    proxy.down = False
    until(lambda: second.check("s3")["status"] == "healthy", "recovery")


def test_a_first_start_without_s3_is_not_ready_but_lives_and_recovers(
    setting: Setting, bucket: Any, proxy: Proxy
) -> None:
    put_voice(bucket, "alice", ALICE)
    proxy.down = True
    worker = setting.start()
    until(lambda: worker.check("s3").get("status") == "degraded", "the outage to be noticed")
    status, answer = worker.get("/ready")
    assert status == 503
    assert "no comparison" in answer["reason"]
    assert worker.get("/live")[0] == 200
    proxy.down = False
    worker.wait_ready()
    assert setting.read("alice") == ALICE


@pytest.mark.parametrize("how", ["signal", "API"])
def test_a_comparison_that_is_asked_for_begins_at_once(setting: Setting, bucket: Any, how: str) -> None:
    del setting.environment["SQS_MODEL_SYNC_QUEUE_URL"]
    worker = setting.start(API_TOKEN="a-token-for-writing")
    worker.wait_ready()
    put_voice(bucket, "alice", ALICE)
    if how == "signal":
        worker.send(signal.SIGHUP)
    else:
        assert "compared" in worker.post("/api/v1/reconcile", "a-token-for-writing")["reason"]
    worker.wait_published()
    assert setting.read("alice") == ALICE


def test_a_storm_of_signals_is_survived(setting: Setting, bucket: Any) -> None:
    worker = setting.start()
    worker.wait_ready()
    for _ in range(500):
        worker.send(signal.SIGHUP)
    put_voice(bucket, "alice", ALICE)
    worker.wait_published()
    assert worker.end() == 0


def test_sigterm_before_anything_has_begun_ends_at_once(setting: Setting, proxy: Proxy) -> None:
    proxy.hold_after_bytes = 0
    with subprocess.Popen(
        [sys.executable, "-m", "modelsync", "run"], env=setting.environment, stderr=subprocess.DEVNULL
    ) as starting:
        until(proxy.held.is_set, "the first request")
        starting.send_signal(signal.SIGTERM)
        assert starting.wait(5) == 0


def test_a_long_download_keeps_its_message_hidden(setting: Setting, bucket: Any, proxy: Proxy) -> None:
    bucket.sqs.set_queue_attributes(QueueUrl=bucket.place.queue_url, Attributes={"VisibilityTimeout": "2"})
    worker = setting.start(SETTLE_SECONDS="0")
    worker.wait_ready()
    proxy.hold_after_bytes = 1 << 20
    bucket.put("alice/model.onnx", LARGE[: 4 << 20])
    until(proxy.held.is_set, "the download")
    seen = []
    deadline = time.monotonic() + 6
    while time.monotonic() < deadline:
        seen.append(bucket.messages())
        time.sleep(0.1)
    assert set(seen) == {(0, 1)}, "three time-outs long, nobody else could receive it"
    proxy.release()
    until(lambda: bucket.messages() == (0, 0), "the message's deletion")
    assert setting.read("alice") == {"model.onnx": LARGE[: 4 << 20]}


def test_hostile_keys_are_on_record_and_stop_nobody(setting: Setting, bucket: Any) -> None:
    worker = setting.start(SETTLE_SECONDS="0")
    worker.wait_ready()
    for key in ("mallory/../../evil.onnx", "mallory//x.onnx", "../up.onnx", ".modelsync/x.onnx", "eve/a\u0085b.onnx"):
        bucket.put(key, b"x")
    bucket.sqs.send_message(QueueUrl=bucket.place.queue_url, MessageBody="no notification at all")
    put_voice(bucket, "alice", ALICE)
    worker.wait_published()
    worker.send(signal.SIGHUP)  # what names no model is seen by a comparison too
    until(lambda: worker.metric("rejected_total", reason="key") >= 2, "the refusals")
    until(lambda: worker.metric("events_total", queue="model_sync", outcome="unparsable") == 1, "the bad message")
    until(lambda: worker.metric("refused_keys_total") >= 2, "the keys that name no model")
    assert setting.read("alice") == ALICE
    assert sorted(path.name for path in setting.base.iterdir()) == [".modelsync", "alice"]
    assert not (setting.base.parent / "up.onnx").exists()
    [record] = (setting.base / ".modelsync/models/mallory/quarantine").iterdir()
    assert "segment" in json.loads(record.read_bytes())["reason"]
    check = worker.check("sync")
    assert check["status"] == "degraded"
    assert "eve: " in check["reason"]
    assert worker.process.poll() is None


def test_a_failing_queue_degrades_health_while_reconcile_goes_on(setting: Setting, bucket: Any) -> None:
    worker = setting.start(RECONCILE_INTERVAL_SECONDS="0.5")
    worker.wait_ready()
    bucket.sqs.delete_queue(QueueUrl=bucket.place.queue_url)
    until(lambda: worker.check("queue:model_sync").get("status") == "degraded", "the loss to be noticed")
    assert "does not exist" in worker.check("queue:model_sync")["reason"]
    put_voice(bucket, "alice", ALICE)
    worker.wait_published()
    until(lambda: worker.metric("queue_receive_errors_total", queue="model_sync") >= 1, "the failed receive in metrics")


def test_a_volume_that_is_taken_away_is_unhealthy_and_comes_back(setting: Setting, bucket: Any) -> None:
    worker = setting.start()
    worker.wait_ready()
    away = setting.base.with_name("away")
    setting.base.rename(away)
    until(lambda: worker.check("volume")["status"] == "unhealthy", "the loss to be noticed")
    assert worker.get("/health")[0] == 503
    assert worker.get("/ready")[0] == 503
    assert worker.get("/live")[0] == 200
    away.rename(setting.base)
    until(lambda: worker.check("volume")["status"] == "healthy", "recovery")
    put_voice(bucket, "alice", ALICE)
    worker.wait_published()
