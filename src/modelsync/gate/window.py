"""A part of a source, and reading a source in small pieces."""

from __future__ import annotations

from modelsync.gate.source import Source

_BLOCK_BYTES = 64 << 10


class Window:
    """Implements `Source` on a part of another one."""

    def __init__(self, source: Source, start: int, size_bytes: int) -> None:
        self._source = source
        self._start = start
        self._size_bytes = size_bytes

    @property
    def size_bytes(self) -> int:
        """How long it is."""
        return self._size_bytes

    def read(self, offset: int, count: int) -> bytes:
        """At most `count` bytes from `offset`, none from outside the part."""
        if offset < 0:
            return b""
        return self._source.read(self._start + offset, max(min(count, self._size_bytes - offset), 0))

    def hint(self, offset: int, count: int) -> None:
        """Say so of the source."""
        self._source.hint(self._start + offset, count)


class Buffered:
    """Implements `Source` on another one that is read a block at a time: for parsers that go byte by byte."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._start = 0
        self._block = b""
        self.size_bytes = source.size_bytes

    def read(self, offset: int, count: int) -> bytes:
        """At most `count` bytes from `offset`."""
        at = offset - self._start
        if at < 0 or at + count > len(self._block):
            if count > _BLOCK_BYTES:
                return self._source.read(offset, count)
            self._start, at = offset, 0
            self._block = self._source.read(offset, _BLOCK_BYTES)
        return self._block[at : at + max(count, 0)]

    def hint(self, offset: int, count: int) -> None:
        """Say so of the source."""
        self._source.hint(offset, count)
