"""`modelsync verify` and the service's scrub, on real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fakes.proxy import Proxy
from modelsync.demo.reader import Reader
from support.damage import flip
from support.voices import put_voice
from support.worker import Setting, opened, until

ALICE = {"model.onnx": os.urandom(200_000), "config.json": b"{}"}
NO_AWS = {"AWS_REGION": "", "AWS_DEFAULT_REGION": "", "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
          "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}  # fmt: skip


@pytest.fixture
def published(setting: Setting, bucket: Any) -> Setting:
    """Two voices on the volume."""
    for model in ("alice", "bob"):
        put_voice(bucket, model, ALICE | {"config.json": f'"{model}"'.encode()})
    assert setting.command("sync").returncode == 0
    return setting


def harm(setting: Setting, model: str) -> Path:
    path = (setting.base / model).resolve() / "config.json"
    flip(path)
    return path


def told(ended: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    return {row["model"]: row for row in json.loads(ended.stdout)["models"]}


def test_verify_needs_no_aws_and_tells_what_is_wrong_with_each_model(published: Setting) -> None:
    whole = published.command("verify", "bob", **NO_AWS)
    assert whole.returncode == 0, whole.stderr
    assert [line.split()[:3] for line in whole.stdout.splitlines()[1:]] == [["bob", "ok", "2"]]
    harm(published, "bob")
    damaged = published.command("verify", **NO_AWS)
    assert damaged.returncode == 3
    assert "config.json: crc64nvme is " in damaged.stdout
    rows = told(published.command("verify", "--json", "--rate", "100000000", **NO_AWS))
    assert (rows["alice"]["state"], rows["alice"]["findings"]) == ("ok", [])
    assert rows["alice"]["size_bytes"] == 200_007
    [finding] = rows["bob"]["findings"]
    assert rows["bob"]["state"] == "damaged"
    assert finding["revision"] == rows["bob"]["revision"]
    assert (finding["kind"], finding["path"]) == ("crc64nvme", "config.json")
    assert len(finding["expected"]) == len(finding["actual"]) == 16


def test_verify_writes_nothing(published: Setting, tmp_path: Path) -> None:
    place = tmp_path / "read-only"
    place.mkdir()
    bound = subprocess.run(["mount", "--bind", published.base, place], capture_output=True, check=False)
    if bound.returncode:
        pytest.skip("mounting a read-only file system needs root")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", place], check=True)
        harm(published, "alice")
        assert published.command("verify", MODELS_BASE_PATH=str(place), **NO_AWS).returncode == 3
    finally:
        subprocess.run(["umount", place], check=True)


def test_repair_brings_the_revision_back_under_a_reader_in_a_tight_loop(published: Setting) -> None:
    right = published.read("alice")
    path = harm(published, "alice")
    wrong = published.read("alice")
    reader = Reader(published.base / "alice", lambda files: files in (right, wrong))
    reader.start()
    ended = published.command("verify", "--repair", "--json")
    assert ended.returncode == 0, ended.stderr
    seen = reader.stop()
    assert (seen.torn, seen.errors) == (0, 0)
    assert {row["state"] for row in told(ended).values()} == {"ok", "repaired"}
    assert published.read("alice") == right
    assert path.exists(), "who has resolved the link before can go on"


def test_a_repair_that_cannot_be_made_is_told_and_exits_3(published: Setting) -> None:
    right = published.read("alice")
    harm(published, "alice")
    ended = published.command("verify", "--repair", AWS_ENDPOINT_URL="http://127.0.0.1:9")
    assert ended.returncode == 3
    assert "not repaired: S3 cannot be reached" in ended.stdout
    assert set(published.read("alice")) == set(ALICE), "readers keep what they have"
    assert published.command("sync").returncode == 0
    assert published.read("alice") == right, "what is on record is repaired by any sync"


@pytest.mark.parametrize(
    ("words", "more", "sentence"),
    [
        (["verify", "carol", "dave"], {}, "modelsync: no model 'dave' is published on "),
        (["verify", "../x"], {}, "is no model's name"),
        (["verify"], {"MODELS_BASE_PATH": "/nowhere"}, "MODELS_BASE_PATH=/nowhere cannot be read: mount the volume"),
        (["verify", "--rate", "-1"], {}, "--rate"),
    ],
)
def test_wrong_usage_of_verify_exits_2(setting: Setting, words: list[str], more: dict[str, str], sentence: str) -> None:
    ended = setting.command(*words, **more)
    assert ended.returncode == 2
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr


def test_an_empty_volume_verifies(setting: Setting) -> None:
    ended = setting.command("verify", **NO_AWS)
    assert (ended.returncode, ended.stdout) == (0, "nothing is published\n")


def test_a_slow_verification_can_be_interrupted(published: Setting) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "modelsync", "verify", "--rate", "1000"],
        env=published.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    ) as running:  # fmt: skip
        try:
            until(lambda: any("/files/" in path for path in opened(running.pid)), "a file to be open")
            running.send_signal(signal.SIGINT)
            _, stderr = running.communicate(timeout=10)
        finally:
            running.kill()
    assert running.returncode == 1
    assert stderr.startswith("modelsync: interrupted")


def test_the_service_finds_damage_says_so_and_heals_itself(published: Setting, proxy: Proxy) -> None:
    right = published.read("bob")
    harm(published, "bob")
    wrong = published.read("bob")
    reader = Reader(published.base / "bob", lambda files: files in (right, wrong))
    reader.start()
    proxy.down = True
    worker = published.start(SCRUB_BYTES_PER_SECOND="10000000")
    until(lambda: worker.check("scrub")["status"] == "degraded", "the damage to be found")
    assert "bob: config.json: crc64nvme is " in worker.check("scrub")["reason"]
    assert worker.get("/health")[0] == 200
    assert worker.get("/ready")[0] == 200, "there is no better one yet"
    assert published.read("bob") == wrong
    proxy.down = False
    until(lambda: worker.check("scrub")["status"] == "healthy", "the repair")
    assert published.read("bob") == right
    seen = reader.stop()
    assert (seen.torn, seen.errors) == (0, 0)
    assert worker.metric("damaged_files_total", kind="crc64nvme") == 1
    assert worker.metric("scrubbed_bytes_total") >= 200_000
    until(lambda: worker.metric("last_scrub_success_timestamp_seconds"), "the end of the pass")
    assert worker.end() == 0
    [line] = [line for line in worker.logs() if line["event"] == "damaged"]
    assert (line["model"], line["path"], line["level"]) == ("bob", "config.json", "error")
