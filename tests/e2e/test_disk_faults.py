"""A real `modelsync sync` whose system calls fail, one at a time: what readers see is right or as before."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fakes.hostile_s3 import BUCKET, S3
from modelsync.core.facts import Outcome
from modelsync.core.parts import MIB
from support import strace
from support.hostile import HostileWorld
from support.strace import RENAME
from support.worker import UNGATED, Setting, until

V1 = {"config.json": b"1", "model.onnx": b"weights 1"}
V2 = {"config.json": bytes(MIB), "model.onnx": os.urandom(3 * MIB), "tokens.txt": b"2"}  # the last one alone is small
HOME = "{base}/.modelsync/models/alice"
STAGED = f"{HOME}/staging/{{revision}}"
WEIGHTS = f"{STAGED}/files/model.onnx"
TOKENS = f"{STAGED}/files/tokens.txt"


@dataclass(frozen=True)
class Fault:
    """What fails, on which path, and how often the weights are fetched until all is well; None: that is a race."""

    inject: str
    path: str | None = None
    fetches: int | None = 1


# Renames cannot be told by their second path: they are counted. Main thread and worker rename three times each before
# alice's turn comes.
ONCE = {
    "file cannot be made durable": Fault("fsync:error=EIO:when=1", WEIGHTS, fetches=2),
    "full disk shows at close": Fault("close:error=ENOSPC:when=1", WEIGHTS),
    "write fails": Fault("pwrite64:error=ENOSPC:when=2", WEIGHTS, fetches=2),
    "nothing is written": Fault("pwrite64:retval=0:when=1", WEIGHTS, fetches=2),
    "no space can be reserved": Fault("fallocate:error=EDQUOT:when=1", WEIGHTS),
    "journal cannot be written": Fault("write:error=EIO:when=2", f"{STAGED}/journal.jsonl", fetches=2),
    "small file cannot be made durable": Fault("fsync:error=EIO:when=1", TOKENS),
    "small file's write-back fails": Fault("sync_file_range:error=EIO:when=1", TOKENS),
    "write of a small file fails": Fault("pwrite64:error=ENOSPC:when=1", TOKENS, fetches=None),
    "small file cannot be made": Fault("openat:error=ENOSPC:when=1", TOKENS, fetches=None),
    "manifest cannot be made durable": Fault("fsync:error=EIO:when=1", f"{STAGED}/manifest.json"),
    "revision cannot be named": Fault(f"{RENAME}:error=EIO:when=4"),
    "link cannot be switched": Fault(f"{RENAME}:error=ESTALE:when=5"),
    "link cannot be made durable": Fault("fsync:error=EIO:when=2", "{base}"),
    "record cannot be written": Fault(f"{RENAME}:error=EIO:when=6"),
}


class Scene:
    """A volume with V1 on it, V2 in the bucket, and a way to sync in a process of its own."""

    def __init__(self, base: Path, record: Path, s3: S3) -> None:
        base.mkdir()
        self.base, self.record, self.s3 = base, record, s3
        self.world = HostileWorld(base, s3)
        self.world.put(V1)
        assert self.world.sync("alice").outcome is Outcome.SUCCESS
        self.world.put(V2)
        self.world.put(V1, model="aaron")
        self.revision = str(self.world.sync_models.preview("alice", stop=self.world.stop).revision)
        self.before = len(s3.requests("GET", "alice/model.onnx"))
        environment = os.environ | {
            "AWS_ENDPOINT_URL": s3.url, "S3_BUCKET_NAME": BUCKET, "MODELS_BASE_PATH": str(base), "LOG_LEVEL": "debug",
            "VOLUME_MIN_FREE_BYTES": "0", "TRANSFER_CONCURRENCY": "1", "SYNC_WORKERS": "1", "SETTLE_SECONDS": "0",
            **UNGATED,
        }  # fmt: skip
        self.setting = Setting(base, record.parent, environment)

    def fetches(self) -> int:
        return len(self.s3.requests("GET", "alice/model.onnx")) - self.before

    def run(self, fault: Fault) -> tuple[int, str]:
        """Sync under a fault; return the exit code and what a user is told."""
        path = fault.path and fault.path.format(base=self.base, revision=self.revision)
        failing = strace.fault(fault.inject, path)
        under = strace.prefix(self.record, fault.inject.split(":")[0], *failing)
        ended = self.setting.command("sync", "aaron", "alice", prefix=under)
        until(lambda: "(INJECTED)" in self.record.read_text(errors="replace"), "the fault to be met", seconds=5)
        assert "Traceback" not in ended.stderr
        return ended.returncode, ended.stdout + ended.stderr


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    s3 = S3()
    made = Scene(tmp_path / "models", tmp_path / "strace", s3)
    yield made
    made.world.close()
    s3.close()


@pytest.mark.parametrize("name", ONCE)
def test_a_call_that_fails_once_is_overcome(scene: Scene, name: str) -> None:
    code, told = scene.run(ONCE[name])
    assert code == 0, told
    assert scene.world.read("alice") == V2
    assert ONCE[name].fetches in {scene.fetches(), None}


STAYS = {
    "volume fails from the start": (Fault("fsync:error=EIO"), 1, "cannot be used: the disk or the file server reports"),
    "file is never durable": (Fault("fsync:error=EIO", WEIGHTS), 3, "cannot make model.onnx durable: the disk or"),
    "small file is never durable": (Fault("fsync:error=EIO", TOKENS), 3, "cannot make tokens.txt durable: the disk or"),
}


@pytest.mark.parametrize("name", STAYS)
def test_a_call_that_goes_on_failing_is_told_and_leaves_readers_what_they_saw(scene: Scene, name: str) -> None:
    fault, code, sentence = STAYS[name]
    ended = scene.run(fault)
    assert ended[0] == code
    assert sentence in ended[1]
    assert scene.world.read("alice") == V1
    assert scene.world.sync("alice").outcome is Outcome.SUCCESS, "another worker, on a disk that works"
    assert scene.world.read("alice") == V2
