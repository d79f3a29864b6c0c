"""What a store can answer to an upload, beside yes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from modelsync.adapters.aws import AwsOptions, AwsSession
from modelsync.adapters.s3 import S3Options, S3Uploads
from modelsync.app.payload import BytesPayload
from modelsync.errors import ModelSyncError, StoreDenied, StoreThrottled, StoreUnavailable

ERROR = "<Error><Code>{}</Code></Error>"
CRC = BytesPayload(b"x").crc64nvme


class Store(ThreadingHTTPServer):
    """Answers every request of a method with what is in `answers`, as (status, body, headers)."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, tuple[int, str, dict[str, str]]] = {}

    def handle_error(self, *_: Any) -> None:
        """The client broke off."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Store

    def _answer(self) -> None:
        status, body, headers = self.server.answers[self.command]
        # The body of the request is left unread: closing then resets the connection.
        self.close_connection = True
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body.encode())

    def do_PUT(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def store() -> Iterator[Store]:
    with Store() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def uploads(store: Store) -> Iterator[S3Uploads]:
    url = f"http://127.0.0.1:{store.server_port}"
    made = S3Uploads(S3Options("bucket"), AwsSession(AwsOptions("us-east-1", url)), lambda _: None)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (503, "SlowDown", StoreThrottled),
        (403, "AccessDenied", StoreDenied),
        (400, "BadDigest", StoreUnavailable),
        (500, "InternalError", StoreUnavailable),
    ],
)
def test_an_answer_before_the_body_was_read_is_heard(
    store: Store, uploads: S3Uploads, status: int, code: str, kind: type[ModelSyncError]
) -> None:
    store.answers["PUT"] = (status, ERROR.format(code), {})
    with pytest.raises(kind, match=code):
        uploads.put("a", BytesPayload(bytes(32 << 20)))


def test_a_refusal_says_which_permissions_an_upload_needs(store: Store, uploads: S3Uploads) -> None:
    store.answers["PUT"] = (403, ERROR.format("AccessDenied"), {})
    with pytest.raises(StoreDenied, match="s3:PutObject and s3:AbortMultipartUpload"):
        uploads.put("a", BytesPayload(b"x"))


@pytest.mark.parametrize(
    ("code", "kind"), [("InternalError", StoreUnavailable), ("SlowDown", StoreThrottled), ("Odd", StoreUnavailable)]
)
def test_a_completion_that_fails_after_its_200_has_failed(
    store: Store, uploads: S3Uploads, code: str, kind: type[ModelSyncError]
) -> None:
    store.answers["POST"] = (200, "\n  \n<?xml version='1.0'?>\n" + ERROR.format(code), {})
    with pytest.raises(kind, match=code):
        uploads.complete("a", "id", [], size_bytes=1, crc64nvme=CRC)


def test_a_completion_without_an_etag_is_asked_for_it(store: Store, uploads: S3Uploads) -> None:
    done = "<CompleteMultipartUploadResult><ETag></ETag></CompleteMultipartUploadResult>"
    store.answers = {"POST": (200, done, {}), "HEAD": (200, "", {"ETag": '"e-1"'})}
    assert uploads.complete("a", "id", [], size_bytes=1, crc64nvme=CRC) == "e-1"


@pytest.mark.parametrize(
    "ask",
    [
        lambda uploads: uploads.put("a", BytesPayload(b"x")),
        lambda uploads: uploads.begin("a"),
        lambda uploads: uploads.complete("a", "id", [], size_bytes=1, crc64nvme=CRC),
    ],
    ids=["put", "begin", "complete"],
)
@pytest.mark.parametrize("body", ["", "nonsense", "<html><ETag>e</ETag></html>"])
def test_an_answer_that_says_nothing_is_none(
    store: Store, uploads: S3Uploads, ask: Callable[[S3Uploads], str], body: str
) -> None:
    store.answers = {"PUT": (200, body, {}), "POST": (200, body, {}), "HEAD": (200, "", {"ETag": '"old"'})}
    with pytest.raises(StoreUnavailable):
        ask(uploads)
