"""Peak memory of the whole service while it syncs one object of 2 GiB; and what it costs idle."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from bench.content import write_safetensors
from bench.scale.sqs import queue
from bench.standin import stand_in
from bench.transfer.targets import Target, target_table
from bench.worker import requests, worker

SIZE_BYTES = 2 << 30
IDLE_SECONDS = 20
IDLE_MIB = 110


def measure() -> str:
    """Run, and return a table in Markdown."""
    with tempfile.TemporaryDirectory() as directory, queue() as queue_url:
        bucket, base, log = (Path(directory) / name for name in ("bucket", "models", "log"))
        base.mkdir()
        (bucket / "big").mkdir(parents=True)
        write_safetensors(bucket / "big" / "model.safetensors", SIZE_BYTES)
        with stand_in(bucket) as url:
            environment = {
                "AWS_ENDPOINT_URL_S3": url,
                "AWS_ENDPOINT_URL_SQS": queue_url,
                "SQS_MODEL_SYNC_QUEUE_URL": f"{queue_url}/queue",
                "S3_BUCKET_NAME": "models",
            }
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
        f"| idle afterwards, polling a queue | {idle * 100:.2f} % of a core, {resting:.0f} MiB,"
        f" {listed:.0f} list requests |\n\n"
        + target_table(
            Target("idle: CPU, to 1 % of a core", "%", idle * 100, 1, 1),
            Target(f"idle: RSS, to {IDLE_MIB} MiB", "MiB", resting, 1, IDLE_MIB),
            Target("idle: list requests between comparisons, to fewer than one", "", listed, 0, 1),
        )
    )


if __name__ == "__main__":
    print(measure())
