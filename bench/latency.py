"""Upload to published: 200 updates of a small voice on a worker that is idle, and on one that is busy, by stages."""

from __future__ import annotations

import statistics
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from bench.content import safetensors, write_safetensors
from bench.scale.messages import notification
from bench.scale.sqs import ask, queue
from bench.standin import stand_in
from bench.transfer.targets import Target, target_table
from bench.worker import Worker, worker
from modelsync.demo.emulator import Emulator
from modelsync.demo.upload import COMMIT_FILE, commit_file, upload

UPDATES = 200
VOICE = "alice"
RECEIVED = "event of its first file → end of the sync"
BUSY_BYTES = 1 << 30
BUSY_PAUSE_SECONDS = 0.02  # behind each 256 KiB, on each of 8 connections: 100 MB/s, so that there is time to measure


MEDIAN_MS = 60
P99_MS = 250


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def measure() -> str:
    """Run, and return tables in Markdown."""
    large = f"{BUSY_BYTES >> 30} GiB for another model at 100 MB/s"
    stand_ins = "S3 is `bench/standin.py`, SQS a queue of the bench's own"
    return f"On an idle worker:\n\n{idle()}\nWhile the worker downloads {large}; {stand_ins}:\n\n{busy()}"


def idle() -> str:
    """Update a voice on a worker that has nothing else to do."""
    with tempfile.TemporaryDirectory() as directory, Emulator() as emulator:
        base = Path(directory) / "models"
        base.mkdir()
        place = emulator.make_place("models")
        s3 = emulator.client("s3")
        environment = emulator.environment(place) | {"SETTLE_SECONDS": "0"}
        with worker(base, Path(directory) / "log", environment) as running:
            running.ready_after_seconds()
            uploads = []
            for number in range(UPDATES):
                upload(s3, place.bucket, VOICE, voice(number))
                uploads.append(time.time())
                of_voice(running, "published", number + 1)
            return table(measured(running, uploads))


def busy() -> str:
    """Update a voice for as long as a large download of another model takes."""
    with tempfile.TemporaryDirectory() as directory, queue() as queue_url:
        bucket, base, log = (Path(directory) / name for name in ("bucket", "models", "log"))
        base.mkdir()
        (bucket / "large").mkdir(parents=True)
        write_safetensors(bucket / "large" / "model.safetensors", BUSY_BYTES)
        with stand_in(bucket, BUSY_PAUSE_SECONDS) as url:
            environment = {
                "AWS_ENDPOINT_URL_S3": url,
                "AWS_ENDPOINT_URL_SQS": queue_url,
                "SQS_MODEL_SYNC_QUEUE_URL": f"{queue_url}/queue",
                "S3_BUCKET_NAME": "models",
                "SETTLE_SECONDS": "0",
            }
            with worker(base, log, environment) as running:
                running.wait_for("downloading")
                uploads = []
                while not any(line["model"] == "large" for line in running.lines("published")):
                    files = voice(len(uploads))
                    for name, data in {**files, COMMIT_FILE: commit_file(files)}.items():
                        put(f"{url}/models/{VOICE}/{name}", data)
                    uploads.append(time.time())
                    ask(f"{queue_url}/fill", notification(f"{VOICE}/{COMMIT_FILE}").encode())
                    of_voice(running, "published", len(uploads))
                rows = measured(running, uploads)
                return f"{table(rows)}\n{targets(rows[RECEIVED])}"


def put(url: str, data: bytes) -> None:
    urllib.request.urlopen(urllib.request.Request(url, data, method="PUT"), timeout=60).close()


def voice(number: int) -> dict[str, bytes]:
    return {"model.safetensors": safetensors(20_000), "config.json": b'{"n": %d}' % number, "vocab.txt": b"a b c"}


def of_voice(running: Worker, event: str, number: int) -> list[dict[str, Any]]:
    """Wait for so many lines about the voice."""
    seen = number
    while len(found := [line for line in running.wait_for(event, seen) if line["model"] == VOICE]) < number:
        seen += 1
    return found


def measured(running: Worker, uploads: list[float]) -> dict[str, list[float]]:
    """How long each update took, in seconds, and its stages."""
    lines = of_voice(running, "published", len(uploads))
    published = [line["at"] - uploaded for line, uploaded in zip(lines, uploads, strict=False)]
    running.wait_for("sync finished", len(uploads))
    rows: dict[str, list[float]] = {"commit file uploaded → published": published, RECEIVED: []}
    for line in running.lines("sync finished"):
        if line["model"] == VOICE and line["outcome"] == "success":
            rows[RECEIVED].append(line["seconds"])
            for stage, seconds in line["stages"].items():
                rows.setdefault(f"· {stage}", []).append(seconds)
    return rows


def table(rows: dict[str, list[float]]) -> str:
    """The figures in Markdown."""
    text = f"| {len(rows[RECEIVED])} updates | median ms | p99 ms |\n|---|---|---|\n"
    for name, values in rows.items():
        text += f"| {name} | {statistics.median(values) * 1000:.1f} | {percentile(values, 0.99) * 1000:.1f} |\n"
    return text


def targets(received: list[float]) -> str:
    """What a busy worker is held to."""
    median, p99 = statistics.median(received) * 1000, percentile(received, 0.99) * 1000
    return target_table(
        Target(f"received → readers see it, busy: median, to {MEDIAN_MS} ms", "ms", median, 1, MEDIAN_MS),
        Target(f"received → readers see it, busy: p99, to {P99_MS} ms", "ms", p99, 1, P99_MS),
    )


if __name__ == "__main__":
    print(measure())
