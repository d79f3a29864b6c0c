"""Runs every measurement and writes docs/benchmarks.md."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from bench import latency, memory, startup

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
CHAPTERS: list[tuple[str, Callable[[], str], str]] = [
    (
        "Upload to published",
        latency.measure,
        """200 updates of a three-file voice of 20 kB with a commit file, `SETTLE_SECONDS=0`, on an idle worker. S3
and SQS are a moto server on the same machine, whose own share (some 5 to 10 ms a request) is in every figure.""",
    ),
    (
        "Start to ready",
        startup.measure,
        """1,000 published models of three files each on the volume, the bucket unchanged. S3 is the stand-in of
`bench/standin.py` on the same machine.""",
    ),
    (
        "Memory",
        memory.measure,
        "The whole service with its HTTP interface, from the stand-in, to a volume on the same disk.",
    ),
]


def machine() -> str:
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("modelsync", "botocore", "awscrt"))
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {memory_gib:.0f} GiB, {platform.system()}"
        f" {platform.release().split('-')[0]}, Python {platform.python_version()}, {versions}"
    )


def main() -> None:
    text = f"# Benchmarks\n\nMade by `make bench`. {machine()}.\n"
    for title, measure, setting in CHAPTERS:
        sys.stderr.write(f"{title} …\n")
        text += f"\n## {title}\n\n{setting}\n\n{measure()}"
        print(text.rpartition("## ")[2])
    PAGE.write_text(text)


if __name__ == "__main__":
    main()
