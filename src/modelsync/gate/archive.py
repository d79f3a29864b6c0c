"""Zip archives, by rules under which all readers see the same files in them.

Readers differ in where they look: some trust the directory at the end, some the headers before each file, some take
whatever they find. So both must agree, and together they must account for every byte.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from modelsync.core.names import clash, unsafe
from modelsync.core.words import quoted
from modelsync.errors import Rejected
from modelsync.gate.source import Source
from modelsync.gate.window import Window

STORED, DEFLATED = 0, 8
SIGNATURE = b"PK\x03\x04"

_MAX_ENTRIES = 20_000
_MAX_DIRECTORY_BYTES = 4 << 20
_MAX_NAME_BYTES = 512
_CHUNK_BYTES = 256 << 10
_WHOLLY_BYTES = 64 << 20  # an archive of so many bytes is read to its end
_PARTLY_BYTES = 4 << 20  # so many of a larger one; S3's checksum covers what was uploaded
_FLAGS = 0x0808  # sizes behind the data; names in UTF-8. All others: encryption, patches
_BEHIND, _UTF8 = 0x0008, 0x0800
_FULL_16, _FULL_32 = 0xFFFF, 0xFFFFFFFF
_ZIP64 = 1
_OTHER_NAME = 0x7075  # a name in Unicode, which some readers take and others do not
_HEADER_BYTES = 256  # of name and extra fields, as a rule: torch pads to 64

_END = struct.Struct("<4s4H2LH")
_LOCATOR = struct.Struct("<4sLQL")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LISTED = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_BEHIND_32 = struct.Struct("<4s3L")
_BEHIND_64 = struct.Struct("<4sL2Q")


class Entry(NamedTuple):
    """A file in an archive: `stored_bytes` at `start`, `size_bytes` once they are inflated."""

    name: str
    method: int
    flags: int
    crc32: int
    stored_bytes: int
    size_bytes: int
    header: int
    start: int = 0


class Archive:
    """A zip archive that is read under a rule's name.

    Args:
        source: the archive.
        rule: of what is raised.
    """

    def __init__(self, source: Source, rule: str) -> None:
        self._source = source
        self._rule = rule

    def entries(self) -> list[Entry]:
        """All files, in the order of their bytes.

        Raises:
            Rejected: it is no zip archive, a name is unsafe or stands twice, headers disagree, or there are bytes
                that belong to no file.
        """
        count, start, end = self._end()
        listed = sorted(self._listed(self._source.read(start, end - start), count), key=lambda entry: entry.header)
        names = [entry.name for entry in listed]
        if len(set(names)) < len(names):
            raise self.bad("it has a name twice")
        if (reason := clash(names)) is not None:
            raise self.bad(reason)
        for entry in listed:
            self._source.hint(entry.header, _LOCAL.size + _HEADER_BYTES)
        found: list[Entry] = []
        at = 0
        for index, entry in enumerate(listed):
            if entry.header != at:
                raise self.bad(
                    f"{quoted(entry.name)} begins at byte {entry.header:,}, what is before it ends at {at:,}"
                )
            following = listed[index + 1].header if index + 1 < len(listed) else start
            placed = self._local(entry)
            found.append(placed)
            at = self._after(placed, following)
        if at != start:
            raise self.bad(f"its directory begins at byte {start:,}, its files end at {at:,}")
        return found

    def content(self, entry: Entry, max_bytes: int) -> Iterator[bytes]:
        """A file's content in pieces.

        Raises:
            Rejected: it has more than `max_bytes`, or not the size or CRC that the directory says.
        """
        if entry.size_bytes > max_bytes:
            raise self.bad(f"{quoted(entry.name)} has {entry.size_bytes:,} bytes, more than {max_bytes:,}")
        size = crc = 0
        for piece in self._inflated(entry) if entry.method == DEFLATED else self._plain(entry):
            size += len(piece)
            if size > entry.size_bytes:
                break
            crc = zlib.crc32(piece, crc)
            yield piece
        if size != entry.size_bytes:
            raise self.bad(f"{quoted(entry.name)} does not have the {entry.size_bytes:,} bytes that the directory says")
        if entry.crc32 not in {crc, 0}:  # 0: torch does not compute it if it is told so
            raise self.bad(f"{quoted(entry.name)} has the CRC {crc:08x}, the directory says {entry.crc32:08x}")

    def verify(self, entries: Iterable[Entry]) -> None:
        """Compare CRCs: all of a small archive's, and of a large one's as many as a bound allows, the smallest first.

        Raises:
            Rejected: one is wrong.
        """
        left = _WHOLLY_BYTES if self._source.size_bytes <= _WHOLLY_BYTES else _PARTLY_BYTES
        for entry in sorted(entries, key=lambda entry: entry.size_bytes):
            left -= entry.size_bytes
            if left < 0:
                break
            for _ in self.content(entry, _WHOLLY_BYTES):
                pass

    def window(self, entry: Entry) -> Window:
        """The bytes of a stored file."""
        return Window(self._source, entry.start, entry.stored_bytes)

    def bad(self, why: str) -> Rejected:
        """What to raise."""
        return Rejected(self._rule, f"the zip archive cannot be used: {why}")

    def _plain(self, entry: Entry) -> Iterator[bytes]:
        for at in range(0, entry.stored_bytes, _CHUNK_BYTES):
            yield self._source.read(entry.start + at, min(_CHUNK_BYTES, entry.stored_bytes - at))

    def _inflated(self, entry: Entry) -> Iterator[bytes]:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            for packed in self._plain(entry):
                left = packed
                while left:
                    yield inflater.decompress(left, _CHUNK_BYTES)
                    left = inflater.unconsumed_tail
            while not inflater.eof and (piece := inflater.decompress(b"", _CHUNK_BYTES)):
                yield piece
        except zlib.error as error:
            raise self.bad(f"{quoted(entry.name)} cannot be inflated") from error
        if not inflater.eof or inflater.unused_data:
            raise self.bad(f"{quoted(entry.name)} breaks off, or has bytes behind its end")

    def _end(self) -> tuple[int, int, int]:
        """How many files the directory has, and where it begins and ends."""
        size = self._source.size_bytes
        tail = self._source.read(max(size - _END.size, 0), _END.size)
        if len(tail) < _END.size or tail[:4] != b"PK\x05\x06" or tail[-2:] != b"\0\0":
            raise self.bad("its last bytes are not the end of a directory: it is cut off, or has something behind it")
        _, disk, first, here, count, length, start, _ = _END.unpack(tail)
        end = size - _END.size
        if disk or first or here != count:
            raise self.bad("it is one of several parts")
        locator = self._source.read(end - _LOCATOR.size, _LOCATOR.size) if end >= _LOCATOR.size else b""
        if locator[:4] == b"PK\x06\x07":
            end, (count, length, start) = self._end_64(locator, end - _LOCATOR.size, (count, length, start))
        if count > _MAX_ENTRIES or length > _MAX_DIRECTORY_BYTES:
            raise self.bad(f"its directory lists {count:,} files in {length:,} bytes")
        if start + length != end:
            raise self.bad(f"its directory ends at byte {start + length:,}, not at {end:,}")
        return count, start, end

    def _end_64(self, locator: bytes, end: int, told: tuple[int, int, int]) -> tuple[int, tuple[int, int, int]]:
        _, disk, at, disks = _LOCATOR.unpack(locator)
        record = self._source.read(at, _END_64.size)
        if disk or disks != 1 or at + _END_64.size != end or record[:4] != b"PK\x06\x06":
            raise self.bad("the two ends of its directory disagree")
        _, length, _, _, disk, first, here, count, size, start = _END_64.unpack(record)
        full = (_FULL_16, _FULL_32, _FULL_32)
        agrees = all(old in {new, limit} for old, new, limit in zip(told, (count, size, start), full, strict=True))
        if length != _END_64.size - 12 or disk or first or here != count or not agrees:
            raise self.bad("the two ends of its directory disagree")
        return at, (count, size, start)

    def _listed(self, directory: bytes, count: int) -> Iterator[Entry]:
        at = 0
        for _ in range(count):
            if len(directory) - at < _LISTED.size or directory[at : at + 4] != b"PK\x01\x02":
                raise self.bad(f"its directory does not list {count:,} files")
            fields = _LISTED.unpack_from(directory, at)
            _, _, _, flags, method, _, _, crc32, stored, size, name, extra, comment, disk, _, _, header = fields
            at += _LISTED.size
            title = self._name(directory[at : at + name], flags)
            more = directory[at + name : at + name + extra]
            at += name + extra
            if len(more) != extra or comment or disk:
                raise self.bad(f"{quoted(title)} has a comment, is on another disk or is cut off")
            if flags & ~_FLAGS or method not in {STORED, DEFLATED}:
                raise self.bad(f"{quoted(title)} is encrypted or compressed by a method that is not looked into")
            size, stored, header = self._wide(title, more, (size, stored, header))
            if method == STORED and stored != size:
                raise self.bad(f"{quoted(title)} is stored in {stored:,} bytes but has {size:,}")
            yield Entry(title, method, flags, crc32, stored, size, header)
        if at != len(directory):
            raise self.bad(f"its directory lists more than {count:,} files")

    def _name(self, name: bytes, flags: int) -> str:
        try:
            title = name.decode("utf-8" if flags & _UTF8 else "ascii")
        except UnicodeDecodeError as error:
            raise self.bad("a name in it is not UTF-8") from error
        if len(name) > _MAX_NAME_BYTES:
            raise self.bad(f"it has a name of {len(name):,} bytes")
        if "\\" in title or (reason := unsafe(title)) is not None:
            raise self.bad(f"the name {quoted(title)} cannot be used" + ("" if "\\" in title else f": {reason}"))
        return title

    def _wide(self, name: str, extra: bytes, values: tuple[int, ...]) -> list[int]:
        """Values of 32 bits, those that are too large taken from the extra field for zip64."""
        wide: bytes | None = None
        while extra:
            if len(extra) < 4 or len(extra) < 4 + (length := int.from_bytes(extra[2:4], "little")):
                raise self.bad(f"{quoted(name)} has an extra field that is cut off")
            kind = int.from_bytes(extra[:2], "little")
            if kind == _OTHER_NAME:
                raise self.bad(f"{quoted(name)} has a second name")
            if kind == _ZIP64:
                if wide is not None:
                    raise self.bad(f"{quoted(name)} has two sizes")
                wide = extra[4 : 4 + length]
            extra = extra[4 + length :]
        found: list[int] = []
        for value in values:
            if value == _FULL_32 and wide is not None:
                if len(wide) < 8:
                    raise self.bad(f"{quoted(name)} has no size")
                value, wide = int.from_bytes(wide[:8], "little"), wide[8:]  # noqa: PLW2901 - the wide one stands for it
            found.append(value)
        return found

    def _local(self, entry: Entry) -> Entry:
        """The entry with the start of its data, once its own header agrees."""
        head = self._source.read(entry.header, _LOCAL.size + _HEADER_BYTES)
        if len(head) < _LOCAL.size or head[:4] != SIGNATURE:
            raise self.bad(f"{quoted(entry.name)} has no header at byte {entry.header:,}")
        _, _, flags, method, _, _, crc32, stored, size, name, extra = _LOCAL.unpack_from(head)
        more = head[_LOCAL.size : _LOCAL.size + name + extra]
        if name + extra > _HEADER_BYTES:
            more = self._source.read(entry.header + _LOCAL.size, name + extra)
        size, stored = self._wide(entry.name, more[name:], (size, stored))
        told, own = (entry.crc32, entry.stored_bytes, entry.size_bytes), (crc32, stored, size)
        behind = flags & _BEHIND and all(old in {0, new} for old, new in zip(own, told, strict=True))
        same = flags == entry.flags and method == entry.method and self._name(more[:name], flags) == entry.name
        if not same or not (behind or own == told):
            raise self.bad(f"the header of {quoted(entry.name)} and the directory disagree")
        start = entry.header + _LOCAL.size + name + extra
        return entry._replace(start=start)

    def _after(self, entry: Entry, following: int) -> int:
        """Where an entry ends: behind its data, or behind the sizes that follow them."""
        end = entry.start + entry.stored_bytes
        if not entry.flags & _BEHIND:
            return end
        for form in (_BEHIND_32, _BEHIND_64):
            if end + form.size == following:
                signature, *told = form.unpack(self._source.read(end, form.size).ljust(form.size, b"\0"))
                if signature == b"PK\x07\x08" and told == [entry.crc32, entry.stored_bytes, entry.size_bytes]:
                    return following
        raise self.bad(f"the sizes behind {quoted(entry.name)} and the directory disagree")
