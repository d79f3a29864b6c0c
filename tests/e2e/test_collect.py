"""Old revisions go by themselves, and by command."""

from __future__ import annotations

import fcntl
import json
import os
from typing import Any

from support.voices import put_voice
from support.worker import Setting, until


def version(number: int) -> dict[str, bytes]:
    return {"model.onnx": b"weights %d" % number, "config.json": b"%d" % number}


def test_the_service_removes_what_nobody_needs_and_waits_for_leases(setting: Setting, bucket: Any) -> None:
    worker = setting.start(KEEP_REVISIONS="0", STALE_REVISION_SECONDS="0")
    worker.wait_ready()
    put_voice(bucket, "alice", version(1))
    worker.wait_published(1)
    first = (setting.base / "alice").resolve().parent
    with (first / "lease.lock").open("rb") as lease:
        fcntl.flock(lease, fcntl.LOCK_SH)
        for number in (2, 3):
            put_voice(bucket, "alice", version(number))
            worker.wait_published(number)
        until(lambda: worker.metric("revisions_removed_total", reason="superseded") == 1, "the second to go")
        assert (first / "files/config.json").read_bytes() == b"1"
    put_voice(bucket, "alice", version(4))
    until(lambda: worker.metric("revisions_removed_total", reason="superseded") == 3, "the others to go")
    assert setting.read("alice") == version(4)
    assert len(os.listdir(first.parent)) == 1
    assert worker.check("retention")["status"] == "healthy"
    removed = [line for line in worker.logs() if line["event"] == "revision removed"]
    assert {line["model"] for line in removed} == {"alice"}


def test_gc_says_what_it_would_do_and_does_it_without_a_bucket(setting: Setting, bucket: Any) -> None:
    for number in (1, 2):
        put_voice(bucket, "alice", version(number))
        assert setting.command("sync").returncode == 0
    rules = {"KEEP_REVISIONS": "0", "STALE_REVISION_SECONDS": "0", "S3_BUCKET_NAME": "", "AWS_ENDPOINT_URL": ""}
    planned = json.loads(setting.command("gc", "--dry-run", "--json", **rules).stdout)
    assert sorted(row["verdict"] for row in planned["revisions"]) == ["keep", "remove"]
    assert planned["freed_bytes"] > 0
    assert setting.command("gc", "--dry-run", STALE_REVISION_SECONDS="900").stdout.endswith(
        "0 of 2 revisions, 0 bytes\n"
    )
    done = setting.command("gc", **rules)
    assert done.returncode == 0, done.stderr
    assert "removed alice" in done.stdout
    assert "readers see it" in done.stdout
    assert setting.read("alice") == version(2)
    assert "keep    alice" in setting.command("gc", **rules).stdout


def test_a_model_that_was_evicted_comes_back_when_it_is_asked_for(setting: Setting, bucket: Any) -> None:
    """Once by the API, once by command; neither events nor comparisons bring it back. There is room for one of two."""
    cache = {
        "EVICT_CURRENT": "lru",
        "VOLUME_BUDGET_BYTES": str(500 << 10),
        "STALE_REVISION_SECONDS": "0",
        "API_TOKEN": "s" * 32,
    }
    weights = {model: os.urandom(300 << 10) for model in ("alice", "bob")}
    worker = setting.start(**cache)
    worker.wait_ready()

    def sees(model: str) -> bool:
        return not os.path.lexists(setting.base / other[model]) and setting.read(model) == {
            "model.onnx": weights[model]
        }

    other = {"alice": "bob", "bob": "alice"}
    for number, model in enumerate(weights, 1):
        put_voice(bucket, model, {"model.onnx": weights[model]})
        worker.wait_published(number)
    assert sees("bob")
    assert worker.get("/api/v1/models/alice")[1]["state"] == "evicted"
    assert setting.command("sync", **cache).returncode == 0
    assert sees("bob"), "nobody asked for the other by its name"
    worker.post("/api/v1/models/alice/sync", cache["API_TOKEN"])
    worker.wait_published(3)
    assert sees("alice")
    back = setting.command("sync", "bob", **cache)
    assert back.returncode == 0, back.stderr
    assert sees("bob")
