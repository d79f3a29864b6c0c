"""A bucket over signed HTTP requests."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import ClassVar

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest

from modelsync import __version__
from modelsync.adapters.aws import AwsSession
from modelsync.adapters.s3.answers import failure, object_details, said_length, whole_size
from modelsync.adapters.s3.connections import Connections, Timeouts
from modelsync.adapters.s3.endpoint import bucket_endpoint
from modelsync.adapters.s3.incoming import Response
from modelsync.adapters.s3.xml import ListPage, parse_list_page
from modelsync.core.facts import StoreCalled
from modelsync.core.objects import RemoteObject
from modelsync.core.parts import Span
from modelsync.core.proof import ObjectDetails
from modelsync.errors import ModelSyncError, ObjectChanged, StoreDenied, StoreUnavailable
from modelsync.ports import Listing, Observer

_MAX_PAGE_BYTES = 32 << 20
_READ_BYTES = 256 << 10


@dataclass(frozen=True)
class S3Options:
    """Which bucket, and how.

    Attributes:
        bucket: its name.
        expected_owner: account id; a bucket of another account is refused by S3.
        timeouts: bounds on single calls of the network.
    """

    bucket: str
    expected_owner: str | None = None
    timeouts: Timeouts = field(default_factory=Timeouts)


class S3Body:
    """Implements `ports.Body`."""

    def __init__(self, response: Response, details: ObjectDetails, span: Span, crawl_seconds: float) -> None:
        self.details = details
        self._response = response
        self._left = span.size_bytes
        self._crawl_seconds = crawl_seconds

    def readinto(self, buffer: memoryview, /) -> int:
        """Read some bytes; 0 only at the span's end."""
        if self._left == 0:
            self._response.read()  # lets the connection be used again
            return 0
        self._response.pace(self._crawl_seconds)
        count = self._response.readinto(buffer[: min(len(buffer), self._left)])
        if count == 0:
            raise StoreUnavailable(f"S3 broke off {self._left} bytes before the end: {self._response.incoming.ended}")
        self._left -= count
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
        self._session = session
        self._observe = observe
        self._endpoint = bucket_endpoint(
            options.bucket,
            region=session.region,
            endpoint_url=session.options.s3_endpoint_url,
            dns_suffix=session.dns_suffix,
        )
        self._connections = Connections(self._endpoint, options.timeouts)

    def check(self) -> None:
        """Ask whether the bucket can be listed."""
        query = {"list-type": "2", "max-keys": "1"}
        with self._call("ListObjectsV2", "GET", None, query, what="list the bucket") as response:
            self._read_page(response)

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
        tokens: set[str] = set()
        while True:
            with self._call("ListObjectsV2", "GET", None, query, what=f"list {prefix!r}") as response:
                page = parse_list_page(self._read_page(response))
                at = _answered_at(response)
            yield page, at
            if page.next_token is None:
                return
            if page.next_token in tokens:
                raise StoreUnavailable("S3's listing goes round in a circle")
            tokens.add(page.next_token)
            query["continuation-token"] = page.next_token

    def _read_page(self, response: Response) -> bytes:
        """Read a listing's page, within bounds of size and time."""
        response.pace(self._options.timeouts.page)
        page = bytearray()
        while data := response.read1(_READ_BYTES):
            page += data
            if len(page) > _MAX_PAGE_BYTES:
                raise StoreUnavailable(f"a page of S3's listing is larger than {_MAX_PAGE_BYTES} bytes")
        if response.length:
            raise StoreUnavailable(f"S3 broke off in a page of its listing: {response.incoming.ended}")
        response.read()  # lets the connection be used again
        return bytes(page)

    def head(self, remote: RemoteObject) -> ObjectDetails:
        """Ask for an object's details."""
        with self._call(
            "HeadObject", "HEAD", remote, {}, what=f"ask for {remote.key!r}", extra=self._MARKS
        ) as response:
            response.read()
            size_bytes = said_length(response)
            if size_bytes is None:
                raise StoreUnavailable(f"S3 answered without a Content-Length to ask for {remote.key!r}")
            return _same(remote, object_details(response.headers, size_bytes=size_bytes))

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
            with self._call("HeadObject", "HEAD", remote, query, what=what, pinned=False) as response:
                response.read()
                counted = response.headers.get("x-amz-mp-parts-count")
                return said_length(response) if counted == str(count) else None
        except StoreDenied:
            return None  # 400: the store knows no parts

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
        self._connections.renew()

    def close(self) -> None:
        """Break off everything under way."""
        self._connections.close()

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
    ) -> Iterator[Response]:
        headers = {"Host": self._endpoint.netloc, "User-Agent": f"modelsync/{__version__}", **(extra or {})}
        if self._options.expected_owner:
            headers["x-amz-expected-bucket-owner"] = self._options.expected_owner
        if remote is not None:
            if pinned:
                headers["If-Match"] = f'"{remote.etag}"'
            if remote.version_id:
                query = {**query, "versionId": remote.version_id}
        target = self._endpoint.target(remote.key if remote else None, query)
        with (
            _observed(self._observe, operation),
            self._connections.request(method, target, self._signed(method, target, headers)) as response,
        ):
            if response.status not in {200, 206}:
                raise failure(response, what=what, bucket=self._options.bucket)
            yield response

    def _signed(self, method: str, target: str, headers: dict[str, str]) -> dict[str, str]:
        url = f"{self._endpoint.scheme}://{self._endpoint.netloc}{target}"
        request = AWSRequest(method, url, headers=headers)
        S3SigV4Auth(self._session.credentials(), "s3", self._session.region).add_auth(request)
        return dict(request.headers.items())


@contextmanager
def _observed(observe: Callable[[StoreCalled], None], operation: str) -> Iterator[None]:
    try:
        yield
    except ModelSyncError as error:
        observe(StoreCalled(operation, type(error).__name__))
        raise
    observe(StoreCalled(operation, "ok"))


def _same(remote: RemoteObject, details: ObjectDetails) -> ObjectDetails:
    """Hold an answer against the listing: not every store heeds If-Match.

    Raises:
        ObjectChanged: it is another object.
    """
    if details.etag != remote.etag or details.size_bytes != remote.size_bytes:
        raise ObjectChanged(f"{remote.key!r} was replaced since it was listed")
    return details


def _answered_at(response: Response) -> float:
    try:
        return parsedate_to_datetime(response.headers["Date"]).timestamp()
    except (TypeError, ValueError, OverflowError):
        return time.time()
