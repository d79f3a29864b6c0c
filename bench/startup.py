"""Start to ready: 1,000 published models on the volume, an unchanged bucket."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from bench.content import safetensors
from bench.standin import stand_in
from bench.worker import worker

MODELS = 1000
RUNS = 5


def measure() -> str:
    """Run, and return a table in Markdown."""
    ready, compared, memory = [], [], []
    with tempfile.TemporaryDirectory() as directory:
        bucket, base, log = (Path(directory) / name for name in ("bucket", "models", "log"))
        base.mkdir()
        for number in range(MODELS):
            voice = bucket / f"voice-{number:04}"
            voice.mkdir(parents=True)
            (voice / "model.safetensors").write_bytes(safetensors(1000))
            (voice / "config.json").write_bytes(b"{}")
            (voice / "vocab.txt").write_bytes(b"a b c")
        with stand_in(bucket) as url:
            environment = {"AWS_ENDPOINT_URL": url, "S3_BUCKET_NAME": "models", "SYNC_WORKERS": "8"}
            with worker(base, log, environment) as running:
                running.wait_for("reconcile finished")
            for _ in range(RUNS):
                with worker(base, log, environment) as running:
                    ready.append(running.ready_after_seconds())
                    [finished] = running.wait_for("reconcile finished")
                    started = running.wait_for("started")[0]
                    assert finished["changed"] == 0, finished
                    assert finished["models"] == MODELS, finished
                    compared.append(ready[-1] + finished["at"] - started["at"])
                    memory.append(running.rss_mib("VmRSS"))
    return (
        "| | median | worst |\n|---|---|---|\n"
        f"| start of the process → `/ready` | {statistics.median(ready):.2f} s | {max(ready):.2f} s |\n"
        f"| start of the process → all {MODELS:,} models compared | {statistics.median(compared):.2f} s"
        f" | {max(compared):.2f} s |\n"
        f"| memory after it (RSS) | {statistics.median(memory):.0f} MiB | {max(memory):.0f} MiB |\n"
    )


if __name__ == "__main__":
    print(measure())
