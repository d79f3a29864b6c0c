"""The wire format of Protocol Buffers, read field by field: what is skipped is never in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from modelsync.errors import Rejected
from modelsync.gate.source import Source
from modelsync.gate.window import Buffered

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

_KINDS = {VARINT: "a varint", FIXED64: "64 bits", BYTES: "bytes", FIXED32: "32 bits"}
_WIDTHS = {FIXED64: 8, FIXED32: 4}
_LONGEST_VARINT = 10
_MAX_VALUE = (1 << 64) - 1


@dataclass(slots=True)
class Field:
    """One field: its value lies from `start` to `end`; `value` is it, if it is a varint."""

    number: int
    wire: int
    value: int
    start: int
    end: int


class Wire:
    """A message that is being read.

    Args:
        source: what is read.
        rule: of what is raised.
        max_fields: read in all.
    """

    def __init__(self, source: Source, *, rule: str, max_fields: int) -> None:
        self._source = Buffered(source)
        self._rule = rule
        self._left = max_fields

    def fields(self, start: int, end: int) -> Iterator[Field]:
        """The fields of the message between two offsets.

        Raises:
            Rejected: it is not well-formed, or has more fields than allowed.
        """
        at = start
        while at < end:
            self._left -= 1
            if self._left < 0:
                raise self.bad("it has too many fields", at)
            field = self._field(at, end)
            yield field
            at = field.end

    def text(self, field: Field, max_bytes: int) -> str:
        """A string.

        Raises:
            Rejected: it is none, too long, or not UTF-8.
        """
        data = self.bytes(field, max_bytes)
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise self.bad("a string is not UTF-8", field.start) from error

    def bytes(self, field: Field, max_bytes: int) -> bytes:
        """The bytes of a field.

        Raises:
            Rejected: it has none, or too many.
        """
        self.expect(field, BYTES)
        if field.end - field.start > max_bytes:
            raise self.bad(f"field {field.number} has {field.end - field.start:,} bytes", field.start)
        return self._source.read(field.start, field.end - field.start)

    def numbers(self, field: Field, max_count: int) -> list[int]:
        """The numbers of a repeated integer field, packed or not; signed, of 64 bits.

        Raises:
            Rejected: it holds something else, or too many.
        """
        if field.wire == VARINT:
            return [signed(field.value)]
        self.expect(field, BYTES)
        found: list[int] = []
        at = field.start
        while at < field.end:
            if len(found) == max_count:
                raise self.bad(f"field {field.number} has more than {max_count:,} numbers", at)
            value, at = self._varint(at, field.end)
            found.append(signed(value))
        return found

    def expect(self, field: Field, wire: int) -> None:
        """Hold a field to a wire type.

        Raises:
            Rejected: it is of another.
        """
        if field.wire != wire:
            raise self.bad(f"field {field.number} is {_KINDS[field.wire]}, not {_KINDS[wire]}", field.start)

    def bad(self, why: str, at: int) -> Rejected:
        """What to raise about a place."""
        return Rejected(self._rule, f"the file is no well-formed {self._rule} model: {why}, at byte {at:,}")

    def _field(self, at: int, end: int) -> Field:
        key, start = self._varint(at, end)
        number, wire = key >> 3, key & 7
        if not 0 < number < 1 << 29 or wire not in _KINDS:
            raise self.bad(f"it has a field {number} of wire type {wire}", at)
        if wire == VARINT:
            value, after = self._varint(start, end)
            return Field(number, wire, value, start, after)
        if wire == BYTES:
            length, start = self._varint(start, end)
        else:
            length = _WIDTHS[wire]
        if length > end - start:
            raise self.bad(f"field {number} has {length:,} bytes, but only {end - start:,} are left", at)
        return Field(number, wire, 0, start, start + length)

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        """A varint, and where it ends."""
        data = self._source.read(at, min(_LONGEST_VARINT, end - at))
        value = 0
        for index, byte in enumerate(data):
            value |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                if value > _MAX_VALUE:
                    break
                return value, at + index + 1
        raise self.bad("a number is cut off or too large", at)


def signed(value: int) -> int:
    """A varint as an `int64`.

    Examples:
        >>> signed((1 << 64) - 1)
        -1
    """
    return value - (1 << 64) if value >> 63 else value
