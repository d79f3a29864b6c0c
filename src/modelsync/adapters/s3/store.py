"""A bucket over signed HTTP requests."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import ClassVar

from modelsync.adapters.aws import AwsSession
from modelsync.adapters.s3.answers import object_details, whole_size
from modelsync.adapters.s3.connections import Answer
from modelsync.adapters.s3.requests import Requests, S3Options
from modelsync.adapters.s3.xml import ListPage, parse_list_page
from modelsync.core.objects import RemoteObject
from modelsync.core.parts import Span
from modelsync.core.proof import ObjectDetails
from modelsync.errors import ObjectChanged, StoreDenied, StoreUnavailable
from modelsync.ports import Listing, Observer

_MAX_PAGE_BYTES = 32 << 20
_PAGE_SECONDS = 60.0
_READ_BYTES = 256 << 10


class S3Body:
    """Implements `ports.Body`."""

    def __init__(self, answer: Answer, details: ObjectDetails, span: Span) -> None:
        self.details = details
        self._answer = answer
        self._response = answer.response
        self._left = span.size_bytes
        self._reading_since: float | None = None

    def readinto(self, buffer: memoryview, /) -> int:
        """Read some bytes; 0 only at the span's end."""
        if self._left == 0:
            self._response.read()  # lets the connection be used again
            return 0
        self._reading_since = time.monotonic()
        try:
            count = self._response.readinto(buffer[: min(len(buffer), self._left)])
        finally:
            self._reading_since = None
        if count == 0:
            raise StoreUnavailable(f"S3 broke off {self._left} bytes before the end")
        self._left -= count
        return count

    def drop_if_crawling(self, longest_seconds: float) -> None:
        """Break off if one read takes longer; what it has so far still reaches the reader."""
        since = self._reading_since
        if since is not None and time.monotonic() - since > longest_seconds:
            self._answer.break_off()


class S3Store:
    """Implements `ports.ObjectStore`."""

    _MARKS: ClassVar[dict[str, str]] = {"x-amz-checksum-mode": "ENABLED"}

    def __init__(self, options: S3Options, session: AwsSession, observe: Observer) -> None:
        """Find the bucket's address; nothing is sent yet.

        Raises:
            ConfigurationError: region or endpoint cannot be.
        """
        self._options = options
        self._requests = Requests(options, session, observe)
        self._bodies: set[S3Body] = set()

    def check(self) -> None:
        """Ask whether the bucket can be listed."""
        query = {"list-type": "2", "max-keys": "1"}
        with self._call("ListObjectsV2", "GET", None, query, what="list the bucket") as answer:
            _read_page(answer.response)

    def list(self, prefix: str) -> Listing:
        """List all objects whose keys start with the prefix."""
        objects: list[RemoteObject] = []
        at = 0.0
        for page, answered_at in self._pages(prefix):
            at = at or answered_at
            objects += page.objects
        return Listing(tuple(objects), at)

    def scan(self, prefix: str) -> Iterator[RemoteObject]:
        """List as a stream."""
        for page, _ in self._pages(prefix):
            yield from page.objects

    def _pages(self, prefix: str) -> Iterator[tuple[ListPage, float]]:
        query = {"list-type": "2", "encoding-type": "url", "prefix": prefix}
        while True:
            with self._call("ListObjectsV2", "GET", None, query, what=f"list {prefix!r}") as answer:
                response = answer.response
                page = parse_list_page(_read_page(response))
                at = _answered_at(response)
            yield page, at
            if page.next_token is None:
                return
            if page.next_token == query.get("continuation-token"):
                raise StoreUnavailable("S3's listing goes round in a circle")
            query["continuation-token"] = page.next_token

    def head(self, remote: RemoteObject) -> ObjectDetails:
        """Ask for an object's details."""
        with self._call("HeadObject", "HEAD", remote, {}, what=f"ask for {remote.key!r}", extra=self._MARKS) as answer:
            response = answer.response
            response.read()
            return _same(remote, object_details(response.headers, size_bytes=_length(response)))

    def part_sizes(self, remote: RemoteObject, count: int, *, exactly: bool) -> Sequence[int] | None:
        """Ask how an object was cut into parts: a HEAD for the first part, or for each."""
        if exactly:
            sizes = [self._part_size(remote, number, count) for number in range(1, count + 1)]
            return [size for size in sizes if size is not None] if None not in sizes else None
        first = self._part_size(remote, 1, count)
        if not first or not (count - 1) * first < remote.size_bytes <= count * first:
            return None
        return [first] * (count - 1) + [remote.size_bytes - (count - 1) * first]

    def _part_size(self, remote: RemoteObject, number: int, count: int) -> int | None:
        query = {"partNumber": str(number)}
        what = f"ask for a part of {remote.key!r}"
        try:
            # Not pinned: some stores hold If-Match against the part's own ETag. Sizes of another
            # object's parts cannot prove this one.
            with self._call("HeadObject", "HEAD", remote, query, what=what, pinned=False) as answer:
                response = answer.response
                response.read()
                counted = response.headers.get("x-amz-mp-parts-count")
                return _length(response) if counted == str(count) else None
        except StoreDenied:
            return None  # 400: the store knows no parts

    @contextmanager
    def open(self, remote: RemoteObject, span: Span) -> Iterator[S3Body]:
        """Read a span of an object."""
        whole = span == Span(0, remote.size_bytes)
        extra = dict(self._MARKS) if whole else {"Range": f"bytes={span.start}-{span.end - 1}"}
        with self._call("GetObject", "GET", remote, {}, what=f"read {remote.key!r}", extra=extra) as answer:
            response = answer.response
            size_bytes = whole_size(response, span, whole=whole)
            details = _same(remote, object_details(response.headers, size_bytes=size_bytes))
            body = S3Body(answer, details, span)
            self._bodies.add(body)
            try:
                yield body
            finally:
                self._bodies.discard(body)

    def tend(self) -> None:
        """Break off answers that crawl: the request is made again from where it was."""
        for body in self._bodies.copy():
            body.drop_if_crawling(self._options.timeouts.crawl)

    def close(self) -> None:
        """Break off everything under way."""
        self._requests.connections.close()

    @contextmanager
    def _call(
        self,
        operation: str,
        method: str,
        remote: RemoteObject | None,
        query: dict[str, str],
        *,
        what: str,
        extra: dict[str, str] | None = None,
        pinned: bool = True,
    ) -> Iterator[Answer]:
        headers = dict(extra or {})
        if remote is not None:
            if pinned:
                headers["If-Match"] = f'"{remote.etag}"'
            if remote.version_id:
                query = {**query, "versionId": remote.version_id}
        key = remote.key if remote else None
        with self._requests.send(operation, method, key, what=what, query=query, headers=headers) as answer:
            yield answer


def _same(remote: RemoteObject, details: ObjectDetails) -> ObjectDetails:
    """Hold an answer against the listing: not every store heeds If-Match.

    Raises:
        ObjectChanged: it is another object.
    """
    if details.etag != remote.etag or details.size_bytes != remote.size_bytes:
        raise ObjectChanged(f"{remote.key!r} was replaced since it was listed")
    return details


def _read_page(response: http.client.HTTPResponse) -> bytes:
    """Read a listing's page, within bounds of size and time."""
    deadline = time.monotonic() + _PAGE_SECONDS
    page = bytearray()
    while data := response.read1(_READ_BYTES):
        page += data
        if len(page) > _MAX_PAGE_BYTES or time.monotonic() > deadline:
            raise StoreUnavailable(f"a page of S3's listing took over {_PAGE_SECONDS:.0f} s or {_MAX_PAGE_BYTES} bytes")
    return bytes(page)


def _length(response: http.client.HTTPResponse) -> int:
    try:
        return int(response.headers.get("Content-Length", "-1"))
    except ValueError:
        return -1


def _answered_at(response: http.client.HTTPResponse) -> float:
    try:
        return parsedate_to_datetime(response.headers["Date"]).timestamp()
    except (TypeError, ValueError, KeyError):
        return time.time()
