"""Rollback, pin and unpin by real processes, beside a service that gets events."""

from __future__ import annotations

import json
import os
import shutil
import signal
import urllib.error
import urllib.request
from typing import Any

import pytest

from fakes.proxy import Proxy
from modelsync.demo.reader import Reader
from support.voices import put_voice
from support.worker import Setting, Worker, until

TOKEN = {"API_TOKEN": "e2e-token"}


def version(number: int) -> dict[str, bytes]:
    return {"model.onnx": f"weights {number}".encode(), "config.json": f'{{"version": {number}}}'.encode()}


def post(worker: Worker, path: str) -> dict[str, Any]:
    return worker.post(path, TOKEN["API_TOKEN"])


def publish(setting: Setting, bucket: Any, worker: Worker, number: int) -> None:
    put_voice(bucket, "alice", version(number))
    until(lambda: (setting.base / "alice").exists() and setting.read("alice") == version(number), f"version {number}")
    until(lambda: bucket.messages() == (0, 0), "the messages' deletion")
    until(lambda: worker.get("/api/v1/models/alice")[1]["state"] == "published", "the end of the sync")


def syncs(worker: Worker) -> float:
    return worker.metric("sync_total", outcome="noop")


def test_a_rollback_by_command_beside_a_service_outlasts_events_and_comparisons(setting: Setting, bucket: Any) -> None:
    worker = setting.start()
    worker.wait_ready()
    publish(setting, bucket, worker, 1)
    publish(setting, bucket, worker, 2)
    ended = setting.command("rollback", "alice", "--json")
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert (told["model"], told["pinned"], told["changed"]) == ("alice", True, True)
    assert setting.read("alice") == version(1)
    shown = worker.get("/api/v1/models/alice")[1]
    assert (shown["revision"], shown["pinned"]) == (told["revision"], True)
    before = syncs(worker)
    put_voice(bucket, "alice", version(3))
    until(lambda: syncs(worker) > before and bucket.messages() == (0, 0), "the event")
    worker.send(signal.SIGHUP)
    until(lambda: worker.metric("pinned_models") == 1, "the comparison")

    def noticed() -> bool:
        told = worker.get("/api/v1/activity?model=alice")[1]["activity"][0]
        return (told["revision"], told["reason"]) == (
            shown["revision"], "rolled back by another process; found by a comparison"
        )  # fmt: skip

    until(noticed, "the service to notice")
    assert setting.read("alice") == version(1)
    assert worker.metric("model_info", model="alice", revision=told["revision"]) == 1
    assert f"{told['revision'][:12]} pinned" in setting.command("status", MODELSYNC_URL=worker.url).stdout
    [shown] = json.loads(setting.command("status", "--json", MODELSYNC_URL=worker.url).stdout)["models"]
    assert shown["reason"].startswith("pinned: rolled back from")
    undone = setting.command("unpin", "alice")
    assert undone.returncode == 0, undone.stderr
    assert "unpinned by command" in undone.stdout
    assert "; synced: " in undone.stdout
    assert setting.read("alice") == version(3)


def test_a_rollback_by_the_api_is_logged_counted_and_undone_by_unpin(setting: Setting, bucket: Any) -> None:
    worker = setting.start(**TOKEN)
    worker.wait_ready()
    publish(setting, bucket, worker, 1)
    publish(setting, bucket, worker, 2)
    told = post(worker, "/api/v1/models/alice/rollback")
    assert setting.read("alice") == version(1)
    assert worker.metric("rollbacks_total") == 1
    assert worker.metric("pinned_models") == 1
    before = syncs(worker)
    post(worker, "/api/v1/models/alice/sync")
    until(lambda: syncs(worker) > before, "the sync that was asked for")
    assert setting.read("alice") == version(1)
    assert post(worker, "/api/v1/models/alice/unpin")["changed"]
    until(lambda: setting.read("alice") == version(2), "the bucket's version")
    until(lambda: worker.metric("pinned_models") == 0, "the metric")
    assert worker.end() == 0
    lines = worker.logs()
    assert any(line["event"] == "published" and line["reason"] == told["reason"] for line in lines)
    assert [line["event"] for line in lines if line["event"] in {"pinned", "unpinned"}] == ["pinned", "unpinned"]
    assert TOKEN["API_TOKEN"] not in json.dumps(lines)


def test_readers_see_only_whole_versions_while_rollbacks_and_uploads_race(setting: Setting, bucket: Any) -> None:
    worker = setting.start(**TOKEN)
    worker.wait_ready()

    def whole(files: dict[str, bytes]) -> bool:
        return files in [version(number) for number in range(6)]

    publish(setting, bucket, worker, 0)
    publish(setting, bucket, worker, 1)
    reader = Reader(setting.base / "alice", whole)
    reader.start()
    for number in range(2, 6):
        put_voice(bucket, "alice", version(number))
        assert post(worker, "/api/v1/models/alice/rollback")["pinned"]
        pinned = setting.read("alice")
        until(lambda: bucket.messages() == (0, 0), "the event")
        assert setting.read("alice") == pinned
        post(worker, "/api/v1/models/alice/unpin")
        until(lambda number=number: setting.read("alice") == version(number), "the bucket's version")
    seen = reader.stop()
    assert (seen.torn, seen.errors) == (0, 0)
    assert setting.read("alice") == version(5)


def test_a_revision_that_is_not_on_the_volume_any_more_comes_from_the_versioned_bucket(
    setting: Setting, bucket: Any
) -> None:
    bucket.s3.put_bucket_versioning(Bucket=bucket.name, VersioningConfiguration={"Status": "Enabled"})
    for number in (1, 2):
        put_voice(bucket, "alice", version(number))
        assert setting.command("sync", "alice").returncode == 0
    home = setting.base / ".modelsync/models/alice"
    [old] = json.loads((home / "current.json").read_bytes())["previous"]
    shutil.rmtree(home / "revisions" / old["revision"])
    ended = setting.command("rollback", "alice", "--to", old["revision"][:8])
    assert ended.returncode == 0, ended.stderr
    assert "fetched again from S3: the versions that it was made of" in ended.stdout
    assert setting.read("alice") == version(1)
    assert setting.command("verify").returncode == 0
    assert setting.command("sync").returncode == 0
    assert setting.read("alice") == version(1), "it is pinned"


def test_a_rollback_by_command_makes_room_for_what_it_fetches(setting: Setting, bucket: Any) -> None:
    bucket.s3.put_bucket_versioning(Bucket=bucket.name, VersioningConfiguration={"Status": "Enabled"})
    rules = {"KEEP_REVISIONS": "9", "STALE_REVISION_SECONDS": "0", "VOLUME_BUDGET_BYTES": str(750 << 10)}
    home = setting.base / ".modelsync/models"
    weights = {}
    for model, number in (("alice", 1), ("alice", 2), ("bob", 1), ("bob", 2)):
        weights[model, number] = os.urandom(200 << 10)
        put_voice(bucket, model, {"model.onnx": weights[model, number]})
        assert setting.command("sync", model, **rules).returncode == 0
        if (model, number) == ("alice", 2):
            [old] = json.loads((home / "alice/current.json").read_bytes())["previous"]
            shutil.rmtree(home / "alice/revisions" / old["revision"])
    ended = setting.command("rollback", "alice", "--to", old["revision"], **rules)
    assert ended.returncode == 0, ended.stderr
    assert setting.read("alice") == {"model.onnx": weights["alice", 1]}
    assert len(os.listdir(home / "bob/revisions")) == 1
    assert setting.read("bob") == {"model.onnx": weights["bob", 2]}


def test_without_versions_it_is_told_in_one_sentence(setting: Setting, bucket: Any) -> None:
    for number in (1, 2):
        put_voice(bucket, "alice", version(number))
        assert setting.command("sync", "alice").returncode == 0
    home = setting.base / ".modelsync/models/alice"
    [old] = json.loads((home / "current.json").read_bytes())["previous"]
    shutil.rmtree(home / "revisions" / old["revision"])
    ended = setting.command("rollback", "alice")
    assert (ended.returncode, ended.stdout) == (1, "")
    [line] = [line for line in ended.stderr.splitlines() if line.startswith("modelsync: ")]
    assert "cannot be fetched again: the bucket keeps no versions, or this one was deleted" in line
    assert setting.read("alice") == version(2)


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["rollback", "alice"], 1, "alice stays as it is: there is nothing to roll back to"),
        (["rollback", "alice", "--to", "nonsense"], 1, "'nonsense' names no revision"),
        (["rollback", "bob"], 1, "there is no model 'bob' on the volume"),
        (["pin", "bob"], 1, "there is no model 'bob' on the volume"),
        (["unpin", "../etc"], 2, "is no model's name"),
        (["pin", "alice", "--reason", "two\nlines"], 2, "--reason: a reason is one line"),
    ],
)
def test_what_cannot_be_done_is_told(setting: Setting, bucket: Any, words: list[str], code: int, told: str) -> None:
    put_voice(bucket, "alice", version(1))
    assert setting.command("sync").returncode == 0
    ended = setting.command(*words)
    assert ended.returncode == code
    assert told in ended.stderr
    assert "Traceback" not in ended.stderr
    assert setting.read("alice") == version(1)


def offline(setting: Setting) -> None:
    """Take away what leads to S3, as on a machine that only mounts the volume."""
    for name in list(setting.environment):
        if name.startswith(("AWS_", "S3_", "SQS_")):
            del setting.environment[name]


def test_kept_revisions_need_no_bucket(setting: Setting, bucket: Any) -> None:
    for number in (1, 2):
        put_voice(bucket, "alice", version(number))
        assert setting.command("sync", "alice").returncode == 0
    offline(setting)
    assert setting.command("rollback", "alice").returncode == 0
    assert setting.read("alice") == version(1)
    assert setting.command("pin", "alice", "--reason", "audit").stdout.endswith("pinned: audit (by command)\n")
    ended = setting.command("unpin", "alice")
    assert ended.returncode == 0
    assert "the next comparison of a running service returns it to what the bucket has" in ended.stdout
    assert setting.read("alice") == version(1)


def test_an_unpin_while_s3_is_away_says_who_returns_the_model(setting: Setting, bucket: Any, proxy: Proxy) -> None:
    for number in (1, 2):
        put_voice(bucket, "alice", version(number))
        assert setting.command("sync", "alice").returncode == 0
    assert setting.command("rollback", "alice").returncode == 0
    proxy.down = True
    ended = setting.command("unpin", "alice")
    assert ended.returncode == 0, ended.stderr
    assert "not synced yet (error: S3 cannot be reached" in ended.stdout
    assert "the next comparison of a running service" in ended.stdout
    proxy.down = False
    setting.start().wait_ready()
    until(lambda: setting.read("alice") == version(2), "the comparison")


def test_a_service_without_a_token_takes_no_orders(setting: Setting, bucket: Any) -> None:
    worker = setting.start()
    worker.wait_ready()
    publish(setting, bucket, worker, 1)
    with pytest.raises(urllib.error.HTTPError) as refused:
        post(worker, "/api/v1/models/alice/pin")
    with refused.value:
        assert refused.value.code == 403
        assert "set API_TOKEN" in refused.value.read().decode()
