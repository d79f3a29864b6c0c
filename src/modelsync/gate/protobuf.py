"""The wire format of Protocol Buffers, read field by field: what is skipped is never in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from modelsync.errors import Rejected
from modelsync.gate.source import Source
from modelsync.gate.window import Buffered

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

_KINDS = {VARINT: "a varint", FIXED64: "64 bits", BYTES: "bytes", FIXED32: "32 bits"}
_WIDTHS = {FIXED64: 8, FIXED32: 4}
_LONGEST_VARINT = 10
_MAX_VALUE = (1 << 64) - 1
_BLOCK_BYTES = 64 << 10


class Field(NamedTuple):
    """One field: its value lies from `start` to `end`; `value` is it, if it is a varint."""

    number: int
    wire: int
    value: int
    start: int
    end: int


_new = tuple.__new__  # of a NamedTuple at half the cost


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
            block = self._source.read(at, min(_BLOCK_BYTES, end - at))
            size = len(block)
            # A field whose head may not be whole in this block is left to the next one.
            stop = size if at + size >= end else size - 2 * _LONGEST_VARINT
            here = 0
            while here < stop:
                self._left -= 1
                if self._left < 0:
                    raise self.bad("it has too many fields", at + here)
                # Most fields are a head of two bytes and something short. The others, and bad ones, go the long way.
                key, length = block[here], block[here + 1] if here + 1 < size else 0x80
                behind = at + here + 2 + length
                if key & 0x87 == BYTES != key and length < 0x80 and behind <= end:
                    field = _new(Field, (key >> 3, BYTES, 0, at + here + 2, behind))
                else:
                    field = self._field(block, here, at, end)
                yield field
                here = field.end - at
            if not here:
                raise self.bad("it is cut off", at)
            at += here

    def whole(self, start: int, end: int) -> bytes:
        """A short message as it is."""
        return self._source.read(start, end - start)

    def spend(self, fields: int, at: int) -> None:
        """Count fields that somebody else has read.

        Raises:
            Rejected: they are too many.
        """
        self._left -= fields
        if self._left < 0:
            raise self.bad("it has too many fields", at)

    def text(self, field: Field, max_bytes: int) -> str:
        """A string.

        Raises:
            Rejected: it is none, too long, or not UTF-8.
        """
        data = self.content(field, max_bytes)
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise self.bad("a string is not UTF-8", field.start) from error

    def content(self, field: Field, max_bytes: int) -> bytes:
        """The bytes of a field.

        Raises:
            Rejected: it has none, or too many.
        """
        if field.wire != BYTES:
            self.expect(field, BYTES)
        size = field.end - field.start
        if size > max_bytes:
            raise self.bad(f"field {field.number} has {size:,} bytes", field.start)
        return self._source.read(field.start, size)

    def numbers(self, field: Field, max_count: int) -> list[int]:
        """The numbers of a repeated integer field, packed or not; signed, of 64 bits.

        Raises:
            Rejected: it holds something else, or too many.
        """
        if field.wire == VARINT:
            return [signed(field.value)]
        self.expect(field, BYTES)
        data = self._source.read(field.start, min(field.end - field.start, (max_count + 1) * _LONGEST_VARINT))
        found: list[int] = []
        at = 0
        while at < len(data):
            if len(found) == max_count:
                raise self.bad(f"field {field.number} has more than {max_count:,} numbers", field.start + at)
            value, at = self._varint(data, at, field.start)
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

    def _field(self, block: bytes, here: int, base: int, end: int) -> Field:
        """The field at a place in a block that begins at offset `base`, of a message that ends at `end`."""
        key, at = self._varint(block, here, base)
        number, wire = key >> 3, key & 7
        if not 0 < number < 1 << 29 or wire not in _KINDS:
            raise self.bad(f"it has a field {number} of wire type {wire}", base + here)
        if wire == VARINT:
            value, at = self._varint(block, at, base)
            return Field(number, wire, value, base + here, base + at)
        if wire == BYTES:
            length, at = self._varint(block, at, base)
        else:
            length = _WIDTHS[wire]
        start = base + at
        if length > end - start:
            raise self.bad(f"field {number} has {length:,} bytes, but only {end - start:,} are left", base + here)
        return Field(number, wire, 0, start, start + length)

    def _varint(self, data: bytes, at: int, base: int) -> tuple[int, int]:
        """A varint at a place in bytes that begin at offset `base`, and the place where it ends."""
        value = 0
        for index, byte in enumerate(data[at : at + _LONGEST_VARINT]):
            value |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                if value > _MAX_VALUE:
                    break
                return value, at + index + 1
        raise self.bad("a number is cut off or too large", base + at)


def short_pair(data: bytes) -> tuple[bytes, bytes] | None:
    """A whole message that is fields 1 and 2, bytes shorter than 128 each, in this order; None: it is another."""
    middle = 2 + data[1] if len(data) > 3 else 0
    if not middle or data[0] != BYTES | 1 << 3 or data[1] >= 0x80 or middle + 1 >= len(data):
        return None
    if data[middle] != BYTES | 2 << 3 or data[middle + 1] >= 0x80 or middle + 2 + data[middle + 1] != len(data):
        return None
    return data[2:middle], data[middle + 2 :]


def signed(value: int) -> int:
    """A varint as an `int64`.

    Examples:
        >>> signed((1 << 64) - 1)
        -1
    """
    return value - (1 << 64) if value >> 63 else value
