"""`modelsync push` and `modelsync status` as real processes, beside a running worker."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fakes.proxy import Proxy
from modelsync.demo.reader import Reader
from support.worker import Setting, until

LARGE = os.urandom(1 << 20) * 20  # two parts
ALICE = {"model.onnx": b"weights 1", "config.json": b"{}", "de/vocab.txt": b"a b"}
COMMIT = "alice/modelsync.json"


@pytest.fixture
def voice(tmp_path: Path) -> Path:
    directory = tmp_path / "voice"
    write(directory, ALICE)
    return directory


def write(directory: Path, files: Mapping[str, bytes]) -> None:
    for path, content in files.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(content)


def keys_in(bucket: Any) -> list[str]:
    return [entry["Key"] for entry in bucket.s3.list_objects_v2(Bucket=bucket.name).get("Contents", [])]


def uploads_in(bucket: Any) -> list[str]:
    return [entry["Key"] for entry in bucket.s3.list_multipart_uploads(Bucket=bucket.name).get("Uploads", [])]


def put_by(proxy: Proxy) -> list[str]:
    """The targets that were written to since the last look."""
    targets = [target for method, target in proxy.requests if method in {"PUT", "POST", "DELETE"}]
    proxy.requests.clear()
    return targets


def key_of(target: str) -> str:
    return target.split("?", maxsplit=1)[0].split("/", 2)[2]


def test_a_pushed_voice_is_waited_for_and_published(setting: Setting, bucket: Any, voice: Path) -> None:
    worker = setting.start()
    worker.wait_ready()
    ended = setting.command("push", str(voice), "alice", "--wait", "--json", MODELSYNC_URL=worker.url)
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert told["published"] is True
    assert {upload["path"] for upload in told["uploads"]} == set(ALICE)
    assert setting.read("alice") == ALICE
    shown = worker.get("/api/v1/models/alice")[1]
    assert (shown["revision"], shown["state"]) == (told["revision"], "published")
    assert shown["event_at"] <= shown["published_at"] <= shown["synced_at"]
    assert worker.metric("verified_files_total", proof="commit-sha256") == 3


def test_a_push_is_counted_in_requests(setting: Setting, bucket: Any, proxy: Proxy, voice: Path) -> None:
    write(voice, {"model.onnx": LARGE, "README.md": b"never published"})
    dry = setting.command("push", str(voice), "alice", "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert dry.stdout.splitlines() == [
        "alice: would upload config.json (2 bytes): not in the bucket",
        "alice: would upload de/vocab.txt (3 bytes): not in the bucket",
        "alice: would upload model.onnx (20,971,520 bytes): not in the bucket",
        "alice: would write the commit file: not in the bucket",
    ]
    assert "skipped README.md: files with this ending are never published" in dry.stderr
    assert put_by(proxy) == []

    first = setting.command("push", str(voice), "alice")
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("alice: uploaded 3 of 3 files (20,971,525 bytes), then the commit file; revision ")
    targets = put_by(proxy)
    assert [key_of(target) for target in targets].count("alice/model.onnx") == 4, "begun, two parts, completed"
    assert len(targets) == 4 + 2 + 1
    assert key_of(targets[-1]) == COMMIT

    again = setting.command("push", str(voice), "alice")
    assert (again.returncode, put_by(proxy)) == (0, [])
    assert "nothing to upload: the bucket has all 3 files and their commit file" in again.stdout

    write(voice, {"config.json": b"[]"})
    assert setting.command("push", str(voice), "alice").returncode == 0
    assert [key_of(target) for target in put_by(proxy)] == ["alice/config.json", COMMIT]


def pushing(setting: Setting, voice: Path, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "modelsync", "push", str(voice), "alice", *more],
        env=setting.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_push_leaves_no_parts_and_the_next_goes_on(
    setting: Setting, bucket: Any, proxy: Proxy, voice: Path, number: signal.Signals
) -> None:
    write(voice, {"model.onnx": LARGE})
    setting.environment |= {"TRANSFER_CONCURRENCY": "1"}
    proxy.hold_requests_after_bytes = 4 << 20  # in the middle of a part
    with pushing(setting, voice) as push:
        until(proxy.held.is_set, "a part")
        assert uploads_in(bucket) == ["alice/model.onnx"]
        start = time.monotonic()
        push.send_signal(number)
        _, stderr = push.communicate(timeout=30)
    assert push.returncode == 1
    assert time.monotonic() - start < 10
    assert stderr.splitlines()[-1] == "modelsync: interrupted: push again to go on with what is missing"
    assert "Traceback" not in stderr
    assert uploads_in(bucket) == []
    assert keys_in(bucket) == ["alice/config.json", "alice/de/vocab.txt"]

    proxy.release()
    put_by(proxy)
    worker = setting.start()
    ended = setting.command("push", str(voice), "alice", "--wait", MODELSYNC_URL=worker.url)
    assert ended.returncode == 0, ended.stderr
    assert {key_of(target) for target in put_by(proxy)} == {"alice/model.onnx", COMMIT}
    assert setting.read("alice") == ALICE | {"model.onnx": LARGE}


def test_a_push_that_is_killed_in_an_update_changes_nothing_that_readers_see(
    setting: Setting, bucket: Any, proxy: Proxy, voice: Path
) -> None:
    assert setting.command("push", str(voice), "alice").returncode == 0
    worker = setting.start(SETTLE_SECONDS="0.5")
    worker.wait_published()
    setting.environment |= {"TRANSFER_CONCURRENCY": "1", "MODELSYNC_URL": worker.url}
    write(voice, {"config.json": b"[]", "model.onnx": LARGE})
    proxy.hold_requests_after_bytes = 4 << 20
    with pushing(setting, voice) as push:
        until(proxy.held.is_set, "a part")
        push.kill()
    until(lambda: worker.get("/api/v1/models/alice")[1]["state"] == "waiting", "the worker to see half an update")
    assert "the next commit" in worker.get("/api/v1/models/alice")[1]["reason"]
    assert setting.read("alice") == ALICE
    proxy.release()
    ended = setting.command("push", str(voice), "alice", "--wait")
    assert ended.returncode == 0, ended.stderr
    assert setting.read("alice") == ALICE | {"config.json": b"[]", "model.onnx": LARGE}


def test_a_reader_in_a_tight_loop_sees_only_whole_versions_of_pushed_voices(
    setting: Setting, bucket: Any, voice: Path
) -> None:
    worker = setting.start()
    worker.wait_ready()
    filler = os.urandom(200_000)

    def whole(files: dict[str, bytes]) -> bool:
        return len({content[:6] for content in files.values()}) == 1 and len(files) == 3

    def push(number: int) -> None:
        mark = f"{number:06}".encode()
        write(voice, {"model.onnx": mark + filler, "config.json": mark, "de/vocab.txt": mark})
        ended = setting.command("push", str(voice), "alice", "--wait", MODELSYNC_URL=worker.url)
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout.endswith("alice: published\n")

    reader = Reader(setting.base / "alice", whole)
    reader.start()
    for number in range(4):
        push(number)
    until(lambda: len(reader.seen.revisions) == 4, "the reader to see the last one")
    seen = reader.stop()
    assert (seen.torn, seen.errors) == (0, 0)


def test_a_wait_tells_what_it_waits_for_and_for_how_long(setting: Setting, bucket: Any, voice: Path) -> None:
    del setting.environment["SQS_MODEL_SYNC_QUEUE_URL"]
    worker = setting.start(RECONCILE_INTERVAL_SECONDS="0")  # nothing tells it of the push
    worker.wait_ready()
    words = ("push", str(voice), "alice", "--wait", "--timeout", "0.5")
    late = setting.command(*words, "--json", MODELSYNC_URL=worker.url)
    assert late.returncode == 1
    told = json.loads(late.stdout)
    assert (told["published"], told["reason"]) == (False, "the worker does not know the model yet")
    assert late.stderr.splitlines()[-1].startswith("modelsync: alice is not published: the worker does not know")
    worker.send(signal.SIGHUP)
    worker.wait_published()
    assert setting.command(*words, "--url", worker.url).returncode == 0


def test_a_wait_ends_when_the_version_is_refused(setting: Setting, bucket: Any, voice: Path) -> None:
    (setting.base / "alice").mkdir()  # not modelsync's
    worker = setting.start()
    worker.wait_ready()
    ended = setting.command("push", str(voice), "alice", "--wait", MODELSYNC_URL=worker.url)
    assert ended.returncode == 1
    assert "alice is not published" in ended.stderr
    assert "is not modelsync's: move it away" in ended.stderr


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["nowhere", "alice"], 2, "nowhere is no directory: name the one that holds the voice's files"),
        (["voice", "../alice"], 1, "'../alice' is no model's name: it has a '..' segment"),
        (
            ["voice", "alice", "--wait", "--url", "http://127.0.0.1:9"],
            1,
            "no worker can be reached at http://127.0.0.1:9",
        ),
        (["voice", "alice", "--wait", "--url", "localhost"], 2, "MODELSYNC_URL: must be an http(s) address"),
        (["empty", "alice"], 1, "there is no weight file"),
    ],
    ids=["directory", "name", "no worker", "address", "empty"],
)
def test_what_cannot_be_pushed_is_told_in_one_sentence_and_nothing_is_written(
    setting: Setting, bucket: Any, voice: Path, words: list[str], code: int, told: str
) -> None:
    voice.with_name("empty").mkdir()
    ended = setting.command("push", str(voice.parent / words[0]), *words[1:])
    assert ended.returncode == code
    assert told in ended.stderr
    assert "Traceback" not in ended.stderr
    assert keys_in(bucket) == []


def test_a_push_without_permission_or_bucket_is_told(setting: Setting, voice: Path) -> None:
    ended = setting.command("push", str(voice), "alice", S3_BUCKET_NAME="no-such-bucket")
    assert ended.returncode == 2
    assert "bucket 'no-such-bucket' does not exist" in ended.stderr
    ended = setting.command("push", str(voice), "alice", AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
    assert ended.returncode == 1
    assert "no AWS credentials found" in ended.stderr


# Status


def offline(setting: Setting, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run `status` as a reader's pod would: with a volume and nothing else."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return subprocess.run(
        [sys.executable, "-m", "modelsync", "status", *words],
        env={**environment, "MODELS_BASE_PATH": str(setting.base), "MODELSYNC_URL": "http://127.0.0.1:9", **more},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_status_needs_nothing_but_a_volume_that_may_be_read_only(setting: Setting, bucket: Any, voice: Path) -> None:
    setting.command("push", str(voice), "alice")
    setting.command("sync")
    place = voice.with_name("mounted")
    place.mkdir()
    bound = subprocess.run(["mount", "--bind", "-o", "ro", setting.base, place], capture_output=True, check=False)
    if bound.returncode:
        pytest.skip("mounting a read-only view needs root")
    try:
        ended = offline(setting, "--json", MODELS_BASE_PATH=str(place))
        lines = offline(setting, MODELS_BASE_PATH=str(place)).stdout.splitlines()
    finally:
        subprocess.run(["umount", place], check=True)
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    [alice] = told["models"]
    assert (alice["id"], alice["state"], alice["reason"]) == ("alice", "published", None)
    assert alice["revision"] == (setting.base / "alice").resolve().parent.name
    assert told["worker"]["answers"] is False
    assert told["reconciled_at"] == json.loads((setting.base / ".modelsync/reconcile.json").read_bytes())["finished_at"]
    assert lines[1].split()[:3] == ["alice", "published", alice["revision"][:12]]
    assert lines[-1].startswith("by the volume alone: no worker can be reached")


def test_status_knows_more_while_a_worker_runs(setting: Setting, bucket: Any, voice: Path) -> None:
    worker = setting.start()
    worker.wait_ready()
    assert setting.command("push", str(voice), "alice", "--wait", MODELSYNC_URL=worker.url).returncode == 0
    entry = {"path": "model.onnx", "size_bytes": 3, "sha256": hashlib.sha256(b"new").hexdigest()}
    for model in ("alice", "bob"):
        bucket.put(f"{model}/other.onnx", b"x")
        bucket.put(f"{model}/modelsync.json", json.dumps({"version": 1, "files": [entry]}).encode())

    def told() -> dict[str, tuple[str, str]]:
        answer = json.loads(offline(setting, "--json", "--url", worker.url).stdout)
        return {model["id"]: (model["state"], model["reason"]) for model in answer["models"]}

    until(lambda: worker.get("/api/v1/models/bob")[0] == 200, "the worker to see bob")
    until(lambda: worker.get("/api/v1/models/bob")[1]["state"] == "waiting", "bob to wait")
    until(lambda: worker.get("/api/v1/models/alice")[1]["state"] == "waiting", "alice to wait")
    assert told() == {
        "alice": ("waiting", "0 of 1 files are there: model.onnx has 9 bytes, not the 3 that the commit file lists"),
        "bob": ("waiting", "0 of 1 files are there: model.onnx is not there"),
    }
    assert json.loads(offline(setting, "--json").stdout)["models"][0]["state"] == "published", "by the volume alone"


@pytest.mark.parametrize(
    ("words", "more", "code", "told"),
    [
        (["bob"], {}, 1, "there is no model 'bob' on "),
        ([], {"MODELS_BASE_PATH": "/nowhere"}, 2, "MODELS_BASE_PATH=/nowhere cannot be read: mount the volume there"),
    ],
)
def test_what_cannot_be_shown_is_told(
    setting: Setting, words: list[str], more: dict[str, str], code: int, told: str
) -> None:
    ended = offline(setting, *words, **more)
    assert (ended.returncode, ended.stdout) == (code, "")
    assert told in ended.stderr


def test_an_empty_volume_has_no_models(setting: Setting) -> None:
    ended = offline(setting)
    assert ended.returncode == 0
    assert ended.stdout.splitlines()[:2] == ["no models", "last comparison with the bucket: never"]
