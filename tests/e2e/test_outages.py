"""What a worker needs fails and comes back: health names it and since when, models stay readable, nobody has to act."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from fakes import hostile_s3
from fakes.hostile_s3 import BUCKET, S3
from support.worker import Setting, Worker, until


class Sqs(BaseHTTPRequestHandler):
    """An empty queue in one of three moods."""

    protocol_version = "HTTP/1.1"
    mood: ClassVar[str] = "well"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.mood == "unreachable":
            self.close_connection = True
            return
        if self.mood == "throttled":
            self._answer(400, {"__type": "com.amazonaws.sqs#RequestThrottled", "message": "slow down"})
        elif "GetQueueAttributes" in self.headers.get("X-Amz-Target", ""):
            self._answer(200, {"Attributes": {"VisibilityTimeout": "30", "RedrivePolicy": "{}"}})
        else:
            time.sleep(0.2)  # a long poll
            self._answer(200, {})

    def _answer(self, status: int, document: Any) -> None:
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def sqs() -> Iterator[str]:
    Sqs.mood = "well"
    with ThreadingHTTPServer(("127.0.0.1", 0), Sqs) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def s3() -> Iterator[S3]:
    server = S3()
    server.put("alice/model.onnx", b"weights")
    yield server
    server.close()


@pytest.fixture
def worker(setting: Setting, s3: S3, sqs: str) -> Worker:
    """A worker that has published a voice."""
    setting.environment |= {
        "S3_BUCKET_NAME": BUCKET,
        "AWS_ENDPOINT_URL_S3": s3.url,
        "AWS_ENDPOINT_URL_SQS": sqs,
        "SQS_MODEL_SYNC_QUEUE_URL": f"{sqs}/1/queue",
        "SETTLE_SECONDS": "0",
    }
    made = setting.start()
    made.wait_ready()
    made.wait_published()
    healthy(made, "s3")
    healthy(made, "queue:model_sync")
    return made


def healthy(worker: Worker, check: str) -> None:
    until(lambda: worker.check(check)["status"] == "healthy", f"{check} to be healthy")


def ails(worker: Worker, setting: Setting, check: str, *words: str) -> None:
    """The check says what is wrong and since when, and goes on saying it; readers notice nothing."""
    started = time.time()
    found = until(lambda: (told := worker.check(check))["status"] == "degraded" and told, f"{check} to be degraded")
    assert all(word in found["reason"] for word in words), found
    assert started - 1 <= found["since"] <= time.time()
    assert worker.get("/ready")[0] == 200
    assert worker.get("/live")[0] == 200
    assert setting.read("alice") == {"model.onnx": b"weights"}


def test_a_clock_that_is_wrong_is_named_and_outlived(setting: Setting, s3: S3, worker: Worker) -> None:
    for kind in ("LIST", "GET", "HEAD"):
        s3.fault(kind, hostile_s3.refuse(403, "RequestTimeTooSkewed"))
    worker.send(signal.SIGHUP)
    ails(worker, setting, "s3", "RequestTimeTooSkewed", "set it by NTP")
    s3.calm()
    healthy(worker, "s3")


@pytest.mark.parametrize(
    ("mood", "word"), [("unreachable", "cannot receive from queue model_sync"), ("throttled", "RequestThrottled")]
)
def test_a_queue_that_fails_is_named_and_outlived(
    setting: Setting, worker: Worker, mood: str, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sqs, "mood", mood)
    ails(worker, setting, "queue:model_sync", word)
    since = worker.check("queue:model_sync")["since"]
    errors = worker.metric("queue_receive_errors_total", queue="model_sync")
    until(lambda: worker.metric("queue_receive_errors_total", queue="model_sync") > errors, "another attempt")
    assert worker.check("queue:model_sync")["since"] == since, "it is one outage"
    monkeypatch.setattr(Sqs, "mood", "well")
    healthy(worker, "queue:model_sync")
