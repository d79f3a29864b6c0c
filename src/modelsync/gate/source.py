"""Bytes to be judged, wherever they are."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Protocol


class Source(Protocol):
    """A file of a model, read at any offset."""

    @property
    def size_bytes(self) -> int:
        """How long it is."""
        ...

    def read(self, offset: int, count: int) -> bytes:
        """At most `count` bytes from `offset`; fewer only at the end. Negative or later offsets give none."""
        ...

    def hint(self, offset: int, count: int) -> None:
        """Say that these bytes will be read: where they lie on a disk, all that is hinted at comes at once."""
        ...


class BytesSource:
    """Implements `Source` on bytes in memory."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    @property
    def size_bytes(self) -> int:
        """How long it is."""
        return len(self._content)

    def read(self, offset: int, count: int) -> bytes:
        """At most `count` bytes from `offset`."""
        return self._content[offset : offset + max(count, 0)] if offset >= 0 else b""

    def hint(self, offset: int, count: int) -> None:
        """They are there."""


class FileSource:
    """Implements `Source` on an open file."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._size_bytes = os.fstat(descriptor).st_size

    @property
    def size_bytes(self) -> int:
        """How long it is."""
        return self._size_bytes

    def read(self, offset: int, count: int) -> bytes:
        """At most `count` bytes from `offset`.

        Raises:
            OSError: the disk failed.
        """
        found = bytearray()
        while offset >= 0 and len(found) < count:
            chunk = os.pread(self._descriptor, count - len(found), offset + len(found))
            if not chunk:
                break
            found += chunk
        return bytes(found)

    def hint(self, offset: int, count: int) -> None:
        """Have the kernel read them ahead, if it likes."""
        if not 0 <= offset < self._size_bytes:
            return
        with suppress(OSError):
            os.posix_fadvise(self._descriptor, offset, count, os.POSIX_FADV_WILLNEED)
