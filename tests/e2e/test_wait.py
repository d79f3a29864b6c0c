"""`modelsync wait`, as init containers run it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.mounts import read_only
from support.voices import put_voice
from support.worker import Setting, opened, until

ALICE = {"model.onnx": b"weights 1", "config.json": b"{}"}


def pod(base: Path, *words: str) -> subprocess.Popen[str]:
    """The command in an environment that has nothing but the volume."""
    return subprocess.Popen(
        [sys.executable, "-m", "modelsync.client", "wait", *words],
        env={"MODELS_BASE_PATH": str(base)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_it_ends_when_all_models_are_published_through_a_read_only_mount(
    setting: Setting, bucket: Any, tmp_path: Path
) -> None:
    setting.start()
    with read_only(tmp_path / "pod", setting.base) as mount:
        waiting = pod(mount, "alice", "bob", "--json")
        put_voice(bucket, "alice", ALICE)
        until((setting.base / "alice").exists, "alice")
        assert waiting.poll() is None, "bob is not there yet"
        put_voice(bucket, "bob", ALICE)
        told, errors = waiting.communicate(timeout=60)
        assert (waiting.returncode, errors) == (0, "")
        rows = json.loads(told)
        assert [row["model"] for row in rows["models"]] == ["alice", "bob"]
        assert rows["missing"] == []
        for row in rows["models"]:
            path = Path(row["path"])
            assert (path / "model.onnx").read_bytes() == b"weights 1"
            assert path == mount / ".modelsync" / "models" / row["model"] / "revisions" / row["revision"] / "files"


def test_the_command_has_it_too(setting: Setting, bucket: Any) -> None:
    put_voice(bucket, "alice", ALICE)
    assert setting.command("sync").returncode == 0
    ended = setting.command("wait", "alice")
    directory = (setting.base / "alice").resolve()
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"alice {directory.parent.name} {directory}\n", "")
    assert "wait" in setting.command("--help").stdout


def test_the_list_of_commands_leads_to_it(setting: Setting) -> None:
    """Where the worker is installed, typer lists it with the others."""
    code = "import sys; from modelsync.cli import main; sys.argv[0] = 'modelsync'; main()"
    ended = subprocess.run(
        [sys.executable, "-c", code, "wait", "alice", "--timeout", "0"],
        env=setting.environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "waited in vain: alice" in ended.stderr


def test_a_time_out_exits_1_and_says_why(setting: Setting, bucket: Any) -> None:
    put_voice(bucket, "alice", ALICE)
    bucket.put("mallory/model.onnx", b"x")
    bucket.put("mallory/../x.onnx", b"x")
    assert setting.command("sync", SETTLE_SECONDS="0").returncode == 3
    ended = setting.command("wait", "mallory", "alice", "carol", "--timeout", "0.2")
    assert ended.returncode == 1
    assert ended.stdout.startswith("alice "), "what is there is told"
    mallory, carol = ended.stderr.splitlines()
    assert mallory.startswith("modelsync: waited in vain: mallory is not published (yet)")
    assert "rejected: " in mallory
    assert "'..' segment" in mallory
    assert "carol is not published (yet)" in carol
    told = json.loads(setting.command("wait", "alice", "carol", "--timeout", "0", "--json").stdout)
    assert [row["model"] for row in told["models"]] == ["alice"]
    assert [row["model"] for row in told["missing"]] == ["carol"]


def test_a_volume_that_no_worker_has_seen_is_told(setting: Setting) -> None:
    ended = setting.command("wait", "alice", "--timeout", "0")
    assert ended.returncode == 1
    assert f"no modelsync has worked on {setting.base} yet: is it the right volume?" in ended.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "required: MODEL"),
        ([".."], "'..' is no model's name"),
        (["alice", ".modelsync"], "'.modelsync' is no model's name"),
        (["alice", "--timeout", "-1"], "--timeout"),
        (["alice", "--timeout", "nan"], "--timeout"),
        (["alice", "--nonsense"], "--nonsense"),
    ],
)
def test_wrong_usage_exits_2(setting: Setting, words: list[str], told: str) -> None:
    ended = setting.command("wait", *words)
    assert ended.returncode == 2
    assert told in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_volume_that_is_not_mounted_exits_2(setting: Setting) -> None:
    ended = setting.command("wait", "alice", MODELS_BASE_PATH="/nowhere")
    assert ended.returncode == 2
    assert ended.stderr == (
        "modelsync: MODELS_BASE_PATH=/nowhere is no directory: mount the volume there, or set the right path\n"
    )


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_it_at_once(tmp_path: Path, number: signal.Signals, code: int) -> None:
    waiting = pod(tmp_path, "alice")
    until(lambda: _waits(waiting.pid), "the wait")
    waiting.send_signal(number)
    told, errors = waiting.communicate(timeout=10)
    assert (waiting.returncode, told, errors) == (code, "", "")


def _waits(pid: int) -> bool:
    """Whether a process has an inotify instance, which it has only once it waits."""
    return "anon_inode:inotify" in opened(pid)
