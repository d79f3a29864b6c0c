"""What `torch.save` writes: a zip archive since PyTorch 1.6, a row of pickles with storages behind them before.

Both hold pickles, which `scan` judges. Here they are found, and what is around them is held to the format.
"""

from __future__ import annotations

import pickletools
import re
from collections.abc import Mapping
from typing import Protocol

from modelsync.core.words import counted, quoted
from modelsync.errors import Rejected
from modelsync.gate.archive import STORED, Archive, Entry
from modelsync.gate.pickles.values import Scanned, Storage
from modelsync.gate.source import BytesSource, Source
from modelsync.gate.window import Window

LEGACY_MAGIC = (0x1950A86A20F9469CFC6C).to_bytes(10, "little")
"""In the first pickle of the older format."""

_PICKLE_BYTES = 64 << 20
_RECORD_BYTES = 1024
_INFLATED_BYTES = 16 << 20

# What torch.save puts below the archive's one directory. All else is code: TorchScript or torch.package.
_STORAGE = re.compile(r"data/[0-9]{1,9}")
_RECORD = re.compile(r"version|byteorder|\.[a-z_]{1,40}|\.data/(?!extern_modules)[a-z_]{1,40}")
_PACKAGE = ".data/extern_modules"

_TEXTS = {
    "STRING", "BINSTRING", "SHORT_BINSTRING",  # as Python 2 wrote them
    "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8",
}  # fmt: skip
_INTEGERS = {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"}
_NUMBERS = {"magic number": int.from_bytes(LEGACY_MAGIC, "little"), "version": 1001}
_NUMBER_BYTES = 100
_ELEMENT_BYTES = (1, 2, 4, 8, 16)
_MAX_STORAGES = 50_000
_MAX_GUESSES = 64


class ScanPickle(Protocol):
    """Judges the pickle that a source begins with."""

    def __call__(self, source: Source, *, where: str) -> Scanned:
        """Where the pickle ends, and which storages it asks for.

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
    for place, entry in entries.items():
        _expect(place, entry, allow_code=allow_code)
        if place.endswith(".pkl"):
            storages = _scan(archive, entry, scan).storages
            if place == "data.pkl" and storages is not None:
                _hold(storages, entries)
    archive.verify(entry for place, entry in entries.items() if not place.endswith(".pkl"))


def check_torch_legacy(source: Source, scan: ScanPickle) -> None:
    """Hold a file to the older format of `torch.save`, and give its pickles to `scan`.

    They are: a magic number, the version, facts on the machine, the object, and the storages' keys. The storages
    behind them are each a number of elements and these. How large an element is stands in the object alone. Where
    nobody looks into that, some choice of the possible sizes must make the storages end where the file does.

    Raises:
        Rejected: rule `torch`, or what `scan` raises.
    """
    at = start = 0
    storages: Mapping[str, Storage] | None = None
    for what in ("magic number", "version", "machine", "object", "list of storages"):
        start = at
        scanned = scan(Window(source, at, source.size_bytes - at), where=f"the {what}")
        at += scanned.end
        if what == "object":
            storages = scanned.storages
        elif what in _NUMBERS and _number(source.read(start, min(at - start, _NUMBER_BYTES))) != _NUMBERS[what]:
            raise _bad(f"its {what} is not torch's")
    keys = _keys(source.read(start, min(at - start, _PICKLE_BYTES)))
    if storages is not None and (len(set(keys)) < len(keys) or set(keys) != set(storages)):
        raise _bad(f"it lists {counted(len(keys), 'storage')}, and not those that its object asks for")
    ends = {at}
    for index, key in enumerate(keys):
        storage = storages[key] if storages is not None else None
        ends = {end for each in ends for end in _storage_ends(source, each, storage)}
        if not ends or len(ends) > _MAX_GUESSES:
            raise _bad(f"its storage {index + 1} of {len(keys)} is cut off or malformed")
    if source.size_bytes not in ends:
        raise _bad(f"its {counted(len(keys), 'storage')} and the file do not end at the same byte")


def check_pickle(source: Source, scan: ScanPickle) -> None:
    """Give a file that is one pickle to `scan`; nothing may be behind it.

    Raises:
        Rejected: rule `torch`, or what `scan` raises.
    """
    end = scan(source, where="the file").end
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


def _expect(place: str, entry: Entry, *, allow_code: bool) -> None:
    """Hold an entry to what torch.save puts where it is."""
    if not (place == "data.pkl" or _STORAGE.fullmatch(place) or _RECORD.fullmatch(place)):
        _code(entry, allow_code=allow_code)
    elif entry.method != STORED:
        raise _bad(f"{quoted(entry.name)} is compressed, which torch.save does not do")
    if _RECORD.fullmatch(place) and entry.size_bytes > _RECORD_BYTES:
        raise _bad(f"{quoted(entry.name)} has {entry.size_bytes:,} bytes")


def _code(entry: Entry, *, allow_code: bool) -> None:
    if not allow_code:
        raise _bad(
            f"{quoted(entry.name)} is nothing that torch.save writes: with code in it (TorchScript, torch.package) the"
            " file is a program; save the state_dict, or set GATE_PICKLE=allow"
        )
    if entry.method != STORED and entry.size_bytes > _INFLATED_BYTES:
        raise _bad(f"{quoted(entry.name)} is compressed and has {entry.size_bytes:,} bytes")


def _scan(archive: Archive, entry: Entry, scan: ScanPickle) -> Scanned:
    if entry.method == STORED:
        for _ in archive.content(entry, _PICKLE_BYTES):
            pass
        scanned = scan(archive.window(entry), where=entry.name)
    else:
        scanned = scan(BytesSource(b"".join(archive.content(entry, _INFLATED_BYTES))), where=entry.name)
    if scanned.end != entry.size_bytes:
        raise _bad(f"{quoted(entry.name)} goes on for {entry.size_bytes - scanned.end:,} bytes behind its pickle")
    return scanned


def _hold(storages: Mapping[str, Storage], entries: Mapping[str, Entry]) -> None:
    """Hold the storages that a pickle asks for to those that are there: some versions of torch read beyond these."""
    for key, storage in storages.items():
        entry = entries.get(f"data/{key}")
        if entry is None:
            raise _bad(f"its pickle asks for storage {quoted(key)}, which is not there")
        if entry.size_bytes != storage.size_bytes:
            raise _bad(
                f"{quoted(entry.name)} has {entry.size_bytes:,} bytes, its pickle asks for {storage.size_bytes:,}"
            )


def _number(pickled: bytes) -> int | None:
    """The integer that a pickle holds, and nothing else."""
    try:
        found = [argument for opcode, argument, _ in pickletools.genops(pickled) if opcode.name in _INTEGERS]
    except ValueError:
        return None
    return found[0] if len(found) == 1 else None


def _keys(pickled: bytes) -> list[str]:
    """The keys in a pickled list of strings."""
    try:
        keys = [str(argument) for opcode, argument, _ in pickletools.genops(pickled) if opcode.name in _TEXTS]
    except ValueError as error:
        raise _bad("its list of storages is malformed") from error
    if len(keys) > _MAX_STORAGES:
        raise _bad(f"it has {len(keys):,} storages")
    return keys


def _storage_ends(source: Source, at: int, storage: Storage | None) -> list[int]:
    """Where a storage that begins at a place may end."""
    head = source.read(at, 8)
    elements = int.from_bytes(head, "little", signed=True)
    if len(head) < 8 or elements < 0 or (storage is not None and elements != storage.elements):
        return []
    sizes = _ELEMENT_BYTES if storage is None else (storage.element_bytes,)
    return [end for size in sizes if (end := at + 8 + elements * size) <= source.size_bytes]


def _bad(why: str) -> Rejected:
    return Rejected("torch", f"the PyTorch file cannot be used: {why}")
