"""The gate as it is shipped, in a real worker."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest

from modelsync.demo.voice import MODEL, make_voice
from support.formats.tensors import voice
from support.voices import put_voice
from support.worker import Setting, Worker, until

DOCS = Path(__file__).parents[2] / "docs" / "notifications.md"
GOOD = {"model.safetensors": voice(3), "config.json": b"{}"}
CUT = {"model.safetensors": voice(3)[:-1], "config.json": b"{}"}
CUT_REASON = "'model.safetensors': the safetensors file cannot be used: "
EVIL = {"model.pth": b"cos\nsystem\n(S'touch /tmp/evil'\ntR.", "config.json": b"{}"}


@pytest.fixture
def gated(setting: Setting) -> Setting:
    """As it is shipped: the variables of the gate are not set."""
    for name in [name for name in setting.environment if name.startswith("GATE_")]:
        del setting.environment[name]
    return setting


def children(worker: Worker) -> list[int]:
    """The worker's processes that check models."""
    pid = worker.process.pid
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def test_a_corrupt_upload_is_refused_and_told_everywhere_until_a_good_one_comes(gated: Setting, bucket: Any) -> None:
    worker = gated.start()
    worker.wait_ready()
    put_voice(bucket, "alice", GOOD)
    worker.wait_published()
    put_voice(bucket, "alice", CUT)
    until(lambda: worker.metric("rejected_total", reason="safetensors") == 1, "the refusal")
    until(lambda: bucket.messages() == (0, 0), "the messages' deletion")
    assert gated.read("alice") == GOOD, "readers keep what they have"
    assert worker.check("sync")["status"] == "degraded"
    assert CUT_REASON in worker.check("sync")["reason"]
    shown = worker.get("/api/v1/models/alice")[1]
    assert (shown["state"], shown["refusal"]["rule"]) == ("rejected", "safetensors")
    assert shown["refusal"]["path"] == "model.safetensors"
    assert shown["reason"].startswith(CUT_REASON)
    (told,) = json.loads(gated.command("status", "alice", "--json").stdout)["models"]
    assert told["refusal"]["rule"] == "safetensors"
    assert f"safetensors: {CUT_REASON}" in gated.command("status", "alice", COLUMNS="300").stdout
    rejected = next(line for line in worker.logs() if line["event"] == "rejected")
    assert (rejected["rule"], rejected["level"]) == ("safetensors", "error")
    good = GOOD | {"config.json": b'{"v": 2}'}
    put_voice(bucket, "alice", good)
    until(lambda: gated.read("alice") == good, "the good voice")
    until(lambda: worker.check("sync")["status"] == "healthy", "health")
    assert not [line for line in worker.logs() if line["event"] == "checker not confined"]


def test_a_recheck_by_command_and_by_the_api(gated: Setting, bucket: Any) -> None:
    put_voice(bucket, "alice", CUT)
    assert gated.command("sync").returncode == 3
    record = next((gated.base / ".modelsync/models/alice/quarantine").glob("*.json"))
    before = json.loads(record.read_bytes())
    assert before["file"]["path"] == "model.safetensors"
    done = gated.command("sync", "alice", "--json")
    assert (done.returncode, json.loads(record.read_bytes())) == (3, before), "it is not judged again"
    lenient = {"GATE_STRUCTURE": "warn"}
    done = gated.command("sync", "alice", **lenient)
    assert done.returncode == 0, "other rules lift the refusal"
    assert "gate warned" in done.stderr
    assert gated.read("alice") == CUT
    put_voice(bucket, "bob", CUT)
    gated.command("sync", "bob")
    first = json.loads(next((gated.base / ".modelsync/models/bob/quarantine").glob("*.json")).read_bytes())
    assert gated.command("sync", "bob", "--recheck").returncode == 3
    again = json.loads(next((gated.base / ".modelsync/models/bob/quarantine").glob("*.json")).read_bytes())
    assert again["rejected_at"] > first["rejected_at"]
    assert gated.command("sync", "--recheck", "--dry-run").returncode == 2
    assert gated.command("sync", "--recheck").returncode == 3, "all that was refused"
    third = json.loads(next((gated.base / ".modelsync/models/bob/quarantine").glob("*.json")).read_bytes())
    assert third["rejected_at"] > again["rejected_at"]
    worker = gated.start(API_TOKEN="token")
    worker.wait_ready()
    assert worker.metric("rejected_total", reason="safetensors") == 0
    worker.post("/api/v1/models/bob/sync", "token", {"recheck": True})
    until(lambda: worker.metric("rejected_total", reason="safetensors") == 1, "the second judgement")


def test_a_pickle_that_would_run_a_program_is_refused(gated: Setting, bucket: Any) -> None:
    put_voice(bucket, "alice", EVIL)
    done = gated.command("sync", "--json")
    (model,) = json.loads(done.stdout)["models"]
    assert (done.returncode, model["outcome"]) == (3, "rejected")
    assert "'model.pth'" in model["reason"]
    assert not (gated.base / "alice").exists()
    assert gated.command("sync", "alice", GATE_PICKLE="allow").returncode == 0


def test_a_voice_is_heard_before_it_is_published(gated: Setting, bucket: Any, tmp_path: Path) -> None:
    """The example in docs/notifications.md."""
    script = tmp_path / "speak.py"
    script.write_text(re.search(r"```python\n(\"\"\"Speaks one.*?)```", DOCS.read_text(), re.DOTALL)[1])  # type: ignore[index]
    hook = {"PUBLISH_HOOK": f"{sys.executable} {script}"}
    good = make_voice(1)
    put_voice(bucket, "alice", good)
    assert gated.command("sync", **hook).returncode == 0
    silent = onnx.load_from_string(good[MODEL])
    (envelope,) = (tensor for tensor in silent.graph.initializer if tensor.name == "envelope")
    envelope.raw_data = bytes(len(envelope.raw_data))
    put_voice(bucket, "alice", good | {MODEL: silent.SerializeToString()})
    done = gated.command("sync", "--json", **hook)
    (model,) = json.loads(done.stdout)["models"]
    assert (model["outcome"], model["reason"]) == (
        "rejected", "PUBLISH_HOOK ended with exit code 1: nothing can be heard"
    )  # fmt: skip
    assert gated.read("alice") == good


def test_push_refuses_what_the_worker_would(gated: Setting, bucket: Any, tmp_path: Path) -> None:
    directory = tmp_path / "voice"
    directory.mkdir()
    for name, content in CUT.items():
        (directory / name).write_bytes(content)
    done = gated.command("push", str(directory), "alice")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        f"modelsync: a worker with these rules would refuse it: {CUT_REASON}"
    )
    assert "Traceback" not in done.stderr
    assert not bucket.s3.list_objects_v2(Bucket=bucket.name).get("Contents")
    (directory / "model.safetensors").write_bytes(GOOD["model.safetensors"])
    assert gated.command("push", str(directory), "alice").returncode == 0


def test_a_real_voice_passes_and_a_killed_checker_holds_nothing_up(gated: Setting, bucket: Any) -> None:
    worker = gated.start()
    worker.wait_ready()
    for number in range(3):
        put_voice(bucket, "alice", make_voice(number))
        worker.wait_published(number + 1)
        for child in children(worker):
            os.kill(child, signal.SIGKILL)
    assert worker.metric("rejected_total", reason="gate-crash") == 0
    ended = children(worker)
    assert worker.end() == 0
    assert not [pid for pid in ended if Path(f"/proc/{pid}").exists()]
