"""Many messages about few models that changed: how fast they are drained, and what is asked of S3 for them."""

from __future__ import annotations

import json
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from bench.content import safetensors
from bench.scale.sqs import ask, queue
from bench.standin import stand_in
from bench.worker import DEADLINE_SECONDS, requests, worker
from modelsync.demo.upload import COMMIT_FILE, commit_file

MESSAGES = 10_000
MODELS = 50
OBJECTS = 2 * MODELS
"""What changed: weights and a commit file of each model."""


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
            f"| objects fetched, of {OBJECTS} that changed | {self.downloads:.0f} |\n"
        )


def measure() -> Drained:
    """Publish the models, change them all, fill the queue, and wait until it is empty."""
    with tempfile.TemporaryDirectory() as directory, queue() as queue_url:
        bucket, base, log = (Path(directory) / name for name in ("bucket", "models", "log"))
        base.mkdir()
        bucket.mkdir()
        for key, data in version(1).items():
            (bucket / key).parent.mkdir(exist_ok=True)
            (bucket / key).write_bytes(data)
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
                for key, data in version(2).items():
                    request = urllib.request.Request(f"{url}/models/{key}", data, method="PUT")
                    urllib.request.urlopen(request, timeout=60).close()
                before = requests(running)
                keys = sorted(version(2), key=lambda key: key.endswith(COMMIT_FILE))
                events = [notification(keys[number % len(keys)]) for number in range(MESSAGES)]
                ask(f"{queue_url}/fill", "\n".join(events).encode())
                deadline = time.monotonic() + DEADLINE_SECONDS
                while (state := ask(queue_url))["left"]:
                    assert time.monotonic() < deadline, state
                    time.sleep(0.1)
                after = requests(running)
                published = {line["model"] for line in running.lines("published")[MODELS:]}
    assert state["deleted"] == MESSAGES, state
    assert len(published) == MODELS, "each was published anew"
    listings, downloads = (after.get(name, 0) - before.get(name, 0) for name in ("ListObjectsV2", "GetObject"))
    return Drained(state["seconds"], listings, downloads)


def version(number: int) -> dict[str, bytes]:
    """All objects of a version; no model can use another one's bytes."""
    objects = {}
    for model in range(MODELS):
        files = {"model.safetensors": safetensors(1000 + model + MODELS * number)}
        objects |= {f"voice-{model:02}/{name}": data for name, data in files.items()}
        objects[f"voice-{model:02}/{COMMIT_FILE}"] = commit_file(files)
    return objects


def notification(key: str) -> str:
    """What S3 tells of an upload to bucket `models`."""
    entity = {"bucket": {"name": "models"}, "object": {"key": key, "size": 1}}
    event = {"eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": entity}
    return json.dumps({"Records": [event | {"eventTime": "2026-01-01T00:00:00.000Z"}]})
