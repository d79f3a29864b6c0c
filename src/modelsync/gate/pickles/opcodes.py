"""Reads the opcodes of pickle protocols 0 to 5, in bounded memory.

What opcodes there are, and what follows each, is taken from `pickletools`, which is their documentation; its
reader is not: `genops` reads lines and texts of any length, resolves escapes in names where the unpickler does not,
knows nothing of frames, and fails with whatever its converters raise. Tests hold the two against each other.
"""

from __future__ import annotations

import pickletools
import re
from collections.abc import Callable, Iterator

from modelsync.core.words import size
from modelsync.gate.pickles.values import KEPT_CHARACTERS, BadPickle, Kind, Value
from modelsync.gate.source import Source

MAX_BYTES = 64 << 20
"""A longer pickle is not judged: weights belong behind it, not into it."""

MAX_OPCODES = 500_000
"""One with more is not judged: a checkpoint has some thirty for each tensor."""

_BLOCK_BYTES = 64 << 10
_LINE_BYTES = 1 << 20
_MAX_PROTOCOL = 5
_KEPT_LONG_BYTES = 8
_CUT_OFF = "it is cut off, or claims to be longer than the file"
_PUNCTUATION = {"PROTO", "FRAME", "STOP"}
_INTEGER = re.compile(rb"[+-]?[0-9]{1,1000}L?")
_FLOAT = re.compile(rb"[+-]?(?:[0-9][0-9.eE+-]{0,400}|inf|nan)")
_QUOTED = re.compile(rb"""(['"])(.*)\1""", re.DOTALL)

Argument = Value | tuple[str, str]
"""What follows an opcode; of GLOBAL and INST, module and name."""


class OpcodeReader:
    """Iterates over the opcodes of one pickle, and their arguments, up to its STOP.

    Attributes:
        at: where the opcode begins that was read last.
        end: where the last one ends.
    """

    def __init__(self, source: Source, offset: int, *, max_bytes: int, max_opcodes: int) -> None:
        self.at = offset
        self._start = offset
        self._stream = _Stream(source, offset, max_bytes)
        self._max_opcodes = max_opcodes

    @property
    def end(self) -> int:
        """Where what was read ends."""
        return self._stream.at

    def __iter__(self) -> Iterator[tuple[str, Argument]]:
        """Each opcode's name and argument.

        Raises:
            BadPickle: it is cut off, too long, or written as no pickler does.
            OSError: the source cannot be read.
        """
        stream = self._stream
        frame_end = None
        for _ in range(self._max_opcodes):
            self.at = stream.at
            code = stream.byte()
            if code not in _OPCODES:
                raise BadPickle(f"there is no opcode 0x{code:02x}")
            name, read = _OPCODES[code]
            argument = None if read is None else read(stream)
            if frame_end is None and name not in _PUNCTUATION:
                yield name, argument
                continue
            if name == "PROTO" and (self.at != self._start or argument not in range(_MAX_PROTOCOL + 1)):
                raise BadPickle(f"protocol {argument!r} is declared there")
            if name == "FRAME":
                frame_end = _frame(stream, argument, frame_end)
            elif frame_end is not None and stream.at > frame_end:
                raise BadPickle(f"{name} reaches beyond its frame")
            elif stream.at == frame_end:
                frame_end = None
            if name == "STOP" and frame_end is not None:
                raise BadPickle("its frame goes on behind STOP")
            yield name, argument
            if name == "STOP":
                return
        raise BadPickle(f"it has more than {self._max_opcodes:,} opcodes")


class _Stream:
    """Takes bytes from a source, one block at a time. No block reaches beyond what may be read."""

    def __init__(self, source: Source, offset: int, max_bytes: int) -> None:
        self.end = source.size_bytes
        self._source = source
        self._max_bytes = max_bytes
        self._limit = offset + max_bytes
        self._start = offset  # of the block
        self._block = b""
        self._here = 0  # within it, or behind it where something was passed over

    @property
    def at(self) -> int:
        """The place."""
        return self._start + self._here

    def byte(self) -> int:
        """The next byte."""
        here = self._here
        if here >= len(self._block):
            return self.take(1)[0]
        self._here = here + 1
        return self._block[here]

    def take(self, count: int) -> bytes:
        """The next bytes, some at most: they are kept."""
        here = self._here
        behind = here + count
        if behind > len(self._block):
            self._need(count)
            self._fill(_BLOCK_BYTES)
            here, behind = 0, count
            if count > len(self._block):
                raise BadPickle(_CUT_OFF)
        self._here = behind
        return self._block[here:behind]

    def skip(self, count: int) -> None:
        """Pass over any number of bytes without reading them."""
        self._need(count)
        self._here += count

    def number(self, width: int) -> int:
        """The next bytes as an unsigned number."""
        return int.from_bytes(self.take(width), "little")

    def line(self) -> bytes:
        """What comes before the next newline, which is passed over."""
        stop = self._block.find(b"\n", self._here)
        if stop < 0:
            self._fill(_LINE_BYTES)
            stop = self._block.find(b"\n")
        if stop < 0:
            if self.at + len(self._block) == self._limit < self.end:
                raise self._too_long()
            raise BadPickle("a line does not end")
        here, self._here = self._here, stop + 1
        return self._block[here:stop]

    def _fill(self, count: int) -> None:
        self._start, self._here = self.at, 0
        self._block = self._source.read(self._start, min(count, self._limit - self._start))

    def _need(self, count: int) -> None:
        if self.at + count > self.end:
            raise BadPickle(_CUT_OFF)
        if self.at + count > self._limit:
            raise self._too_long()

    def _too_long(self) -> BadPickle:
        return BadPickle(f"it is longer than {size(self._max_bytes)}")


def _frame(stream: _Stream, length: Argument, open_end: int | None) -> int:
    """Where a frame ends that begins here."""
    if open_end is not None:
        raise BadPickle("a frame begins within another")
    if not isinstance(length, int) or not 0 < length <= stream.end - stream.at:
        raise BadPickle("a frame claims to be longer than what is left, or empty")
    return stream.at + length


def _text(width: int) -> Callable[[_Stream], Value]:
    def read(stream: _Stream) -> Value:
        length = stream.number(width)
        if length > KEPT_CHARACTERS:
            stream.skip(length)
            return Kind.TEXT
        try:
            return stream.take(length).decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            raise BadPickle("a text is not in UTF-8") from None

    return read


def _old_text(width: int) -> Callable[[_Stream], Value]:
    def read(stream: _Stream) -> Value:
        length = stream.number(width)
        if length <= KEPT_CHARACTERS:
            return stream.take(length)
        stream.skip(length)
        return Kind.TEXT

    return read


def _counted(width: int, kind: Kind) -> Callable[[_Stream], Value]:
    def read(stream: _Stream) -> Value:
        stream.skip(stream.number(width))
        return kind

    return read


def _unsigned(width: int) -> Callable[[_Stream], Value]:
    if width == 1:
        return _Stream.byte
    return lambda stream: int.from_bytes(stream.take(width), "little")  # as number(), without a call


def _signed(stream: _Stream) -> Value:
    return int.from_bytes(stream.take(4), "little", signed=True)


def _float(stream: _Stream) -> Value:
    stream.skip(8)
    return Kind.NUMBER


def _long(width: int) -> Callable[[_Stream], Value]:
    def read(stream: _Stream) -> Value:
        length = stream.number(width)
        if length <= _KEPT_LONG_BYTES:
            return int.from_bytes(stream.take(length), "little", signed=True)
        stream.skip(length)
        return Kind.NUMBER

    return read


def _integer_line(stream: _Stream) -> Value:
    line = stream.line()
    if line in {b"00", b"01"}:
        return line == b"01"
    if not _INTEGER.fullmatch(line):
        raise BadPickle("a number is written as no pickler does")
    return int(line.removesuffix(b"L"))


def _float_line(stream: _Stream) -> Value:
    if not _FLOAT.fullmatch(stream.line()):
        raise BadPickle("a number is written as no pickler does")
    return Kind.NUMBER


def _quoted_line(stream: _Stream) -> Value:
    """A text of Python 2 as its `repr`; one with an escape is no name."""
    found = _QUOTED.fullmatch(stream.line())
    if not found:
        raise BadPickle("a text is not quoted")
    return found[2] if len(found[2]) <= KEPT_CHARACTERS and b"\\" not in found[2] else Kind.TEXT


def _text_line(stream: _Stream) -> Value:
    """A text in raw-unicode-escape; one with an escape is no name."""
    line = stream.line()
    return line.decode() if len(line) <= KEPT_CHARACTERS and line.isascii() and b"\\" not in line else Kind.TEXT


def _line(stream: _Stream) -> Value:
    stream.line()
    return Kind.TEXT


def _two_lines(stream: _Stream) -> tuple[str, str]:
    return _name_line(stream), _name_line(stream)


def _name_line(stream: _Stream) -> str:
    """A part of a name; what is not UTF-8 is the name of nothing."""
    return stream.line().decode("utf-8", "backslashreplace")


_READERS: dict[str, Callable[[_Stream], Argument]] = {
    "uint1": _unsigned(1),
    "uint2": _unsigned(2),
    "uint4": _unsigned(4),
    "uint8": _unsigned(8),
    "int4": _signed,
    "float8": _float,
    "long1": _long(1),
    "long4": _long(4),
    "string1": _old_text(1),
    "string4": _old_text(4),
    "bytes1": _counted(1, Kind.BYTES),
    "bytes4": _counted(4, Kind.BYTES),
    "bytes8": _counted(8, Kind.BYTES),
    "bytearray8": _counted(8, Kind.BYTES),
    "unicodestring1": _text(1),
    "unicodestring4": _text(4),
    "unicodestring8": _text(8),
    "decimalnl_short": _integer_line,
    "decimalnl_long": _integer_line,
    "floatnl": _float_line,
    "stringnl": _quoted_line,
    "stringnl_noescape": _line,
    "stringnl_noescape_pair": _two_lines,
    "unicodestringnl": _text_line,
}
"""How what follows an opcode is read, by the name that `pickletools` has for its form."""

_OPCODES: dict[int, tuple[str, Callable[[_Stream], Argument] | None]] = {
    ord(opcode.code): (opcode.name, _READERS[opcode.arg.name] if opcode.arg else None)
    for opcode in pickletools.opcodes
    if opcode.proto <= _MAX_PROTOCOL
}
