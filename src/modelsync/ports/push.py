"""What a push needs of the world, beyond the bucket that it reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from modelsync.core.names import ModelId
from modelsync.core.parts import Span
from modelsync.core.status import ModelView
from modelsync.core.upload import LocalFile


class Payload(Protocol):
    """Bytes to upload: gone through once for each attempt, from the first."""

    @property
    def size_bytes(self) -> int:
        """How many they are."""
        ...

    @property
    def crc64nvme(self) -> str:
        """Their CRC64NVME as S3 writes it."""
        ...

    def __iter__(self) -> Iterator[memoryview]:
        """The bytes in order."""
        ...


@dataclass(frozen=True, slots=True)
class UploadedPart:
    """A part that S3 has. `number`: from 1; `crc64nvme`: as S3 writes it."""

    number: int
    etag: str
    crc64nvme: str


class Uploads(Protocol):
    """The right to write objects to a bucket. An object is there when its last call has returned, or not at all.

    Raises, from every method:
        StoreUnavailable, StoreThrottled: try again.
        StoreDenied: credentials or permissions.
        BucketMissing: there is no such bucket.
        Stopped: `close` was called.
        ModelSyncError: what the payload raises.
    """

    def put(self, key: str, payload: Payload) -> str:
        """Upload an object in one request; return its ETag."""
        ...

    def begin(self, key: str) -> str:
        """Begin an upload in parts; return its id. It takes up space until it is completed or aborted."""
        ...

    def put_part(self, key: str, upload_id: str, number: int, payload: Payload) -> UploadedPart:
        """Upload one part, at least 5 MiB but for the last. Once more is fine: the last one counts.

        Raises:
            ObjectChanged: there is no such upload.
        """
        ...

    def complete(
        self, key: str, upload_id: str, parts: Sequence[UploadedPart], *, size_bytes: int, crc64nvme: str
    ) -> str:
        """Make the parts one object of that size and checksum; return its ETag.

        Raises:
            ObjectChanged: there is no such upload, or not any more.
        """
        ...

    def abort(self, key: str, upload_id: str) -> None:
        """Give up an upload in parts; fine if it is not there."""
        ...

    def break_off(self) -> None:
        """Break off the requests under way; further ones may follow."""
        ...

    def close(self) -> None:
        """Break off everything under way, for ever."""
        ...


class Service(Protocol):
    """A running worker, asked from outside.

    Raises, from every method:
        ServiceUnavailable: it cannot be reached, failed, or is something else.
    """

    def model(self, model: ModelId) -> ModelView | None:
        """What the worker says of a model; None if it does not know it."""
        ...

    def models(self) -> Sequence[ModelView]:
        """What the worker says of all models."""
        ...


class Folder(Protocol):
    """A directory of local files.

    Raises, from every method:
        SourceUnreadable: the file system refused.
    """

    @property
    def path(self) -> str:
        """Where it is."""
        ...

    def scan(self) -> Sequence[LocalFile]:
        """Everything in it that is no directory, in order of the paths."""
        ...

    def read(self, file: LocalFile, span: Span) -> Iterator[memoryview]:
        """A span's bytes in order; a block is good until the next is asked for.

        Raises:
            SourceChanged: the file is not there any more, or ends before the span does.
        """
        ...
