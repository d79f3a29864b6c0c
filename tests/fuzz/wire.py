"""A connection that has an answer ready."""

from __future__ import annotations

from modelsync.adapters.s3.http1 import Connection, Timeouts


class Wire(Connection):
    """Gives an answer in packets of a size, then its end."""

    def __init__(self, data: bytes, packet_bytes: int) -> None:
        """Connect to nothing."""
        self._data = memoryview(data)
        self._packet_bytes = packet_bytes
        self.scratch = memoryview(bytearray(32 << 10))
        self.timeouts = Timeouts()

    def receive(self, buffer: memoryview, *, fill: bool = False) -> int:
        """Give some bytes, or with `fill` as many as fit."""
        piece = self._data[: len(buffer) if fill else min(len(buffer), self._packet_bytes)]
        buffer[: len(piece)] = piece
        self._data = self._data[len(piece) :]
        return len(piece)
