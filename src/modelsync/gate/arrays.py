"""NumPy's files: one array behind a header in `.npy`, a zip archive of them in `.npz`."""

from __future__ import annotations

import ast
import re
from math import prod

from modelsync.core.words import quoted
from modelsync.errors import Rejected
from modelsync.gate.archive import DEFLATED, Archive, Entry
from modelsync.gate.source import Source

NPY_MAGIC = b"\x93NUMPY"

_MAX_HEADER_BYTES = 10_000  # NumPy reads no longer one from a stranger either
_MAX_RANK = 64
_MAX_BYTES = 1 << 63
_MAX_INFLATED_BYTES = 512 << 20  # in all arrays of an archive
_MAX_RATIO = 200
_ALWAYS_BYTES = 16 << 20  # arrays of zeros shrink a thousandfold: up to this size they may
_DTYPE = re.compile(r"[<>|=]?(?:[biufc][0-9]{1,2}|[SUV][0-9]{1,9}|[mM]8(?:\[[0-9]{0,9}[a-zA-Z]{1,2}\])?|\?)")
_LITERAL = re.compile(r"[\w\s'\"{}()\[\],:<>|=?.]*")
_CHARACTER_BYTES = 4  # NumPy's U is UTF-32
_FIELDS = {"descr", "fortran_order", "shape"}


def check_npy(source: Source) -> None:
    """Hold an array's size to its header.

    Raises:
        Rejected: rule `npy`; objects are refused, since they are pickled.
    """
    head = source.read(0, _MAX_HEADER_BYTES + 12)
    _fits(head, source.size_bytes, "the file")


def check_npz(source: Source) -> None:
    """Hold each array in an archive to its header, and the archive to the rules for zip files.

    Raises:
        Rejected: rule `npz` or `npy`.
    """
    archive = Archive(source, "npz")
    entries = archive.entries()
    if not entries:
        raise archive.bad("it has no arrays")
    inflated = 0
    for entry in entries:
        if not entry.name.endswith(".npy"):
            raise archive.bad(f"{quoted(entry.name)} is no array")
        if entry.method == DEFLATED:
            inflated += entry.size_bytes
            _bounded(archive, entry, inflated)
        _array(archive, entry)
    archive.verify(entry for entry in entries if entry.method != DEFLATED)  # the others were inflated to their end


def _bounded(archive: Archive, entry: Entry, inflated: int) -> None:
    """Refuse what grows too much before it grows."""
    if inflated > _MAX_INFLATED_BYTES:
        raise archive.bad(f"its arrays inflate to more than {_MAX_INFLATED_BYTES:,} bytes")
    if entry.size_bytes > max(_ALWAYS_BYTES, entry.stored_bytes * _MAX_RATIO):
        raise archive.bad(f"{quoted(entry.name)} inflates from {entry.stored_bytes:,} to {entry.size_bytes:,} bytes")


def _array(archive: Archive, entry: Entry) -> None:
    if entry.method != DEFLATED:
        head = archive.window(entry).read(0, _MAX_HEADER_BYTES + 12)
    else:
        head = b""
        for piece in archive.content(entry, _MAX_INFLATED_BYTES):
            head += piece[: _MAX_HEADER_BYTES + 12 - len(head)]
    _fits(head, entry.size_bytes, quoted(entry.name))


def _fits(head: bytes, size_bytes: int, where: str) -> None:
    """Hold a size to the header that an array begins with."""
    wide = head[6:7] != b"\1"
    start = 12 if wide else 10
    length = int.from_bytes(head[8:start], "little")
    if head[:6] != NPY_MAGIC or head[6:8] not in {b"\1\0", b"\2\0", b"\3\0"} or len(head) < start:
        raise _bad(f"{where} does not begin like an array")
    if length > min(_MAX_HEADER_BYTES, len(head) - start):
        raise _bad(f"{where} has a header of {length:,} bytes")
    dtype, shape = _header(head[start : start + length], where)
    needed = start + length + prod(shape) * _item_bytes(dtype, where)
    if needed != size_bytes:
        raise _bad(f"{where} has {size_bytes:,} bytes, by its header it needs {needed:,}")


def _header(data: bytes, where: str) -> tuple[str, tuple[int, ...]]:
    """The dtype and shape."""
    try:
        text = data.decode()
        # No signs: they are what makes a literal nest deep without brackets, whose depth the parser bounds.
        found = ast.literal_eval(text.strip()) if _LITERAL.fullmatch(text) else None
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise _bad(f"{where} has a header that cannot be read") from error
    if not isinstance(found, dict) or set(found) != _FIELDS or type(found["fortran_order"]) is not bool:
        raise _bad(f"{where} has a header without exactly descr, fortran_order and shape")
    dtype, shape = found["descr"], found["shape"]
    if not isinstance(shape, tuple) or len(shape) > _MAX_RANK or any(type(n) is not int or n < 0 for n in shape):
        raise _bad(f"{where} has a shape that is none")
    if prod(shape) >= _MAX_BYTES:
        raise _bad(f"{where} has a shape that no file can hold")
    if not isinstance(dtype, str):
        raise _bad(f"{where} has a structured dtype, which is not looked into")
    return dtype, shape


def _item_bytes(dtype: str, where: str) -> int:
    if "O" in dtype:
        raise _bad(f"{where} holds Python objects, which are pickled")
    if not _DTYPE.fullmatch(dtype):
        raise _bad(f"{where} has the unknown dtype {quoted(dtype)}")
    code = dtype.lstrip("<>|=")
    if code == "?":
        return 1
    if code[0] in "mM":
        return 8
    return int(code[1:]) * (_CHARACTER_BYTES if code[0] == "U" else 1)


def _bad(why: str) -> Rejected:
    return Rejected("npy", f"the NumPy array cannot be used: {why}")
