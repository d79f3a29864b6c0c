"""What is fetched: buckets of random objects, and over which of the server's ports."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from modelsync.config.settings import Settings

MODEL = "voice"
CONNECTIONS: int = Settings.model_fields["transfer_concurrency"].default
CAP_BYTES_PER_SECOND = 85_000_000
FIRST_BYTE_SECONDS = 0.02
_HEADER_BYTES = 128
UPLOADED = 1_767_225_600  # 2026-01-01: the quiet time of a fresh upload is none of the bench's business


@dataclass(frozen=True)
class Bucket:
    """Objects of one size, all of one model."""

    name: str
    objects: int
    size_bytes: int

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
            with (root / key).open("wb") as file:
                file.write(header := _safetensors_header(self.size_bytes))
                for start in range(len(header), self.size_bytes, 8 << 20):
                    file.write(os.urandom(min(8 << 20, self.size_bytes - start)))
            os.utime(root / key, (UPLOADED, UPLOADED))


def _safetensors_header(size_bytes: int) -> bytes:
    """The header of a file of this size with one tensor of random bytes."""
    data_bytes = size_bytes - _HEADER_BYTES
    tensor = {"dtype": "U8", "shape": [data_bytes], "data_offsets": [0, data_bytes]}
    text = json.dumps({"weights": tensor}).encode().ljust(_HEADER_BYTES - 8)
    return len(text).to_bytes(8, "little") + text


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
SMALL = Bucket("small-objects", 5000, 64 << 10)

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
]
