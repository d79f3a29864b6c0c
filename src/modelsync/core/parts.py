"""How an object is cut into ranges that are fetched, or parts that are uploaded, side by side."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20
WHOLE_BYTES = 16 * MIB
"""Objects up to this size are fetched by one GET, whose answer brings the checksum along, and uploaded by one PUT."""
MAX_PARTS = 10_000
"""S3 takes no more parts of an upload."""


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Bytes `start` up to, not including, `end`."""

    start: int
    end: int

    @property
    def size_bytes(self) -> int:
        """Number of bytes."""
        return self.end - self.start


def part_size_bytes(size_bytes: int) -> int:
    """Choose the part size of an object: some 64 parts, of 16 to 64 MiB, and more only if there were too many.

    Small enough that little is fetched again after a crash and that the last parts end together,
    large enough that requests cost nothing beside their bytes.
    """
    per_part = -(-size_bytes // (64 * MIB)) * MIB
    return max(min(max(per_part, 16 * MIB), 64 * MIB), -(-size_bytes // (MAX_PARTS * MIB)) * MIB)


def split(size_bytes: int) -> tuple[Span, ...]:
    """Cut an object into spans; an empty object is one empty span."""
    if size_bytes <= WHOLE_BYTES:
        return (Span(0, size_bytes),)
    step = part_size_bytes(size_bytes)
    return tuple(Span(start, min(start + step, size_bytes)) for start in range(0, size_bytes, step))
