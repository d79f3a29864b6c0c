"""Peak memory of the whole service while it syncs one object of 2 GiB; and what it costs idle."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from bench.standin import stand_in
from bench.worker import requests, worker

SIZE_BYTES = 2 << 30
IDLE_SECONDS = 20


def measure() -> str:
    """Run, and return a table in Markdown."""
    with tempfile.TemporaryDirectory() as directory:
        bucket, base, log = (Path(directory) / name for name in ("bucket", "models", "log"))
        base.mkdir()
        (bucket / "big").mkdir(parents=True)
        with (bucket / "big" / "model.safetensors").open("wb") as file:
            for _ in range(SIZE_BYTES // (64 << 20)):
                file.write(os.urandom(64 << 20))
        with stand_in(bucket) as url:
            environment = {"AWS_ENDPOINT_URL": url, "S3_BUCKET_NAME": "models"}
            with worker(base, log, environment) as running:
                [published] = running.wait_for("published")
                [done] = [line for line in running.wait_for("sync finished") if line["outcome"] == "success"]
                cpu = running.cpu_seconds()
                peak = running.rss_mib("VmHWM")
                running.wait_for("reconcile finished")
                time.sleep(1)
                listed = requests(running)["ListObjectsV2"]
                before, start = running.cpu_seconds(), time.monotonic()
                time.sleep(IDLE_SECONDS)
                idle = (running.cpu_seconds() - before) / (time.monotonic() - start)
                resting = running.rss_mib("VmRSS")
                listed = requests(running)["ListObjectsV2"] - listed
    assert published["size_bytes"] == SIZE_BYTES
    return (
        "| one object of 2 GiB, 8 connections | |\n|---|---|\n"
        f"| peak memory of the service (RSS) | {peak:.0f} MiB |\n"
        f"| listed → published, verified and durable | {done['seconds']:.2f} s |\n"
        f"| CPU of the whole process, start included | {cpu:.2f} s |\n"
        f"| idle afterwards | {idle * 100:.2f} % of a core, {resting:.0f} MiB, {listed:.0f} list requests |\n"
    )


if __name__ == "__main__":
    print(measure())
