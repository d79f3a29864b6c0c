"""A service on a volume that is full: it lives, says so, and goes on by itself when there is room."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.mounts import MIB, fill, free, mounted
from support.voices import put_voice
from support.worker import Setting, until

ALICE = {"model.onnx": b"weights 1", "config.json": b"{}"}
BOB = {"model.onnx": os.urandom(MIB), "config.json": b"{}"}


@pytest.fixture
def small(tmp_path: Path, setting: Setting) -> Iterator[Path]:
    """A volume of 32 MiB."""
    with mounted(tmp_path / "small", "tmpfs", 32) as place:
        setting.base = place
        setting.environment |= {"MODELS_BASE_PATH": str(place), "VOLUME_MIN_FREE_BYTES": "0"}
        yield place
        setting.close()


def test_a_full_volume_is_in_health_and_metrics_and_no_reason_to_end(
    setting: Setting, bucket: Any, small: Path
) -> None:
    put_voice(bucket, "alice", ALICE)
    worker = setting.start()
    worker.wait_published()
    fill(small)
    put_voice(bucket, "bob", BOB)
    until(lambda: worker.check("sync")["status"] == "degraded", "the full volume to be noticed")
    assert worker.check("sync")["reason"].startswith("bob: ")
    assert worker.check("volume")["status"] == "degraded"
    assert "free space on it" in worker.check("volume")["reason"]
    assert worker.metric("volume_errors_total", reason="full") >= 1
    assert worker.get("/live")[0] == worker.get("/ready")[0] == 200
    assert worker.end() == 0
    again = setting.start()
    until(lambda: again.metric("volume_errors_total", reason="full") >= 1, "the same after a restart")
    assert again.check("volume")["status"] == "degraded"
    assert setting.read("alice") == ALICE
    free(small)
    again.wait_published()
    assert setting.read("bob") == BOB
    assert again.check("sync")["status"] == "healthy"


def test_a_full_volume_is_told_by_the_command(setting: Setting, bucket: Any, small: Path) -> None:
    put_voice(bucket, "bob", BOB)
    fill(small)
    ended = setting.command("sync")
    assert ended.returncode == 1, "not 2: the configuration is right"
    assert ended.stderr == (
        f"modelsync: MODELS_BASE_PATH={small} cannot be used: the volume is full: free space on it or enlarge it"
        " (it may be inodes that are used up)\n"
    )
