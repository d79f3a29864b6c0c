"""A revision that is being put together on the volume."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from modelsync.core.manifest import (
    FileRecord,
    Manifest,
)
from modelsync.core.names import ModelId, RelPath
from modelsync.core.objects import Revision
from modelsync.core.parts import Span


@dataclass(frozen=True, slots=True)
class Part:
    """A span of a staged file that was received whole, with the CRC64NVME of its bytes."""

    span: Span
    crc64nvme: int


class StagedFile(Protocol):
    """A file that is being put together in staging. Spans may be written from several threads.

    Raises, from every method:
        VolumeFailed: the file system refused.
    """

    def recorded(self) -> Sequence[Part]:
        """Parts that an earlier attempt put on record: they count if the bytes there still have their checksums."""
        ...

    def write(self, offset: int, data: memoryview, *, passing: bool = False) -> None:
        """Write bytes at an offset; `passing`: nobody reads them again, whatever `keep_at_hand` said."""
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

    def let_go(self, span: Span) -> None:
        """Take note that a span's bytes were read, and are not again."""
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

    def begun(self, path: RelPath, etag: str) -> bool:
        """Whether parts of this content of a file are on record."""
        ...

    def put(self, path: RelPath, etag: str, data: memoryview, crc64nvme: int) -> None:
        """Write a small file whole, read-only, and put that on record; it is durable at the latest when `seal` ends.

        Any number of threads may.
        """
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
