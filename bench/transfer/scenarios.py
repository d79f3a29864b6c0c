"""What is fetched: buckets of random objects, and over which of the server's ports."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.content import write_safetensors
from modelsync.config.settings import Settings
from modelsync.core.commit import CommittedFile, render_commit
from modelsync.core.names import Naming, RelPath

MODEL = "voice"
CONNECTIONS: int = Settings.model_fields["transfer_concurrency"].default
CAP_BYTES_PER_SECOND = 85_000_000
FIRST_BYTE_SECONDS = 0.02
UPLOADED = 1_767_225_600  # 2026-01-01: the quiet time of a fresh upload is none of the bench's business


@dataclass(frozen=True)
class Bucket:
    """Objects of one size, all of one model; `committed`: with a commit file, as `modelsync push` leaves it."""

    name: str
    objects: int
    size_bytes: int
    committed: bool = False

    @property
    def total_bytes(self) -> int:
        return self.objects * self.size_bytes

    @property
    def gib(self) -> float:
        return self.total_bytes / (1 << 30)

    @property
    def keys(self) -> list[str]:
        return [f"{MODEL}/model-{number:05}.safetensors" for number in range(self.objects)]

    def fill(self, root: Path) -> None:
        """Make the objects as files below `root`."""
        (root / MODEL).mkdir(parents=True)
        for key in self.keys:
            write_safetensors(root / key, self.size_bytes)
            os.utime(root / key, (UPLOADED, UPLOADED))
        if self.committed:
            (root / MODEL / Naming().commit_file).write_bytes(render_commit(self._committed(root / MODEL)))

    def _committed(self, root: Path) -> Iterator[CommittedFile]:
        for path in root.iterdir():
            with path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            yield CommittedFile(RelPath(path.name), self.size_bytes, sha256)


@dataclass(frozen=True)
class Scenario:
    """A bucket, fetched over one of the server's ports: `http`, `https` or `paced`."""

    name: str
    title: str
    bucket: Bucket
    port: str = "http"


TINY = Bucket("tiny-object", 1, 64 << 10)
ONE = Bucket("one-object", 1, 2 << 30)
EIGHT = Bucket("eight-objects", 8, 256 << 20)
COMMITTED = Bucket("committed-object", 1, 1 << 30, committed=True)
SMALL = Bucket("small-objects", 5000, 64 << 10)
FEWER = Bucket("fewer-small-objects", 1000, 64 << 10)

SCENARIOS = [
    Scenario("tiny", "One object of 64 KiB, http: what start and end cost", TINY),
    Scenario("one", "One object of 2 GiB, http", ONE),
    Scenario("one-https", "One object of 2 GiB, https", ONE, "https"),
    Scenario("eight", "8 objects of 256 MiB, http", EIGHT),
    Scenario("small", "5,000 objects of 64 KiB, http", SMALL),
    Scenario(
        "s3-like",
        f"One object of 2 GiB as S3 gives it: {CAP_BYTES_PER_SECOND / 1e6:.0f} MB/s a connection,"
        f" {FIRST_BYTE_SECONDS * 1000:.0f} ms to the first byte, http",
        ONE,
        "paced",
    ),
    Scenario("small-s3-like", "1,000 objects of 64 KiB at S3's pace, http", FEWER, "paced"),
    Scenario("commit", "One object of 1 GiB with a commit file, whose SHA-256 is proven too, http", COMMITTED),
    Scenario("commit-s3-like", "The same at S3's pace, http", COMMITTED, "paced"),
]
