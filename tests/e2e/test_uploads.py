"""Uploads as they come: by the AWS command line, slow, and one on the heels of the other."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from fakes.proxy import Proxy
from modelsync.demo.reader import Reader
from support.voices import aws_cp, put_voice
from support.worker import Setting, until

FILLER = os.urandom(1 << 20) * 20


def version(directory: Path, mark: bytes) -> dict[str, bytes]:
    """A voice's files: what belongs together begins alike."""
    files = {"model.onnx": mark + FILLER, "config.json": mark + b"{}"}
    directory.mkdir()
    for name, content in files.items():
        (directory / name).write_bytes(content)
    return files


def whole(files: dict[str, bytes]) -> bool:
    return len(files) == 2 and len({content[:1] for content in files.values()}) == 1


def test_a_slow_upload_by_the_aws_cli_is_never_published_in_part(setting: Setting, bucket: Any, tmp_path: Path) -> None:
    """The new config is there at once, the new weights a minute later: the mix must not be taken for a version."""
    slow = Proxy(bucket.emulator.url)
    one, two = version(tmp_path / "1", b"1"), version(tmp_path / "2", b"2")
    # moto says of every upload in progress that it began in 2010.
    worker = setting.start(SETTLE_SECONDS="0.5", UPLOAD_STALE_SECONDS="1e10", RECONCILE_INTERVAL_SECONDS="1")
    worker.wait_ready()
    assert aws_cp(setting.environment, tmp_path / "1", f"s3://{bucket.name}/alice", slow.url).wait(60) == 0
    until((setting.base / "alice").exists, "the first version")
    assert setting.read("alice") == one
    reader = Reader(setting.base / "alice", whole)
    reader.start()
    slow.hold_requests_after_bytes = 1 << 20
    uploading = aws_cp(setting.environment, tmp_path / "2", f"s3://{bucket.name}/alice", slow.url)
    held_back = "an upload of 'alice/model.onnx' is in progress"
    until(lambda: sum(held_back in line.get("reason", "") for line in worker.logs()) >= 3, "some looks at it")
    config = bucket.s3.get_object(Bucket=bucket.name, Key="alice/config.json")["Body"].read()
    assert config == two["config.json"], "the mix was there to be published"
    assert setting.read("alice") == one
    slow.release()
    assert uploading.wait(60) == 0
    until(lambda: setting.read("alice") == two, "the second version")
    until(lambda: len(reader.seen.revisions) == 2, "the reader to see it")
    seen = reader.stop()
    assert (seen.torn, seen.errors) == (0, 0)
    slow.close()


def test_a_new_commit_does_not_wait_for_the_download_of_the_old_one(setting: Setting, bucket: Any) -> None:
    worker = setting.start(BANDWIDTH_LIMIT_BYTES_PER_SECOND="1000000")
    worker.wait_ready()
    put_voice(bucket, "alice", {"large.onnx": FILLER * 2})  # 40 s
    until(lambda: worker.metric("downloaded_bytes_total") > 100_000, "the download")
    small = {"small.onnx": b"weights"}
    put_voice(bucket, "alice", small)
    until((setting.base / "alice").exists, "the voice", 20)
    assert setting.read("alice") == small
    assert worker.metric("downloaded_bytes_total") < len(FILLER)
    until(lambda: bucket.messages() == (0, 0), "the messages' deletion")
    assert worker.metric("sync_total", outcome="error") == 0
