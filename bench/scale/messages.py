"""Many messages about few models: how fast they are drained, and what is asked of S3 for them."""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from bench.scale.sqs import ask, queue
from bench.standin import stand_in
from bench.worker import DEADLINE_SECONDS, requests, worker

MESSAGES = 10_000
MODELS = 50


@dataclass(frozen=True)
class Drained:
    """From the queue's filling to its last deletion, and what S3 was asked meanwhile."""

    seconds: float
    listings: float
    downloads: float

    def table(self) -> str:
        """The figures in Markdown."""
        return (
            "| | |\n|---|---|\n"
            f"| put into the queue → all deleted | {self.seconds:.2f} s |\n"
            f"| messages a second | {MESSAGES / self.seconds:,.0f} |\n"
            f"| listings | {self.listings:.0f} |\n"
            f"| objects fetched | {self.downloads:.0f} |\n"
        )


def measure() -> Drained:
    """Publish the models, fill the queue, and wait until it is empty."""
    with tempfile.TemporaryDirectory() as directory, queue() as queue_url:
        bucket, base, log = (Path(directory) / name for name in ("bucket", "models", "log"))
        base.mkdir()
        for number in range(MODELS):
            (bucket / f"voice-{number:02}").mkdir(parents=True)
            (bucket / f"voice-{number:02}" / "model.onnx").write_bytes(b"%d" % number)
        with stand_in(bucket) as url:
            environment = {
                "AWS_ENDPOINT_URL_S3": url,
                "AWS_ENDPOINT_URL_SQS": queue_url,
                "SQS_MODEL_SYNC_QUEUE_URL": f"{queue_url}/queue",
                "S3_BUCKET_NAME": "models",
                "LOG_LEVEL": "info",
            }
            with worker(base, log, environment) as running:
                running.wait_for("reconcile finished")
                before = requests(running)
                events = [notification(f"voice-{number % MODELS:02}/model.onnx") for number in range(MESSAGES)]
                ask(f"{queue_url}/fill", "\n".join(events).encode())
                deadline = time.monotonic() + DEADLINE_SECONDS
                while (state := ask(queue_url))["left"]:
                    assert time.monotonic() < deadline, state
                    time.sleep(0.1)
                after = requests(running)
    assert state["deleted"] == MESSAGES, state
    listings, downloads = (after.get(name, 0) - before.get(name, 0) for name in ("ListObjectsV2", "GetObject"))
    return Drained(state["seconds"], listings, downloads)


def notification(key: str) -> str:
    """What S3 tells of an upload to bucket `models`."""
    entity = {"bucket": {"name": "models"}, "object": {"key": key, "size": 1}}
    event = {"eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": entity}
    return json.dumps({"Records": [event | {"eventTime": "2026-01-01T00:00:00.000Z"}]})
