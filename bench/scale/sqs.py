"""A queue that is quick: SQS' JSON protocol on loopback, messages in memory. Ends with its parent.

`GET /` tells what became of the messages; `POST /fill` puts in as many as its body holds lines.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import urllib.request
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

VISIBILITY_SECONDS = 30


class Messages:
    """Those that wait and those in hand; `deleted_at`: monotonic time of the last deletion."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.waiting: deque[str] = deque()
        self.in_hand: dict[str, str] = {}
        self.deleted = self.returned = self.handed_out = 0
        self.filled_at = self.deleted_at = 0.0

    def fill(self, bodies: list[str]) -> None:
        with self.changed:
            self.waiting.extend(bodies)
            self.filled_at = time.monotonic()
            self.changed.notify_all()

    def receive(self, most: int, seconds: float) -> list[dict[str, Any]]:
        with self.changed:
            self.changed.wait_for(lambda: self.waiting, seconds)
            found = []
            while self.waiting and len(found) < most:
                self.handed_out += 1
                receipt, body = str(self.handed_out), self.waiting.popleft()
                self.in_hand[receipt] = body
                attributes = {"ApproximateReceiveCount": "1"}
                found.append({"MessageId": receipt, "ReceiptHandle": receipt, "Body": body, "Attributes": attributes})
            return found

    def delete(self, receipts: Sequence[str]) -> None:
        with self.changed:
            self.deleted += sum(self.in_hand.pop(receipt, None) is not None for receipt in receipts)
            self.deleted_at = time.monotonic()

    def hide(self, receipts: Sequence[str], seconds: Sequence[int]) -> None:
        """Only 0 is heeded: messages in hand stay there for as long as a measurement takes."""
        with self.changed:
            for receipt, left in zip(receipts, seconds, strict=True):
                if not left and receipt in self.in_hand:
                    self.waiting.append(self.in_hand.pop(receipt))
                    self.returned += 1

    def state(self) -> dict[str, float]:
        with self.changed:
            left = len(self.waiting) + len(self.in_hand)
            seconds = self.deleted_at - self.filled_at
            return {"left": left, "deleted": self.deleted, "returned": self.returned, "seconds": seconds}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    messages: ClassVar[Messages] = Messages()

    def log_message(self, *_: object) -> None:
        """Be quiet."""

    def do_GET(self) -> None:
        self.answer(self.messages.state())

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/fill":
            self.messages.fill(data.decode().splitlines())
            self.answer({})
            return
        asked = json.loads(data)
        entries = asked.get("Entries", [])
        receipts = [entry["ReceiptHandle"] for entry in entries]
        answer: dict[str, Any] = {"Successful": [{"Id": entry["Id"]} for entry in entries], "Failed": []}
        match self.headers["X-Amz-Target"].partition(".")[2]:
            case "GetQueueAttributes":
                answer = {"Attributes": {"VisibilityTimeout": str(VISIBILITY_SECONDS), "RedrivePolicy": "{}"}}
            case "ReceiveMessage":
                found = self.messages.receive(asked["MaxNumberOfMessages"], asked["WaitTimeSeconds"])
                answer = {"Messages": found} if found else {}
            case "DeleteMessageBatch":
                self.messages.delete(receipts)
            case "ChangeMessageVisibilityBatch":
                self.messages.hide(receipts, [entry["VisibilityTimeout"] for entry in entries])
        self.answer(answer)

    def answer(self, document: dict[str, Any]) -> None:
        data = json.dumps(document).encode()
        self.send_response_only(200)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()


@contextmanager
def queue() -> Iterator[str]:
    """Run a queue; yields its URL."""
    process = subprocess.Popen(
        [sys.executable, "-c", "from bench.scale.sqs import main; main()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.stdin.close()
        process.terminate()
        process.wait()
        process.stdout.close()


def ask(url: str, data: bytes | None = None) -> Any:
    """What the queue says of itself, or after `data` was put in."""
    with urllib.request.urlopen(url, data, timeout=60) as answer:
        return json.load(answer)


def main() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    sys.stdin.read()
