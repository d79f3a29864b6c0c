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


class Fleet:
    """Workers that are killed, beside one that goes on: nothing but events tells it of what the dead left."""

    def __init__(self, setting: Setting, bucket: Any, proxy: Proxy, workers: list[Worker]) -> None:
        self._setting = setting
        self._bucket = bucket
        self._proxy = proxy
        self.workers = workers
        self.kills = 0
        self.uploaded: Counter[str] = Counter()

    def put(self, number: int, *voices: str) -> None:
        """Upload a version of some voices."""
        for voice in voices:
            put_voice(self._bucket, voice, version(voice, number))
            self.uploaded.update(f"/{self._bucket.name}/{voice}/{name}" for name in version(voice, number))

    def busy_with(self, event: str, voice: str) -> Worker | None:
        return next((worker for worker in self.workers if told(worker, event, model=voice)), None)

    def kill(self, victim: Worker) -> None:
        victim.end(signal.SIGKILL)
        self.workers.remove(victim)
        self.kills += 1

    def second(self) -> Worker:
        """A worker that is ready, beside the one that goes on, which stands still until `go_on`."""
        made = self._setting.start()
        until(lambda: told(made, "reconcile finished"), "a comparison")
        assert told(made, "reconcile finished")[0]["changed"] == 0
        self.workers.append(made)
        self.workers[0].send(signal.SIGSTOP)
        return made

    def go_on(self, number: int, *voices: str) -> None:
        """Let the one that is left learn by events alone of everything."""
        self.workers[0].send(signal.SIGCONT)
        until(lambda: shows(self._setting, number, *voices), f"version {number} of {voices}, by the one that is left")
        until(lambda: self._bucket.messages() == (0, 0), "the messages' deletion")

    def repeated(self) -> int:
        """How many files were asked for more than once a version, over all files."""
        gets = Counter(urlsplit(target).path for method, target in self._proxy.requests if method == "GET")
        return sum(max(gets[path] - count, 0) for path, count in self.uploaded.items())


def test_no_event_is_lost_and_no_read_torn_while_workers_are_killed(
    setting: Setting, bucket: Any, proxy: Proxy, workers: list[Worker]
) -> None:
    reader = Reader(setting.base / "bob", whole)
    reader.start()
    fleet = Fleet(setting, bucket, proxy, workers)

    # In mid-download.
    proxy.hold_after_bytes = 64 << 10
    fleet.put(1, "alice")
    fleet.kill(until(lambda: proxy.held.is_set() and fleet.busy_with("downloading", "alice"), "a download"))
    assert list((setting.base / ".modelsync/models/alice/staging").iterdir())
    proxy.release()
    until(lambda: shows(setting, 1, "alice"), "the dead worker's voice")

    # Right after a publication, with messages in hand: the last one learns of everything by events alone.
    fleet.put(2, *VOICES)
    fleet.kill(until(lambda: fleet.busy_with("published", "bob"), "a publication"))
    fleet.go_on(2, *VOICES)

    # Between a publication and the deletion of its messages, or just after it.
    victim = fleet.second()
    fleet.put(3, *VOICES)
    until(lambda: told(victim, "published", model="carol"), "a publication")
    fleet.kill(victim)
    fleet.go_on(3, *VOICES)

    # Received, and waiting for the rest of the upload.
    victim = fleet.second()
    bucket.put("dave/model.onnx", version("dave", 4)["model.onnx"])
    until(lambda: bucket.messages() == (0, 1), "the message's receipt")
    fleet.kill(victim)
    fleet.put(4, *VOICES)
    fleet.go_on(4, *VOICES)

    # In the midst of its shutdown.
    victim = fleet.second()
    before = os.readlink(setting.base / "bob")
    fleet.put(5, *VOICES)
    until(partial(leads_elsewhere, setting.base / "bob", before), "a switch")
    victim.send(signal.SIGTERM)
    until(lambda: told(victim, "stopping") or victim.process.poll() is not None, "the signal to be noticed")
    fleet.kill(victim)
    fleet.go_on(5, *VOICES)

    seen = reader.stop()
    assert (seen.torn, seen.errors) == (0, 0)
    assert len(seen.revisions) >= 3, "the reader was really reading while it changed"
    assert fleet.repeated() <= fleet.kills, "a worker that dies loses what its one connection was at"
    assert not list((setting.base / ".modelsync").rglob("staging")), "nothing is left over"
    assert not list((setting.base / ".modelsync/models").rglob(".tmp-*"))
