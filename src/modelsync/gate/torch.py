"""What `torch.save` writes: a zip archive since PyTorch 1.6, a row of pickles with storages behind them before.

Both hold pickles, which `scan` judges. Here they are found, and what is around them is held to the format.
"""

from __future__ import annotations

import pickletools
import re
from typing import Protocol

from modelsync.core.words import counted, quoted
from modelsync.errors import Rejected
from modelsync.gate.archive import STORED, Archive, Entry
from modelsync.gate.source import BytesSource, Source
from modelsync.gate.window import Window

LEGACY_MAGIC = (0x1950A86A20F9469CFC6C).to_bytes(10, "little")
"""In the first pickle of the older format."""

_CHECKED_BYTES = 1 << 20  # a larger storage's CRC is left to S3's checksum
_CHECKED_IN_ALL_BYTES = 64 << 20
_PICKLE_BYTES = 64 << 20
_RECORD_BYTES = 1024
_INFLATED_BYTES = 16 << 20

# What torch.save puts below the archive's one directory. All else is code: TorchScript or torch.package.
_STORAGE = re.compile(r"data/[0-9]{1,9}")
_RECORD = re.compile(r"version|byteorder|\.[a-z_]{1,40}|\.data/(?!extern_modules)[a-z_]{1,40}")
_PACKAGE = ".data/extern_modules"

_TEXTS = {"UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"}
_ELEMENT_BYTES = (1, 2, 4, 8, 16)
_MAX_STORAGES = 50_000
_MAX_GUESSES = 64


class ScanPickle(Protocol):
    """Judges the pickle that a source begins with."""

    def __call__(self, source: Source, *, where: str) -> int:
        """Where the pickle ends.

        Raises:
            Rejected: rule `pickle`.
        """
        ...


def check_torch_zip(source: Source, scan: ScanPickle, *, allow_code: bool) -> None:
    """Hold a zip archive to what `torch.save` writes, and give its pickles to `scan`.

    Args:
        source: the file.
        scan: judges pickles.
        allow_code: whether TorchScript and torch.package, which are programs, may pass.

    Raises:
        Rejected: rule `torch`, or what `scan` raises.
    """
    archive = Archive(source, "torch")
    entries = _by_place(archive)
    if "data.pkl" not in entries and _PACKAGE not in entries:
        raise _bad("it has no data.pkl where torch.load looks for it")
    if "version" not in entries and ".data/version" not in entries:
        raise _bad("it has no version")
    checked = 0
    for place, entry in entries.items():
        if not (place == "data.pkl" or _STORAGE.fullmatch(place) or _RECORD.fullmatch(place)):
            _code(entry, allow_code=allow_code)
        elif entry.method != STORED:
            raise _bad(f"{quoted(entry.name)} is compressed, which torch.save does not do")
        if _RECORD.fullmatch(place) and entry.size_bytes > _RECORD_BYTES:
            raise _bad(f"{quoted(entry.name)} has {entry.size_bytes:,} bytes")
        if place.endswith(".pkl"):
            _scan(archive, entry, scan)
        elif entry.size_bytes <= _CHECKED_BYTES and checked + entry.size_bytes <= _CHECKED_IN_ALL_BYTES:
            checked += entry.size_bytes
            for _ in archive.content(entry, _CHECKED_BYTES):
                pass


def check_torch_legacy(source: Source, scan: ScanPickle) -> None:
    """Hold a file to the older format of `torch.save`, and give its pickles to `scan`.

    They are: a magic number, the version, facts on the machine, the object, and the storages' keys. The storages
    behind them are each a number of elements and these. How large an element is stands in the object alone, so some
    choice of the possible sizes must make the storages end where the file does.

    Raises:
        Rejected: rule `torch`, or what `scan` raises.
    """
    at = start = 0
    for what in ("magic number", "version", "machine", "object", "list of storages"):
        start = at
        at += scan(Window(source, at, source.size_bytes - at), where=f"the {what}")
    left = _keys(source.read(start, min(at - start, _PICKLE_BYTES)))
    ends = {at}
    for index in range(left):
        ends = {end for each in ends for end in _storage_ends(source, each)}
        if not ends or len(ends) > _MAX_GUESSES:
            raise _bad(f"its storage {index + 1} of {left} is cut off or malformed")
    if source.size_bytes not in ends:
        raise _bad(f"its {counted(left, 'storage')} and the file do not end at the same byte")


def check_pickle(source: Source, scan: ScanPickle) -> None:
    """Give a file that is one pickle to `scan`; nothing may be behind it.

    Raises:
        Rejected: rule `torch`, or what `scan` raises.
    """
    end = scan(source, where="the file")
    if end != source.size_bytes:
        raise _bad(f"{source.size_bytes - end:,} bytes are behind its pickle")


def _by_place(archive: Archive) -> dict[str, Entry]:
    """Entries by their names below the one directory that torch puts them into."""
    entries: dict[str, Entry] = {}
    tops: set[str] = set()
    for entry in archive.entries():
        top, _, place = entry.name.partition("/")
        tops.add(top)
        entries[place] = entry
    if len(tops) != 1 or "" in entries:
        raise _bad("its files do not lie below one directory")
    return entries


def _code(entry: Entry, *, allow_code: bool) -> None:
    if not allow_code:
        raise _bad(
            f"{quoted(entry.name)} is nothing that torch.save writes: with code in it (TorchScript, torch.package) the"
            " file is a program; save the state_dict, or set GATE_PICKLE=allow"
        )
    if entry.method != STORED and entry.size_bytes > _INFLATED_BYTES:
        raise _bad(f"{quoted(entry.name)} is compressed and has {entry.size_bytes:,} bytes")


def _scan(archive: Archive, entry: Entry, scan: ScanPickle) -> None:
    if entry.method == STORED:
        for _ in archive.content(entry, _PICKLE_BYTES):
            pass
        end = scan(archive.window(entry), where=entry.name)
    else:
        end = scan(BytesSource(b"".join(archive.content(entry, _INFLATED_BYTES))), where=entry.name)
    if end != entry.size_bytes:
        raise _bad(f"{quoted(entry.name)} goes on for {entry.size_bytes - end:,} bytes behind its pickle")


def _keys(pickled: bytes) -> int:
    """How many keys a pickled list of strings has."""
    try:
        count = sum(opcode.name in _TEXTS for opcode, _, _ in pickletools.genops(pickled))
    except ValueError as error:
        raise _bad("its list of storages is malformed") from error
    if count > _MAX_STORAGES:
        raise _bad(f"it has {count:,} storages")
    return count


def _storage_ends(source: Source, at: int) -> list[int]:
    """Where a storage that begins at a place may end."""
    head = source.read(at, 8)
    elements = int.from_bytes(head, "little", signed=True)
    if len(head) < 8 or elements < 0:
        return []
    return [end for size in _ELEMENT_BYTES if (end := at + 8 + elements * size) <= source.size_bytes]


def _bad(why: str) -> Rejected:
    return Rejected("torch", f"the PyTorch file cannot be used: {why}")
