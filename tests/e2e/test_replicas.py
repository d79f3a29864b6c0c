"""Three workers on one volume and one queue, as processes, some of which are killed."""

from __future__ import annotations

import os
import signal
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from fakes.proxy import Proxy
from modelsync.demo.reader import Reader
from support.voices import put_voice
from support.worker import Setting, Worker, until

VOICES = ["alice", "bob", "carol", "dave"]
FILLER = os.urandom(100_000)
TOGETHER = {
    "RECONCILE_INTERVAL_SECONDS": "0",  # only events tell of a change
    "SETTLE_SECONDS": "3",
    "TRANSFER_CONCURRENCY": "1",
}


def version(voice: str, number: int) -> dict[str, bytes]:
    """Same sizes throughout: nothing but the content tells two versions apart. No voice can use another one's bytes."""
    mark = f"{number:06}{voice:>6}".encode()
    return {"model.onnx": mark + FILLER, "config.json": mark, "de/vocab.txt": mark}


def whole(files: dict[str, bytes]) -> bool:
    return len({content[:12] for content in files.values()}) == 1 and len(files) == 3


@pytest.fixture
def workers(setting: Setting, bucket: Any, proxy: Proxy) -> list[Worker]:
    """Three, after their first comparison. What the dead held comes back to the queue soon."""
    bucket.sqs.set_queue_attributes(QueueUrl=bucket.place.queue_url, Attributes={"VisibilityTimeout": "2"})
    setting.environment |= TOGETHER
    made = [setting.start() for _ in range(3)]
    for worker in made:
        worker.wait_ready()
    return made


def shows(setting: Setting, number: int, *voices: str) -> bool:
    return all((setting.base / voice).exists() and setting.read(voice) == version(voice, number) for voice in voices)


def leads_elsewhere(link: Path, before: str) -> bool:
    return os.readlink(link) != before


def told(worker: Worker, event: str, **fields: str) -> list[dict[str, Any]]:
    """Its log lines of an event."""
    return [line for line in worker.logs() if line["event"] == event and fields.items() <= line.items()]


def test_three_workers_download_each_object_once(
    setting: Setting, bucket: Any, proxy: Proxy, workers: list[Worker]
) -> None:
    for number in (1, 2):
        for voice in VOICES:
            put_voice(bucket, voice, version(voice, number))
        until(partial(shows, setting, number, *VOICES), "all voices")
    until(lambda: bucket.messages() == (0, 0), "the messages' deletion")
    gets = Counter(urlsplit(target).path for method, target in proxy.requests if method == "GET")
    files = {f"/{bucket.name}/{voice}/{name}": 2 for voice in VOICES for name in version(voice, 1)}
    assert {path: gets[path] for path in files} == files, "each version once"
    assert sum(worker.metric("sync_total", outcome="success") for worker in workers) == 2 * len(VOICES)


def test_no_event_is_lost_and_no_read_torn_while_workers_are_killed(
    setting: Setting, bucket: Any, proxy: Proxy, workers: list[Worker]
) -> None:
    reader = Reader(setting.base / "bob", whole)
    reader.start()

    def busy_with(event: str, voice: str) -> Worker | None:
        return next((worker for worker in workers if told(worker, event, model=voice)), None)

    def kill(victim: Worker) -> None:
        victim.end(signal.SIGKILL)
        workers.remove(victim)

    # In mid-download.
    proxy.hold_after_bytes = 64 << 10
    put_voice(bucket, "alice", version("alice", 1))
    kill(until(lambda: proxy.held.is_set() and busy_with("downloading", "alice"), "a download"))
    assert list((setting.base / ".modelsync/models/alice/staging").iterdir())
    proxy.release()
    until(lambda: shows(setting, 1, "alice"), "the dead worker's voice")

    # Right after a publication, with messages in hand: the last one learns of everything by events alone.
    for voice in VOICES:
        put_voice(bucket, voice, version(voice, 2))
    kill(until(lambda: busy_with("published", "bob"), "a publication"))
    until(lambda: shows(setting, 2, *VOICES), "all voices, by the one that is left")
    workers.append(setting.start())
    until(lambda: told(workers[-1], "reconcile finished"), "a comparison")
    assert told(workers[-1], "reconcile finished")[0]["changed"] == 0

    # Each in turn, while voices change.
    for number in (3, 4):
        before = os.readlink(setting.base / "bob")
        for voice in VOICES:
            put_voice(bucket, voice, version(voice, number))
        until(partial(leads_elsewhere, setting.base / "bob", before), "a switch")
        kill(workers[0])
        workers.append(setting.start())
    until(lambda: shows(setting, 4, *VOICES), "the last version of all voices")
    until(lambda: bucket.messages() == (0, 0), "the messages' deletion")
    seen = reader.stop()
    assert (seen.torn, seen.errors) == (0, 0)
    assert len(seen.revisions) >= 3, "the reader was really reading while it changed"
    assert not list((setting.base / ".modelsync").rglob("staging")), "nothing is left over"
    assert not list((setting.base / ".modelsync/models").rglob(".tmp-*"))
