"""A bucket over signed HTTP requests."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import ClassVar

from modelsync.adapters.aws import AwsSession
from modelsync.adapters.s3.answers import answered_at, object_details, whole_size
from modelsync.adapters.s3.http1 import Response
from modelsync.adapters.s3.requests import Requests, S3Options
from modelsync.adapters.s3.xml import ListPage, UploadPage, parse_list_page, parse_upload_page
from modelsync.core.etags import is_weak, same_object
from modelsync.core.objects import RemoteObject, Upload
from modelsync.core.parts import Span
from modelsync.core.proof import ObjectDetails
from modelsync.errors import NotOffered, ObjectChanged, StoreDenied, StoreUnavailable
from modelsync.ports import Listing, Observer, Patiently, at_once

_MAX_PAGE_BYTES = 32 << 20
_MOST_UPLOAD_PAGES = 20
_CRAWL_BYTES = 1 << 20


class S3Body:
    """Implements `ports.Body`."""

    def __init__(self, response: Response, details: ObjectDetails, span: Span, crawl_seconds: float) -> None:
        self.details = details
        self._response = response
        self._left = span.size_bytes
        self._crawl_seconds = crawl_seconds
        self._lately_bytes, self._lately_seconds = 0, 0.0

    def readinto(self, buffer: memoryview, /) -> int:
        """Read some bytes; 0 only at the span's end."""
        if self._left == 0:
            return 0
        if self._lately_seconds > self._crawl_seconds:
            raise StoreUnavailable(
                f"S3 crawled and was timed out: {self._lately_bytes} bytes came in {self._lately_seconds:.1f} s"
            )
        start = time.monotonic()
        count = self._response.readinto(buffer[: self._left])
        if count == 0:
            raise StoreUnavailable(f"S3 broke off {self._left} bytes before the end: the server closed the connection")
        self._left -= count
        self._lately_bytes, self._lately_seconds = (
            self._lately_bytes + count,
            self._lately_seconds + time.monotonic() - start,
        )
        if self._lately_bytes >= _CRAWL_BYTES:
            self._lately_bytes, self._lately_seconds = 0, 0.0
        return count


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

    def check(self) -> None:
        """Ask whether the bucket can be listed."""
        query = {"list-type": "2", "max-keys": "1"}
        with self._call("ListObjectsV2", "GET", None, query, what="list the bucket") as response:
            self._read_page(response)

    def list(
        self,
        prefix: str,
        patiently: Patiently = at_once,
        wanted: Callable[[RemoteObject], bool] = lambda _: True,
    ) -> Listing:
        """List the objects whose keys start with the prefix and that are wanted."""
        objects: list[RemoteObject] = []
        at = 0.0
        for page, when in self._pages(prefix, patiently):
            at = at or when
            objects += filter(wanted, page.objects)
        return Listing(tuple(objects), at)

    def scan(self, prefix: str, patiently: Patiently = at_once) -> Iterator[RemoteObject]:
        """List as a stream."""
        for page, _ in self._pages(prefix, patiently):
            yield from page.objects

    def _pages(self, prefix: str, patiently: Patiently) -> Iterator[tuple[ListPage, float]]:
        query = {"list-type": "2", "encoding-type": "url", "prefix": prefix}
        tokens: set[str] = set()
        while True:
            page, at = patiently(partial(self._page, query, what=f"list {prefix!r}"))
            yield page, at
            if page.next_token is None:
                return
            if page.next_token in tokens:
                raise StoreUnavailable("S3's listing goes round in a circle")
            tokens.add(page.next_token)
            query["continuation-token"] = page.next_token

    def _page(self, query: dict[str, str], *, what: str) -> tuple[ListPage, float]:
        """Ask for a page, and the time of the answer by S3's clock."""
        with self._call("ListObjectsV2", "GET", None, query, what=what) as response:
            page = parse_list_page(self._read_page(response))
            at = answered_at(response.headers)
        return page, time.time() if at is None else at

    def _read_page(self, response: Response) -> bytes:
        """Read a listing's page, within bounds of size and time."""
        page = response.read(_MAX_PAGE_BYTES + 1, self._options.timeouts.page)
        if len(page) > _MAX_PAGE_BYTES:
            raise StoreUnavailable(f"a page of S3's listing is larger than {_MAX_PAGE_BYTES} bytes")
        if response.length is not None and len(page) < response.length:
            raise StoreUnavailable("S3 broke off in a page of its listing")
        return page

    def uploads(self, prefix: str, patiently: Patiently = at_once) -> Iterator[Upload]:
        """List uploads in progress, some 20,000 at the most: abandoned ones can be many."""
        query = {"uploads": "", "encoding-type": "url", "prefix": prefix}
        for _ in range(_MOST_UPLOAD_PAGES):
            page = patiently(partial(self._upload_page, query))
            yield from page.uploads
            if page.next_markers is None:
                return
            query["key-marker"], query["upload-id-marker"] = page.next_markers

    def _upload_page(self, query: dict[str, str]) -> UploadPage:
        what = "list uploads in progress"
        with self._call("ListMultipartUploads", "GET", None, query, what=what, optional=True) as response:
            return parse_upload_page(self._read_page(response))

    def head(self, remote: RemoteObject) -> ObjectDetails:
        """Ask for an object's details."""
        what = f"ask for {remote.key!r}"
        try:
            with self._call("HeadObject", "HEAD", remote, {}, what=what, extra=self._MARKS) as response:
                return _same(remote, object_details(response.headers, size_bytes=_said_length(response)))
        except StoreDenied:
            self._ask_why(remote)
            raise

    def _ask_why(self, remote: RemoteObject) -> None:
        """Raise what keeps the object from being read; the answer to a HEAD has no body to say it."""
        with self.open(remote, Span(0, min(1, remote.size_bytes))):
            pass

    def part_size(self, remote: RemoteObject, number: int, count: int) -> int | None:
        """Ask how large a part was: a HEAD, and where that is refused a look at the object for the reason."""
        query = {"partNumber": str(number)}
        what = f"ask for a part of {remote.key!r}"
        try:
            # Not pinned: some stores hold If-Match against the part's own ETag. Sizes of another
            # object's parts cannot prove this one.
            with self._call("HeadObject", "HEAD", remote, query, what=what, pinned=False, optional=True) as response:
                counted = response.headers.get("x-amz-mp-parts-count")
                return response.length if counted == str(count) else None
        except NotOffered:
            self._ask_why(remote)
            return None  # the object can be read, but the store knows no parts

    @contextmanager
    def open(self, remote: RemoteObject, span: Span) -> Iterator[S3Body]:
        """Read a span of an object."""
        whole = span == Span(0, remote.size_bytes)
        extra = dict(self._MARKS) if whole else {"Range": f"bytes={span.start}-{span.end - 1}"}
        with self._call("GetObject", "GET", remote, {}, what=f"read {remote.key!r}", extra=extra) as response:
            size_bytes = whole_size(response, span, whole=whole)
            details = _same(remote, object_details(response.headers, size_bytes=size_bytes))
            yield S3Body(response, details, span, self._options.timeouts.crawl)

    def renew(self) -> None:
        """Make all further requests on fresh connections."""
        self._requests.connections.renew()

    def close(self) -> None:
        """Break off everything under way."""
        self._requests.connections.close()

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
        optional: bool = False,
    ) -> AbstractContextManager[Response]:
        headers = dict(extra or {})
        if remote is not None:
            if pinned and not is_weak(remote.etag):  # If-Match with a weak one never matches
                headers["If-Match"] = f'"{remote.etag}"'
            if remote.version_id:
                query = {**query, "versionId": remote.version_id}
        key = remote.key if remote else None
        return self._requests.send(operation, method, key, what=what, query=query, headers=headers, optional=optional)


def _same(remote: RemoteObject, details: ObjectDetails) -> ObjectDetails:
    """Hold an answer against the listing: not every store heeds If-Match.

    Raises:
        ObjectChanged: it is another object.
    """
    if not same_object(details.etag, remote.etag) or details.size_bytes != remote.size_bytes:
        raise ObjectChanged(f"{remote.key!r} was replaced since it was listed")
    return details


def _said_length(response: Response) -> int:
    if response.length is None:
        raise StoreUnavailable("S3 answered a HEAD without a Content-Length")
    return response.length
