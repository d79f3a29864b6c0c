"""`python -m bench` runs every measurement and writes docs/benchmarks.md; `python -m bench CHAPTER` one of them.

`python -m bench transfer --scenario … --peer … --rounds …`, and `scale` likewise, prints what was chosen and writes
nothing.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from bench import gate, latency, memory, profiling, scale, startup, transfer
from bench.transfer.install import MissingError

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
INTRODUCTION = "# Benchmarks\n\nMade by `make bench`; one chapter alone by `.venv/bin/python -m bench CHAPTER`.\n\n"


@dataclass(frozen=True)
class Chapter:
    """A part of the page. `setting` tells what is measured how."""

    title: str
    measure: Callable[[], str]
    setting: str


CHAPTERS = {
    "latency": Chapter(
        "Upload to published",
        latency.measure,
        """Updates of a three-file voice of 20 kB with a commit file, `SETTLE_SECONDS=0`. For the idle worker S3 and
SQS are a moto server on the same machine, whose own share (some 5 to 10 ms a request) is in every figure.""",
    ),
    "startup": Chapter(
        "Start to ready",
        startup.measure,
        """1,000 published models of three files each on the volume, the bucket unchanged. S3 is the stand-in of
`bench/standin.py` on the same machine.""",
    ),
    "memory": Chapter(
        "Memory",
        memory.measure,
        "The whole service with its HTTP interface, from the stand-in, to a volume on the same disk.",
    ),
    "gate": Chapter("The gate", gate.measure, gate.SETTING),
    "transfer": Chapter("Transfers, and peers", transfer.measure, transfer.SETTING),
    "scale": Chapter("Scale, and peers", scale.measure, scale.SETTING),
    "profile": Chapter("Where the time goes", profiling.measure, profiling.SETTING),
}

NARROW = {"transfer": transfer.narrow, "scale": scale.narrow}


def machine() -> str:
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("modelsync", "botocore", "awscrt"))
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {memory_gib:.0f} GiB, {platform.system()}"
        f" {platform.release().split('-')[0]}, Python {platform.python_version()}, {versions}"
    )


def remake(name: str) -> None:
    """Measure a chapter and put it into the page; the others stay as they are."""
    chapter = CHAPTERS[name]
    sys.stderr.write(f"{chapter.title} …\n")
    _, *old = PAGE.read_text().split("\n## ")
    texts = {text.partition("\n")[0]: text.strip() for text in old}
    texts[chapter.title] = f"{chapter.title}\n\n{chapter.setting}\n\n{machine()}.\n\n{chapter.measure().strip()}"
    print(texts[chapter.title])
    ordered = [texts[each.title] for each in CHAPTERS.values() if each.title in texts]
    PAGE.write_text(INTRODUCTION + "\n\n".join(f"## {text}" for text in ordered) + "\n")


def main(arguments: list[str]) -> None:
    name, *options = arguments or [""]
    if options and name in NARROW:
        print(NARROW[name](options))
    elif options or (name and name not in CHAPTERS):
        raise SystemExit(f"usage: python -m bench [{' | '.join(CHAPTERS)}]; options only for {' and '.join(NARROW)}")
    else:
        for each in [name] if name else CHAPTERS:
            remake(each)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except MissingError as error:
        raise SystemExit(f"bench: {error}") from None
