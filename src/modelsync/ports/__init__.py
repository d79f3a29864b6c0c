"""What the application needs of the world. Adapters and fakes implement these.

No type of a foreign library crosses a port: adapters translate, both values and exceptions.
Unless a docstring says otherwise, every method may be called from any thread, blocks, and is
bounded by its adapter's time-outs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from modelsync.core.facts import Fact
from modelsync.core.manifest import (
    Current,
    Damage,
    FileRecord,
    Manifest,
    Published,
    Quarantine,
    Reconciled,
    Scrubbed,
)
from modelsync.core.names import ModelId, RelPath
from modelsync.core.objects import RemoteObject, Revision, Upload
from modelsync.core.parts import Span
from modelsync.core.proof import ObjectDetails
from modelsync.core.retention import Holding, Holdings
from modelsync.core.rollout import Consumer
from modelsync.core.verify import Entry

Answer = TypeVar("Answer")


class Clock(Protocol):
    """Time, so that tests can make it."""

    def now(self) -> float:
        """Seconds since the epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back."""
        ...

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        """Sleep until `stop` is set or the time is over; return whether it is set."""
        ...

    def wait_for(self, condition: threading.Condition, seconds: float | None) -> None:
        """Wait, as `Condition.wait` does, on a condition whose lock the caller holds."""
        ...


class Observer(Protocol):
    """Takes facts. Never raises, and returns at once."""

    def __call__(self, fact: Fact, /) -> None:
        """Take one fact."""
        ...


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


@dataclass(frozen=True, slots=True)
class Message:
    """One delivery of a queue message. `receipt` names the delivery, not the message."""

    receipt: str
    body: str
    receive_count: int = 1


class Queue(Protocol):
    """A queue with visibility time-outs and at-least-once delivery, as SQS is.

    Raises, from every method:
        QueueUnavailable: try again.
        QueueMissing: there is no such queue.
    """

    @property
    def name(self) -> str:
        """The queue's name in logs, metrics and health."""
        ...

    @property
    def visibility_seconds(self) -> float:
        """For how long a received message stays hidden from others."""
        ...

    @property
    def redrives(self) -> bool | None:
        """Whether a message that is received too often is moved to another queue; None if `check` could not see it."""
        ...

    def check(self) -> None:
        """Ask whether the queue can be used."""
        ...

    def receive(self, most: int) -> Sequence[Message]:
        """Wait for messages, some seconds at the longest, and take at most `most` (1 to 10)."""
        ...

    def delete(self, messages: Sequence[Message]) -> None:
        """Delete deliveries. One that is no longer ours is passed over."""
        ...

    def hide(self, messages: Sequence[Message], seconds: float) -> Sequence[Message]:
        """Hide deliveries for so long from now on; 0 returns them at once.

        Returns:
            Those that are no longer ours: another worker may own them.
        """
        ...


@dataclass(frozen=True, slots=True)
class Part:
    """A span of a staged file that was received whole, with the CRC64NVME of its bytes."""

    span: Span
    crc64nvme: int


@dataclass(frozen=True, slots=True)
class Space:
    """Size of a volume."""

    total_bytes: int
    free_bytes: int


class StagedFile(Protocol):
    """A file that is being put together in staging. Spans may be written from several threads.

    Raises, from every method:
        VolumeFailed: the file system refused.
    """

    def recorded(self) -> Sequence[Part]:
        """Parts that an earlier attempt put on record: they count if the bytes there still have their checksums."""
        ...

    def write(self, offset: int, data: memoryview) -> None:
        """Write bytes at an offset."""
        ...

    def record(self, part: Part) -> None:
        """Put on record that a part is written."""
        ...

    def read(self, span: Span) -> Iterator[memoryview]:
        """Bytes that are written, in order."""
        ...

    def keep_at_hand(self) -> None:
        """Take note that what is written from now on will be read before the file is finished."""
        ...

    def finish(self) -> None:
        """Make the bytes durable and read-only."""
        ...

    def discard(self) -> None:
        """Forget the bytes: they are not what S3 has."""
        ...

    def close(self) -> None:
        """Release the file; what is on disk stays."""
        ...


@dataclass(frozen=True, slots=True)
class Held:
    """A published file: which one, and its record. `linkable`: its own revision allows it a second hard link."""

    model: ModelId
    revision: Revision
    record: FileRecord
    linkable: bool


class Staging(Protocol):
    """A revision in progress. Resumable: what an earlier attempt left is there again."""

    def file(self, path: RelPath, size_bytes: int, etag: str) -> StagedFile:
        """Open, or open again, a file of the revision."""
        ...

    def staged_bytes(self, path: RelPath) -> int:
        """Bytes of the volume that a file of the revision takes up already, by itself."""
        ...

    def reduce(self, wanted: Collection[RelPath]) -> None:
        """Remove what an earlier attempt staged and these files have no use for."""
        ...

    def share(self, path: RelPath, held: Held, *, link: bool) -> str | None:
        """Give a file of the revision the bytes of a published one, durably, where that takes no space.

        Args:
            path: the file's path.
            held: where the bytes are.
            link: a hard link may be used.

        Returns:
            How: `clone` or `link`; None if neither can be, or the published file is not there any more.
        """
        ...

    def copy(self, path: RelPath, held: Held) -> bool:
        """Give a file of the revision a copy of a published one, durably; False if that is not there any more."""
        ...

    @property
    def directory(self) -> str:
        """Where the files are, beside what may be left of another revision."""
        ...

    def read(self, path: RelPath) -> Iterator[memoryview]:
        """The bytes of a complete file in order."""
        ...

    def shown(self, records: Collection[FileRecord], check: Callable[[], None]) -> AbstractContextManager[str]:
        """Leave only these files, and lend the path of the directory that holds them: nobody may write to it meanwhile.

        Args:
            records: what the files are.
            check: called now and then; what it raises ends it.

        Raises:
            Rejected: rule `hook`, at its end; a file is not any more what its record says.
        """
        ...

    def seal(self, manifest: Manifest) -> None:
        """Make the revision complete and durable, beside a damaged one of its name. Not visible to readers yet."""
        ...


class Volume(Protocol):
    """The shared volume: the only place where state is kept.

    Raises, from every method:
        VolumeFailed: the file system refused.
    """

    def check(self) -> None:
        """Try everything that the volume must be able to do.

        Raises:
            VolumeUnusable: it cannot, with a sentence on what to change.
            VolumeFailed: it cannot now: it is full, or its disk or server fails.
        """
        ...

    def readable(self) -> bool:
        """Whether models can be read. Never raises."""
        ...

    def space(self) -> Space:
        """How large the volume is, and how much of it is free for us."""
        ...

    def used_bytes(self) -> int:
        """What modelsync uses of the volume's disk; goes through all its files."""
        ...

    def models(self) -> Iterable[ModelId]:
        """All models that the volume knows."""
        ...

    def linked(self, model: ModelId) -> Revision | None:
        """The revision that the model's link points to, or None without a link of ours."""
        ...

    def published(self, model: ModelId) -> Published:
        """What the volume says of a model, known or not."""
        ...

    def glance(self, model: ModelId) -> Published:
        """The same by fewer calls: enough to find that a model is in step, not to find that it is not.

        Of the kept revisions it has only the one that readers see, of refusals none.
        """
        ...

    def records(self) -> Iterator[Current]:
        """The record of each model that has one, as it is right now."""
        ...

    def manifest(self, model: ModelId, revision: Revision) -> Manifest | None:
        """The manifest of a kept revision; None if it is not there or cannot be read."""
        ...

    def history(self, model: ModelId) -> Collection[Revision]:
        """Revisions whose manifests are kept, on the volume or not: those that the record names, some twenty."""
        ...

    def recall(self, model: ModelId, revision: Revision) -> Manifest | None:
        """A manifest of the history; None if it is not there or cannot be read."""
        ...

    def directory(self, model: ModelId, revision: Revision) -> str:
        """Where a kept revision's files are.

        Raises:
            VolumeFailed: it is not on the volume any more.
        """
        ...

    def entries(self, model: ModelId, revision: Revision) -> Sequence[Entry]:
        """Every name below a kept revision's files but directories; none if it is not there any more."""
        ...

    def read(self, model: ModelId, revision: Revision, path: RelPath, chunk_bytes: int) -> Iterator[memoryview]:
        """The bytes of a kept revision's file in order, without keeping more useful ones from the page cache.

        Raises:
            FileUnreadable: this file alone cannot be read.
        """
        ...

    def holdings(self, model: ModelId) -> Holdings:
        """What the volume has of a model. A lease that is seen counts as a use of its revision, for `weigh`.

        Looks at leases, and removals, wait for each other within a process: none takes another for a reader.
        """
        ...

    def weigh(self, held: Holding) -> Holding:
        """Fill in a directory's size and last use."""
        ...

    def consumers(self, model: ModelId) -> Sequence[Consumer]:
        """What consumers of a model reported, each the last time, however long ago."""
        ...

    def report(self, model: ModelId, consumer: Consumer, most: int) -> bool:
        """Put a consumer's report in place of its last one, atomically; needs no writer's lock.

        Args:
            model: what it uses.
            consumer: what it says.
            most: consumers that the model may have; replicas that count at the same moment may let in a few more.

        Returns:
            False if that many others are there.

        Raises:
            NotPossible: the volume has nothing of the model.
        """
        ...

    def forget_consumers(self, model: ModelId, gone: Iterable[Consumer]) -> None:
        """Remove reports; fine if they are not there."""
        ...

    def find(self, size_bytes: int, etag: str, sha256: str | None, tend: Callable[[], None]) -> Sequence[Held]:
        """Published files of any model that have this size, and this ETag or SHA-256; some may be gone.

        The first call reads all manifests.

        Args:
            size_bytes: of the file.
            etag: of the object.
            sha256: in hex, where it is known.
            tend: called every second or so; what it raises ends the search.
        """
        ...

    def writer(self, model: ModelId) -> AbstractContextManager[Writer]:
        """Become the model's only writer, over all processes and replicas.

        Raises:
            ModelBusy: somebody else is.
        """
        ...

    def reconciled(self) -> Reconciled | None:
        """The record of the last complete comparison."""
        ...

    def record_reconciled(self, found: Reconciled) -> None:
        """Put a complete comparison on record."""
        ...

    def scrubbing(self) -> AbstractContextManager[bool]:
        """Become the only one who scrubs, over all processes and replicas; tell whether that came true."""
        ...

    def scrubbed(self) -> Scrubbed | None:
        """How far the scrub has come."""
        ...

    def record_scrubbed(self, found: Scrubbed) -> None:
        """Put on record how far the scrub has come."""
        ...

    def sweep(self) -> None:
        """Remove temporary names that crashed workers left behind."""
        ...


class Writer(Protocol):
    """The right to change one model on the volume. Used by one thread at a time.

    Raises, from every method:
        VolumeFailed: the file system refused.
    """

    def mend(self) -> None:
        """Make the record say what the link says, after a crash between the two."""
        ...

    def stage(self, revision: Revision) -> Staging:
        """Start or resume a revision; bytes staged for another revision are taken over where they fit."""
        ...

    def publish(self, current: Current, manifest: Manifest) -> None:
        """Switch readers to a sealed revision, durably and at once, and put it on record and into the history.

        A crash leaves the old revision with the old record or, after `mend`, the new one with the new.

        Args:
            current: what the record will say.
            manifest: the sealed revision's.

        Raises:
            Rejected: rule `path-taken`; something that modelsync did not make is in the link's place.
        """
        ...

    def unpublish(self, current: Current) -> None:
        """Take the model's link away from readers, durably and at once, and put that on record; revisions stay.

        Args:
            current: what the record will say.
        """
        ...

    def set_aside(self, damage: Damage) -> None:
        """Put on record that a kept revision must not be used any more, durably; fine if it is not there.

        Nothing of it is moved or removed: readers may have its files open, or its path.
        """
        ...

    def protect(self, revision: Revision, path: RelPath) -> None:
        """Make a kept revision's file read-only again."""
        ...

    def remove(self, held: Holding) -> bool:
        """Remove a directory of a revision: renamed away first, durably, then deleted.

        Args:
            held: the directory, as `Volume.holdings` tells it.

        Returns:
            Whether it is gone. It is not if readers see it, lease it or, on NFS, have files of it open.
        """
        ...

    def forget(self) -> None:
        """Remove the records of a model that has left no revision; the one of what readers saw goes last."""
        ...

    def record(self, current: Current) -> None:
        """Write the record alone."""
        ...

    def quarantine(self, record: Quarantine) -> None:
        """Put a refusal on record, and remove the staged bytes, or keep them apart where that is asked for."""
        ...

    def pardon(self) -> None:
        """Forget all refusals, and the bytes that were kept of them."""
        ...

    def clear_staging(self) -> None:
        """Remove everything in staging."""
        ...
