"""Commands, and what they say when something is wrong."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.voices import put_voice
from support.worker import Setting

ALICE = {"model.onnx": b"weights 1", "config.json": b"{}"}


def sentences(ended: subprocess.CompletedProcess[str]) -> str:
    """What a command told its user of its failure: no stack trace, each line a sentence."""
    assert "Traceback" not in ended.stderr, ended.stderr
    lines = [line for line in ended.stderr.splitlines() if line.startswith("modelsync: ")]
    assert lines, ended.stderr
    return "\n".join(lines)


def test_sync_brings_all_models_once_and_then_has_nothing_to_do(setting: Setting, bucket: Any) -> None:
    for model in ("alice", "bob"):
        put_voice(bucket, model, ALICE)
    first = setting.command("sync", "--json")
    assert first.returncode == 0, first.stderr
    told = json.loads(first.stdout)["models"]
    assert [(row["model"], row["outcome"]) for row in told] == [("alice", "success"), ("bob", "success")]
    assert setting.read("bob") == ALICE
    second = setting.command("sync")
    assert (second.returncode, second.stdout) == (0, "every model is as the bucket has it\n")
    setting.start().wait_ready()  # a complete sync is a first comparison


def test_sync_can_be_told_which_models(setting: Setting, bucket: Any) -> None:
    for model in ("alice", "bob"):
        put_voice(bucket, model, ALICE)
    assert setting.command("sync", "bob").returncode == 0
    assert not (setting.base / "alice").exists()
    assert setting.read("bob") == ALICE


def test_a_dry_run_says_what_would_be_done_and_does_nothing(setting: Setting, bucket: Any) -> None:
    put_voice(bucket, "alice", ALICE)
    ended = setting.command("sync", "--dry-run")
    assert ended.returncode == 0
    assert ended.stdout == "alice: build (11 bytes): not published yet\n"
    assert list(setting.base.iterdir()) == []


def test_sync_waits_for_a_model_to_settle(setting: Setting, bucket: Any) -> None:
    bucket.put("alice/model.onnx", b"weights")
    assert setting.command("sync", SETTLE_SECONDS="1").returncode == 0
    assert setting.read("alice") == {"model.onnx": b"weights"}


def test_sync_exits_3_if_some_models_failed(setting: Setting, bucket: Any) -> None:
    put_voice(bucket, "alice", ALICE)
    bucket.put("mallory/../x.onnx", b"x")
    ended = setting.command("sync", "--json")
    assert ended.returncode == 3
    told = {row["model"]: row for row in json.loads(ended.stdout)["models"]}
    assert told["alice"]["outcome"] == "success"
    assert told["mallory"]["outcome"] == "rejected"
    assert "'..' segment" in told["mallory"]["reason"]
    again = setting.command("sync", "--json")
    assert again.returncode == 3, "it is refused still"
    assert [row["model"] for row in json.loads(again.stdout)["models"]] == ["mallory"]


def test_config_shows_everything_but_secrets(setting: Setting) -> None:
    ended = setting.command("config", API_TOKEN="s3cret", KEEP_REVISIONS="7")
    assert ended.returncode == 0
    assert "s3cret" not in ended.stdout
    shown = json.loads(setting.command("config", "--json", API_TOKEN="s3cret").stdout)
    assert shown["API_TOKEN"]["value"] == "(set)"
    assert shown["SETTLE_SECONDS"] == {"value": "30.0", "source": "environment"}
    line = next(line for line in ended.stdout.splitlines() if line.startswith("KEEP_REVISIONS"))
    assert line.split() == ["KEEP_REVISIONS", "7", "environment"]


@pytest.mark.parametrize("command", ["run", "sync", "config"])
def test_a_wrong_environment_is_told_whole_with_exit_code_2(setting: Setting, command: str) -> None:
    ended = setting.command(command, S3_BUCKET_NAME="", SYNC_WORKERS="none", MODELSYNC_X="1")
    assert ended.returncode == 2
    told = sentences(ended)
    assert all(name in told for name in ("S3_BUCKET_NAME", "SYNC_WORKERS", "MODELSYNC_X"))


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"S3_BUCKET_NAME": "no-such-bucket"}, "bucket 'no-such-bucket' does not exist: check S3_BUCKET_NAME"),
        ({"MODELS_BASE_PATH": "/nowhere"}, "MODELS_BASE_PATH=/nowhere is no directory: mount the volume there"),
        ({"MODELS_BASE_PATH": "/dev/null"}, "MODELS_BASE_PATH=/dev/null is no directory"),
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": "", "AWS_ENDPOINT_URL": ""}, "AWS_REGION is not set"),
        ({"HTTP_HOST": "203.0.113.1"}, "cannot be listened on"),
        ({"AWS_CA_BUNDLE": "/nowhere.pem", "AWS_ENDPOINT_URL": "https://127.0.0.1:9"}, "AWS_CA_BUNDLE=/nowhere.pem"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:99999"}, "AWS_ENDPOINT_URL: must be an http(s) address"),
        ({"AWS_REGION": "bad region"}, "AWS_REGION is no region's name"),
        ({"AWS_PROFILE": "nope"}, "nope"),
        ({"MODELS_BASE_PATH": "/" + "x" * 300}, "MODELS_BASE_PATH"),
    ],
    ids=["bucket", "no volume", "a file as volume", "region", "address", "ca", "port", "odd region", "profile", "long"],
)
def test_what_cannot_work_ends_at_start_with_one_sentence(setting: Setting, more: dict[str, str], told: str) -> None:
    ended = setting.command("run", **more)
    assert ended.returncode == 2
    assert told in sentences(ended)


def test_a_queue_that_does_not_exist_ends_at_start(setting: Setting) -> None:
    url = setting.environment["SQS_MODEL_SYNC_QUEUE_URL"] + "-gone"
    ended = setting.command("run", SQS_MODEL_SYNC_QUEUE_URL=url)
    assert ended.returncode == 2
    assert "does not exist: check SQS_MODEL_SYNC_QUEUE_URL" in sentences(ended)


def test_a_port_in_use_is_told(setting: Setting) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = setting.command("run", HTTP_PORT=str(taken.getsockname()[1]))
    assert ended.returncode == 2
    assert "HTTP_PORT" in sentences(ended)


def test_a_read_only_volume_is_told(setting: Setting, tmp_path: Path) -> None:
    place = tmp_path / "read-only"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", place], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a read-only file system needs root")
    try:
        ended = setting.command("run", MODELS_BASE_PATH=str(place))
    finally:
        subprocess.run(["umount", place], check=True)
    assert ended.returncode == 2
    assert "mounted read-only: mount it read-write for modelsync" in sentences(ended)


def test_credentials_that_are_missing_are_told(setting: Setting) -> None:
    ended = setting.command("sync", AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
    assert ended.returncode == 1
    assert "no AWS credentials found: give the pod a role" in sentences(ended)


def test_s3_that_cannot_be_reached_is_told(setting: Setting) -> None:
    ended = setting.command("sync", AWS_ENDPOINT_URL="http://127.0.0.1:9")
    assert ended.returncode == 1
    assert "S3 cannot be reached" in sentences(ended)


@pytest.mark.parametrize("words", [["nonsense"], ["sync", "--nonsense"], ["sync", "a/b"], ["sync", ".."]])
def test_wrong_usage_exits_2(setting: Setting, words: list[str]) -> None:
    ended = setting.command(*words)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr


def test_help_needs_none_of_the_heavy_libraries() -> None:
    code = "import sys, modelsync.cli.main; print([m for m in ('botocore', 'fastapi', 'awscrt') if m in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"


def test_a_sync_with_static_keys_needs_no_botocore(setting: Setting) -> None:
    call = "sync_once([], recheck=False, json=True)"
    code = f"import sys; from modelsync.cli.once import *; {call}; sys.exit('botocore' in sys.modules)"
    environment = {**setting.environment, "HOME": "/nonexistent"}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, json.loads(ended.stdout)) == (0, {"models": []}), ended.stderr


def test_the_demo_shows_the_job_and_ends(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    ended = subprocess.run(
        [sys.executable, "-m", "modelsync", "demo", "--once", str(tmp_path / "models")],
        env=environment, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Torn reads: 0. Errors: 0." in ended.stdout
    assert "20 more updates in a row" in ended.stdout
    for path in ("/", "/health", "/ready", "/live", "/metrics", "/docs"):
        assert re.search(rf"^  http://127\.0\.0\.1:\d+{path}$", ended.stdout, re.MULTILINE), path
    assert (tmp_path / "models" / "alice" / "model.onnx").exists()


def test_the_demos_voice_really_speaks(tmp_path: Path) -> None:
    import numpy as np
    import onnxruntime

    from modelsync.demo.voice import SAMPLES, belong_together, make_voice

    files = make_voice(1)
    assert belong_together(files)
    assert not belong_together(files | {"config.json": make_voice(2)["config.json"]})
    path = tmp_path / "model.onnx"
    path.write_bytes(files["model.onnx"])
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    [audio] = session.run(None, {"phonemes": np.array([3, 1, 4], dtype=np.int64)})
    assert audio.shape == (3 * SAMPLES,)
    assert 0.5 < float(np.abs(audio).max()) <= 1.0
