"""Upload to published: 200 updates of a small voice on an idle worker, stage by stage."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path

from bench.worker import worker
from modelsync.demo.emulator import Emulator
from modelsync.demo.upload import upload

UPDATES = 200


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def measure() -> str:
    """Run, and return a table in Markdown."""
    received, published, stages = [], [], {}
    with tempfile.TemporaryDirectory() as directory, Emulator() as emulator:
        base = Path(directory) / "models"
        base.mkdir()
        place = emulator.make_place("models")
        s3 = emulator.client("s3")
        environment = emulator.environment(place) | {"SETTLE_SECONDS": "0"}
        with worker(base, Path(directory) / "log", environment) as running:
            running.ready_after_seconds()
            for number in range(UPDATES):
                files = {"model.onnx": os.urandom(20_000), "config.json": b'{"n": %d}' % number, "vocab.txt": b"a b c"}
                upload(s3, place.bucket, "alice", files)
                uploaded = time.time()
                line = running.wait_for("published", number + 1)[-1]
                published.append(line["at"] - uploaded)
            for line in running.wait_for("sync finished"):
                if line["outcome"] == "success":
                    received.append(line["seconds"])
                    for stage, seconds in line["stages"].items():
                        stages.setdefault(stage, []).append(seconds)
    rows = [("commit file uploaded → published", published), ("event received → published", received)]
    rows += [(f"· {stage}", values) for stage, values in stages.items()]
    text = "| | median ms | p99 ms |\n|---|---|---|\n"
    for name, values in rows:
        text += f"| {name} | {statistics.median(values) * 1000:.1f} | {percentile(values, 0.99) * 1000:.1f} |\n"
    return text


if __name__ == "__main__":
    print(measure())
