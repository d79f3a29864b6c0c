"""A server that is no SQS, or a broken one, degrades a queue; it never ends a loop."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from modelsync.adapters.aws import AwsOptions, AwsSession
from modelsync.adapters.sqs import SqsOptions, SqsQueue, sqs_client
from modelsync.errors import QueueUnavailable
from modelsync.ports import Message


class Odd(BaseHTTPRequestHandler):
    answer: ClassVar[bytes] = b""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.answer)))
        self.end_headers()
        self.wfile.write(self.answer)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def queue() -> Iterator[SqsQueue]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Odd) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        yield SqsQueue(SqsOptions("odd", f"{url}/1/q"), sqs_client(AwsSession(AwsOptions("us-east-1", None, url))))
        server.shutdown()


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>captive portal</html>",
        b"",
        b"[1]",
        b'{"Messages": [{}]}',
        b'{"Messages": 3}',
        b'{"Messages": [{"ReceiptHandle": "r", "Body": "b", "Attributes": {"ApproximateReceiveCount": "x"}}]}',
        b"\xff\xfe",
        b'{"Failed": [{}]}',
        b'{"Failed": [{"Id": "77"}], "Successful": []}',
        b'{"Failed": [{"Id": "0", "SenderFault": false, "Code": "InternalFailure"}], "Successful": []}',
    ],
)
def test_an_odd_answer_is_an_outage(queue: SqsQueue, answer: bytes) -> None:
    Odd.answer = answer
    with pytest.raises(QueueUnavailable):
        queue.check()
    message = Message("r", "")
    for ask in (lambda: queue.delete([message]), lambda: queue.hide([message], 0)):
        with pytest.raises(QueueUnavailable):
            ask()
    if answer not in {b"", b"<html>captive portal</html>"} and b"Failed" not in answer:
        with pytest.raises(QueueUnavailable):
            queue.receive(1)


def test_a_delivery_that_is_not_ours_any_more_is_no_outage_whoever_is_blamed(queue: SqsQueue) -> None:
    Odd.answer = b'{"Failed": [{"Id": "0", "SenderFault": false, "Code": "InvalidParameterValueException"}]}'
    message = Message("r", "")
    queue.delete([message])
    assert queue.hide([message], 0) == [message]
