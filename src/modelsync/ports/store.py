"""The bucket: listing objects and reading their bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from modelsync.core.objects import RemoteObject, Upload
from modelsync.core.parts import Span
from modelsync.core.proof import ObjectDetails

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Listing:
    """A complete listing.

    Attributes:
        objects: in key order, those that were wanted.
        at: seconds since the epoch by S3's own clock, when it answered.
    """

    objects: tuple[RemoteObject, ...]
    at: float


class Body(Protocol):
    """An open answer of S3."""

    @property
    def details(self) -> ObjectDetails:
        """What the answer's headers say of the object."""
        ...

    def readinto(self, buffer: memoryview, /) -> int:
        """Read some bytes into the buffer; 0 at the end of the span, and only there.

        Raises:
            StoreUnavailable: the body stalled, crawled or broke off. What came before was read.
        """
        ...


class Patiently(Protocol):
    """Makes a request, again and again as far as whoever waits for it has patience."""

    def __call__(self, ask: Callable[[], Answer], /) -> Answer:
        """Ask; what the last attempt raises comes through."""
        ...


def at_once(ask: Callable[[], Answer], /) -> Answer:
    """Ask once. Implements `Patiently`."""
    return ask()


class ObjectStore(Protocol):
    """A bucket, read-only. All methods are idempotent. Those that list make the request for each page by `patiently`.

    Raises, from every method:
        StoreUnavailable, StoreThrottled: try again.
        StoreDenied: credentials or permissions.
        BucketMissing: there is no such bucket.
        Stopped: `close` was called.
    """

    def list(
        self,
        prefix: str,
        patiently: Patiently = at_once,
        wanted: Callable[[RemoteObject], bool] = lambda _: True,
    ) -> Listing:
        """List the objects whose keys start with the prefix and that are wanted. Holds them: for one model."""
        ...

    def scan(self, prefix: str, patiently: Patiently = at_once) -> Iterator[RemoteObject]:
        """List as a stream, page by page, in key order. A page that fails for good ends it with an error."""
        ...

    def uploads(self, prefix: str, patiently: Patiently = at_once) -> Iterator[Upload]:
        """List multipart uploads in progress whose keys start with the prefix, as a stream of bounded length.

        Raises:
            NotOffered: the store has no such list, or does not allow it.
        """
        ...

    def head(self, remote: RemoteObject) -> ObjectDetails:
        """Ask for an object's details, checksums among them.

        Raises:
            ObjectChanged: it is not the object that was listed.
            Rejected: as from `open`.
        """
        ...

    def part_size(self, remote: RemoteObject, number: int, count: int) -> int | None:
        """Ask how large a part was that an object was uploaded in.

        Args:
            remote: the object.
            number: the part's, from 1.
            count: the number of its parts, by its ETag or checksum.

        Returns:
            The part's size in bytes, or None if S3 does not say.

        Raises:
            ObjectChanged: it is not the object that was listed.
            Rejected: as from `open`.
        """
        ...

    def open(self, remote: RemoteObject, span: Span) -> AbstractContextManager[Body]:
        """Read a span of an object, pinned to the ETag (and version) that was listed.

        Raises:
            ObjectChanged: it is not the object that was listed.
            Rejected: rule `encryption`; it is encrypted with a key that only its uploader has.
        """
        ...

    def renew(self) -> None:
        """Make all further requests on fresh connections: those there are may bring wrong bytes."""
        ...

    def close(self) -> None:
        """Break off everything under way, for ever."""
        ...
