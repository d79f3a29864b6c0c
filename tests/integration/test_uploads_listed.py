"""The list of uploads in progress, from stores that page it, hide it, or have none."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest

from modelsync.adapters.aws import AwsOptions, AwsSession
from modelsync.adapters.s3 import S3Options, S3Store
from modelsync.errors import BucketMissing, NotOffered, StoreThrottled, StoreUnavailable

PAGE = (
    "<ListMultipartUploadsResult><EncodingType>url</EncodingType><IsTruncated>{more}</IsTruncated>"
    "<NextKeyMarker>a+{n}</NextKeyMarker><NextUploadIdMarker>u{n}</NextUploadIdMarker>"
    "<Upload><Key>a+{n}</Key><Initiated>2026-01-01T00:00:00Z</Initiated></Upload></ListMultipartUploadsResult>"
)


class Pages(BaseHTTPRequestHandler):
    """Answers with `pages` pages of one upload each, or with a failure."""

    pages: ClassVar[int] = 1
    failure: ClassVar[tuple[int, str] | None] = None
    asked: ClassVar[list[dict[str, list[str]]]] = []

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        self.asked.append(query)
        n = int(query.get("upload-id-marker", ["u0"])[0][1:]) + 1
        status, body = self.failure or (200, PAGE.format(n=n, more=str(n < self.pages).lower()))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def store() -> Iterator[S3Store]:
    Pages.pages, Pages.failure, Pages.asked[:] = 1, None, []
    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        session = AwsSession(AwsOptions("us-east-1", f"http://127.0.0.1:{server.server_port}"))
        made = S3Store(S3Options("models"), session, lambda _: None)
        yield made
        made.close()
        server.shutdown()


def test_all_pages_are_read_each_behind_the_one_before(store: S3Store) -> None:
    Pages.pages = 3
    assert [upload.key for upload in store.uploads("a")] == ["a 1", "a 2", "a 3"]
    assert [query.get("key-marker") for query in Pages.asked] == [None, ["a 1"], ["a 2"]]
    assert all((query["uploads"], query["prefix"]) == ([""], ["a"]) for query in Pages.asked)


def test_no_more_pages_are_read_than_needed(store: S3Store) -> None:
    Pages.pages = 3
    assert len(list(islice(store.uploads(""), 1))) == 1
    assert len(Pages.asked) == 1


def test_a_list_without_an_end_is_given_up(store: S3Store) -> None:
    Pages.pages = 1_000_000
    assert len(list(store.uploads(""))) == 20


@pytest.mark.parametrize("status", [400, 403, 404, 405, 501])
def test_a_store_that_does_not_list_uploads_says_so_in_its_way(store: S3Store, status: int) -> None:
    Pages.failure = (status, "<Error><Code>NotImplemented</Code></Error>")
    with pytest.raises(NotOffered, match=f"S3 answered {status} to list uploads in progress"):
        list(store.uploads(""))


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [(503, "SlowDown", StoreThrottled), (500, "InternalError", StoreUnavailable), (404, "NoSuchBucket", BucketMissing)],
)
def test_a_store_that_fails_is_not_one_without_uploads(
    store: S3Store, status: int, code: str, error: type[Exception]
) -> None:
    Pages.failure = (status, f"<Error><Code>{code}</Code></Error>")
    with pytest.raises(error):
        list(store.uploads(""))
