"""What comes before what, from the system calls of real processes: durable, then visible, then on record."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from support.strace import MKDIR, RENAME, Call, calls, once, prefix
from support.voices import put_voice
from support.worker import Setting, until

FILES = {"model.onnx": os.urandom(100_000), "config.json": b"{}", "de/vocab.txt": b"words"}
MODEL = "team/alice"
NAMES = f"fsync,{RENAME},{MKDIR},sendto"


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return tmp_path / "strace"


def check_order(base: Path, recorded: Sequence[Call]) -> Call:
    """Assert the order of everything up to the model's record, and return the last call of it."""
    home = base / ".modelsync" / "models" / "team%2Falice"
    revision = (base / MODEL).resolve().parent.name
    staged = home / "staging" / revision

    def synced(path: Path, *, after: int, before: int) -> Call:
        found = [call for call in recorded if call.name == "fsync" and f"<{path}>" in call.said]
        inside = [call for call in found if call.began > after and call.ended < before]
        assert inside, f"{path} is made durable in time: {found}"
        return inside[0]

    sealed = once(recorded, "rename", f'"{staged}"', f'"{home}/revisions/{revision}"')
    switched = once(recorded, "rename", f'"{base / MODEL}"')
    told = once(recorded, "rename", f'"{home}/current.json"')
    for name in FILES:
        synced(staged / "files" / name, after=-1, before=sealed.began)
    synced(staged / "manifest.json", after=-1, before=sealed.began)
    for directory in (staged / "files" / "de", staged / "files", staged):
        synced(directory, after=-1, before=sealed.began)
    synced(home / "revisions", after=sealed.ended, before=switched.began)
    made = {
        Path(path): call for call in recorded for path in re.findall(r'mkdir.*?"(.+?)"', f"{call.name}({call.said}")
    }
    lasting = {base / "team", base / ".modelsync", home.parent, home, home / "revisions"}
    assert lasting <= set(made)
    for directory in lasting:
        synced(directory.parent, after=made[directory].ended, before=switched.began)
    synced(base / "team", after=switched.ended, before=told.began)
    [temporary] = re.findall(r'"([^"]+/\.tmp-[0-9a-f]+)"', told.said)
    synced(Path(temporary), after=switched.ended, before=told.began)
    return synced(home, after=told.ended, before=10**9)


def test_a_revision_is_durable_before_it_is_visible_and_visible_before_it_is_on_record(
    setting: Setting, bucket: Any, record: Path
) -> None:
    put_voice(bucket, MODEL, FILES)
    ended = setting.command("sync", prefix=prefix(record, NAMES), MODEL_DEPTH="2")
    assert ended.returncode == 0, ended.stderr
    assert setting.read(MODEL) == FILES
    until(lambda: "reconcile.json" in record.read_text(), "the whole record")
    check_order(setting.base, calls(record))


def test_a_message_is_deleted_only_after_all_that(setting: Setting, bucket: Any, record: Path) -> None:
    worker = setting.start(*prefix(record, NAMES), MODEL_DEPTH="2")
    worker.wait_ready()
    until(lambda: bucket.messages() == (0, 0), "the deletion of S3's test message")
    before = len(calls(record))
    put_voice(bucket, MODEL, FILES)
    until((setting.base / MODEL).exists, "the voice")
    until(lambda: bucket.messages() == (0, 0), "the messages' deletion")
    assert worker.end() == 0
    recorded = calls(record)
    last = check_order(setting.base, recorded)
    deletions = [call for call in recorded if call.name == "sendto" and "AmazonSQS.DeleteMessage" in call.said]
    deleted = [call.began for call in deletions if call in recorded[before:]]
    assert deleted
    assert min(deleted) > last.ended


def test_write_back_begins_while_bytes_arrive(setting: Setting, bucket: Any, record: Path) -> None:
    """Each large write through the page cache is handed to the disk at once, so that little is left for fsync."""
    files = {"model.onnx": os.urandom(4 << 20), "encoder.onnx": os.urandom(7 << 20)}  # larger ones go past the cache
    put_voice(bucket, "alice", files)
    ended = setting.command("sync", prefix=prefix(record, f"pwrite64,sync_file_range,fsync,{RENAME}"))
    assert ended.returncode == 0, ended.stderr
    until(lambda: "reconcile.json" in record.read_text(), "the whole record")
    recorded = calls(record)
    for name, content in files.items():
        own = [call for call in recorded if f"/files/{name}>" in call.said]
        [durable] = [call for call in own if call.name == "fsync"]
        begun = [call for call in own if call.name == "sync_file_range"]
        assert all("SYNC_FILE_RANGE_WRITE" in call.said for call in begun)
        assert all(call.ended < durable.began for call in begun)
        handed = sum(int(call.said.split(", ")[2]) for call in begun)
        assert handed > len(content) // 2, "the greater part"
        first_written = min(call.began for call in own if call.name == "pwrite64")
        last_written = max(call.ended for call in own if call.name == "pwrite64")
        assert first_written < begun[0].began < last_written
