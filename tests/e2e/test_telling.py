"""Applications are told by the service and by one-shot commands, as processes."""

from __future__ import annotations

import base64
import json
import re
import signal
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from fakes.loopback import Answer, Request
from fakes.receivers import RawServer, WebhookReceiver, hang
from modelsync.config import load
from modelsync.core.facts import Fact, NoticeLost, Published
from modelsync.core.names import ModelId
from modelsync.core.objects import Revision
from modelsync.service import telling
from support.damage import flip
from support.voices import put_voice
from support.worker import Setting, Worker, until

DOCS = Path(__file__).parents[2] / "docs" / "notifications.md"
ALICE = {"model.onnx": b"weights 1", "config.json": b"{}"}
SECRET = f"whsec_{base64.b64encode(b'k' * 24).decode()}"


def kinds(receiver: WebhookReceiver) -> list[tuple[str, str]]:
    return [
        (event["type"].rpartition(".")[2], event["subject"])
        for event in (json.loads(one.body) for one in receiver.seen)
    ]


def documented(language: str, after: str) -> str:
    """A block of code in docs/notifications.md."""
    found = re.search(rf"{re.escape(after)}.*?```{language}\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def verify(request: Request) -> None:
    names: dict[str, Any] = {}
    exec(documented("python", "### Verify the signature"), names)
    names["verify"](request.headers, request.body, SECRET)


def test_publication_rejection_and_withdrawal_are_told_by_webhook_and_command(
    setting: Setting, bucket: Any, tmp_path: Path
) -> None:
    out = tmp_path / "told"
    with WebhookReceiver() as receiver:
        worker = setting.start(
            SETTLE_SECONDS="0",
            DELETE_GRACE_SECONDS="0",
            RECONCILE_INTERVAL_SECONDS="0.2",
            NOTIFY_WEBHOOK_URLS=f"{receiver.url}/hidden?token=hidden",
            NOTIFY_WEBHOOK_SECRET=SECRET,
            NOTIFY_EXEC=f"""sh -c 'echo "$MODELSYNC_EVENT $MODELSYNC_MODEL" >> "$1"; modelsync config' sh {out}""",
            PATH=f"{Path(sys.executable).parent}:/usr/bin:/bin",
            API_TOKEN="hidden-token",
        )
        worker.wait_ready()
        with urllib.request.urlopen(f"{worker.url}/api/v1/events", timeout=30) as stream:
            put_voice(bucket, "alice", ALICE)
            put_voice(bucket, "bob", ALICE)
            until(lambda: len(receiver.seen) >= 2, "the publications")
            bucket.put("alice/modelsync.json", b"nonsense")
            until(lambda: len(receiver.seen) >= 3, "the rejection")
            for name in (*ALICE, "modelsync.json"):
                bucket.s3.delete_object(Bucket=bucket.name, Key=f"bob/{name}")
            until(lambda: len(receiver.seen) >= 4, "the withdrawal")
            until(lambda: out.exists() and len(out.read_text().splitlines()) >= 4, "the command's runs")
            streamed = _notices(stream, 4)
        told = kinds(receiver)
        assert sorted(told[:2]) == [("published", "alice"), ("published", "bob")]
        assert told[2:] == [("rejected", "alice"), ("unpublished", "bob")]
        for request in receiver.seen:
            verify(request)
        assert out.read_text().split("\n")[:-1] == [f"{kind} {model}" for kind, model in told]
        assert streamed == [json.loads(request.body) for request in receiver.seen]
        until(lambda: worker.metric("notices_total", outcome="told", receiver="exec") == 4, "the commands' ends")
        assert worker.metric("notices_total", outcome="told", receiver="webhook-1") == 4
        assert worker.metric("hook_runs_total", hook="notify", outcome="ok") == 4, "modelsync itself can be run there"
        assert worker.check("notifications")["status"] == "healthy"
        activity = worker.get("/api/v1/activity?model=bob")[1]["activity"]
        assert [one["kind"] for one in activity if one["kind"] != "downloading"][:1] == ["unpublished"]
        with urllib.request.urlopen(f"{worker.url}/metrics", timeout=10) as metrics:
            assert b"hidden" not in metrics.read()
        assert "hidden" not in json.dumps(worker.get("/health")[1])
        assert worker.end() == 0
        assert "hidden" not in json.dumps(worker.logs())


def _notices(stream: Any, count: int) -> list[Any]:
    found: list[Any] = []
    while len(found) < count:
        line = stream.readline().decode()
        if line.startswith("data:") and "specversion" in line:
            found.append(json.loads(line.removeprefix("data: ")))
    return found


def test_the_examples_in_the_docs_are_what_is_sent(setting: Setting, bucket: Any) -> None:
    with WebhookReceiver() as receiver:
        put_voice(bucket, "alice", ALICE)
        setting.command("sync", NOTIFY_WEBHOOK_URLS=receiver.url, NOTIFY_WEBHOOK_SECRET=SECRET)
        (request,) = receiver.seen
    head, _, body = documented("http", "structured mode").partition("\n\n")
    example, sent = json.loads(body), json.loads(request.body)
    assert list(example) == list(sent)
    assert set(sent["data"]) <= set(example["data"])
    names = {line.partition(":")[0].lower() for line in head.splitlines()[1:]}
    assert names == set(request.headers) - {"connection"}


def test_a_command_tells_before_it_ends(setting: Setting, bucket: Any, tmp_path: Path) -> None:
    put_voice(bucket, "alice", ALICE)
    out = tmp_path / "told"
    with WebhookReceiver(Answer(500), Answer(204)) as receiver:
        done = setting.command("sync", NOTIFY_WEBHOOK_URLS=receiver.url, NOTIFY_EXEC=f"sh -c 'sleep 0.3; cat > {out}'")
        assert done.returncode == 0, done.stderr
        assert kinds(receiver) == [("published", "alice")] * 2
    assert json.loads(out.read_text())["subject"] == "alice"
    with WebhookReceiver() as receiver:
        assert setting.command("sync", NOTIFY_WEBHOOK_URLS=receiver.url).returncode == 0
        assert setting.command("verify", NOTIFY_WEBHOOK_URLS=receiver.url).returncode == 0
        assert not receiver.seen, "nothing has changed"


def test_what_operators_do_by_command_is_told(setting: Setting, bucket: Any, tmp_path: Path) -> None:
    for number in (1, 2):
        put_voice(bucket, "alice", ALICE | {"model.onnx": b"weights %d" % number})
        assert setting.command("sync").returncode == 0
    out = tmp_path / "told"
    hook = f"""sh -c 'echo "$MODELSYNC_EVENT $MODELSYNC_ROLLED_BACK $MODELSYNC_PINNED" >> {out}'"""
    with WebhookReceiver() as receiver:
        setting.environment |= {"NOTIFY_WEBHOOK_URLS": receiver.url, "NOTIFY_EXEC": hook}
        assert setting.command("rollback", "alice").returncode == 0
        assert setting.command("unpin", "alice").returncode == 0
        flip((setting.base / "alice").resolve() / "config.json")
        assert setting.command("verify", "--repair").returncode == 0
        assert setting.command("gc", "--dry-run", EVICT_CURRENT="lru", VOLUME_BUDGET_BYTES="1").returncode == 0
        assert setting.command(
            "gc", EVICT_CURRENT="lru", VOLUME_BUDGET_BYTES="1", STALE_REVISION_SECONDS="0"
        ).returncode == 0  # fmt: skip
        events = [json.loads(one.body) for one in receiver.seen]
        assert kinds(receiver) == [("published", "alice")] * 3 + [("unpublished", "alice")]
    back, forth, repaired, withdrawn = (event["data"] for event in events)
    assert (back["pinned"], back["rolled_back"]) == (True, True)
    assert (forth["pinned"], forth["rolled_back"]) == (False, False)
    assert (back["previous"], back["revision"]) == (forth["revision"], forth["previous"])
    assert repaired["revision"] == forth["revision"] == withdrawn["revision"]
    assert out.read_text().splitlines() == [
        "published true true", "published false false", "published false false", "unpublished  "
    ]  # fmt: skip


def test_what_consumers_reported_outlives_a_kill_of_the_worker(setting: Setting, bucket: Any) -> None:
    put_voice(bucket, "alice", ALICE)
    worker = setting.start(API_TOKEN="token")
    worker.wait_ready()
    worker.wait_published(1)
    revision = worker.get("/api/v1/models/alice")[1]["revision"]
    body = json.dumps({"consumer": "tts-0", "revision": revision}).encode()
    request = urllib.request.Request(
        f"{worker.url}/api/v1/models/alice/consumers", body, {"Authorization": "Bearer token"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 204
    worker.end(signal.SIGKILL)
    later = setting.start(API_TOKEN="token")
    later.wait_ready()
    assert later.get("/api/v1/models/alice")[1]["rollout"] == {"consumers": 1, "current": 1, "complete": True}
    until(lambda: later.metric("consumers", model="alice", runs="current") == 1, "the metric")


def test_a_command_waits_for_a_receiver_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "_FLUSH_SECONDS", 0.2)
    told: list[Fact] = []
    with RawServer(hang) as server:
        settings = load({"S3_BUCKET_NAME": "models", "NOTIFY_WEBHOOK_URLS": server.url}).settings
        start = time.monotonic()
        with telling.telling(settings, told.append) as teller:
            teller(Published(ModelId("a"), Revision("1" * 32), "s", None, 1, 1, 1.0, None, "why"))
        assert time.monotonic() - start < 5
    until(lambda: any(isinstance(fact, NoticeLost) for fact in told), "the loss to be told")


def test_the_service_ends_in_time_while_a_receiver_hangs(setting: Setting, bucket: Any) -> None:
    with RawServer(hang) as server:
        worker = setting.start(
            SETTLE_SECONDS="0", NOTIFY_WEBHOOK_URLS=server.url, SHUTDOWN_GRACE_SECONDS="1", NOTIFY_EXEC="sleep 60"
        )
        worker.wait_ready()
        for number in range(3):
            put_voice(bucket, f"voice-{number}", ALICE)
        worker.wait_published(3)
        until(lambda: server.connections, "the first attempt")
        start = time.monotonic()
        assert worker.end(signal.SIGTERM) == 0
        assert time.monotonic() - start < 8
    lost = [line for line in worker.logs() if line["event"] == "not told"]
    assert {line["receiver"] for line in lost} >= {"exec"}


def test_what_the_publish_hook_refuses_is_not_published(setting: Setting, bucket: Any, tmp_path: Path) -> None:
    hook = tmp_path / "hook.sh"
    hook.write_text('#!/bin/sh\ngrep -q good "$MODELSYNC_PATH/config.json" || { echo "not a good voice"; exit 1; }\n')
    hook.chmod(0o755)
    setting.environment["PUBLISH_HOOK"] = str(hook)
    put_voice(bucket, "alice", ALICE)
    done = setting.command("sync", "--json")
    assert done.returncode == 3
    (model,) = json.loads(done.stdout)["models"]
    assert (model["outcome"], model["reason"]) == (
        "rejected", "PUBLISH_HOOK ended with exit code 1: not a good voice"
    )  # fmt: skip
    assert not (setting.base / "alice").exists()
    worker: Worker = setting.start(SETTLE_SECONDS="0")
    worker.wait_ready()
    good = ALICE | {"config.json": b'{"good": 1}'}
    put_voice(bucket, "alice", good)
    until(lambda: (setting.base / "alice").exists() and setting.read("alice") == good, "the good voice")
    assert worker.metric("hook_runs_total", hook="publish", outcome="ok") == 1
