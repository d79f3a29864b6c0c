"""safetensors: a JSON header that says where each tensor lies, and the tensors."""

from __future__ import annotations

import json
import re
from math import prod

from modelsync.core.words import quoted
from modelsync.errors import Rejected
from modelsync.gate.jsontext import SPACE, STRING
from modelsync.gate.source import Source

MAX_HEADER_BYTES = 4 << 20
"""The format allows 100 MB. A tensor takes about 100 bytes, so this is room for 40,000; parsing stays within 32 MiB."""

_LENGTH_BYTES = 8
_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "U32": 32, "I32": 32, "U64": 64, "I64": 64,
    "F16": 16, "BF16": 16, "F32": 32, "F64": 64, "C64": 64,
    "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E5M2FNUZ": 8, "F8_E4M3FNUZ": 8,
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip
_MAX_BITS = 1 << 66

# The header's grammar is so narrow a part of JSON that each entry is one match: no tree of it is ever built.
_NUMBER = r"(?:0|[1-9][0-9]{0,18})"
_KEY = re.compile(rf"{SPACE}({STRING}){SPACE}:{SPACE}")
_NEXT = re.compile(rf"{SPACE}(?:,(?={SPACE}\")|(?=\}}))")
_END = re.compile(rf"{SPACE}\}}{SPACE}")
_NOTE = re.compile(rf"{SPACE}({STRING}){SPACE}:{SPACE}{STRING}{_NEXT.pattern}")
_OPEN = re.compile(r"\{")
_CLOSE = re.compile(rf"{SPACE}\}}")
_SHAPE = rf"\[({SPACE}(?:{_NUMBER}{SPACE}(?:,{SPACE}(?=[0-9])|(?=\]))){{0,64}})\]"
_OFFSETS = rf"\[{SPACE}({_NUMBER}){SPACE},{SPACE}({_NUMBER}){SPACE}\]"
_FIELD = (
    rf'{SPACE}"(?:dtype"{SPACE}:{SPACE}"([A-Z0-9_]{{1,16}})"'
    rf'|shape"{SPACE}:{SPACE}{_SHAPE}|data_offsets"{SPACE}:{SPACE}{_OFFSETS})'
)
_TENSOR = re.compile(rf"\{{(?:{_FIELD}{_NEXT.pattern}){{3}}\}}")


def check_safetensors(source: Source) -> None:
    """Hold the header to the format, and the file's size to the header.

    Raises:
        Rejected: rule `safetensors`.
    """
    size = int.from_bytes(source.read(0, _LENGTH_BYTES), "little")
    room = source.size_bytes - _LENGTH_BYTES - size
    if source.size_bytes < _LENGTH_BYTES or room < 0:
        raise _bad(f"the header would be {size:,} bytes long, the file has {source.size_bytes:,}")
    if size > MAX_HEADER_BYTES:
        raise _bad(f"the header is {size:,} bytes long, more than {MAX_HEADER_BYTES:,}")
    spans = _spans(_header(source.read(_LENGTH_BYTES, size)))
    if not spans:
        raise _bad("it has no tensors")
    end = 0
    for begin, after in sorted(spans):
        if begin != end:
            raise _bad(f"the data has {'a hole' if begin > end else 'an overlap'} at byte {min(begin, end):,}")
        end = after
    if end != room:
        raise _bad(f"the tensors take {end:,} bytes, the file has {room:,} for them")


def _header(data: bytes) -> str:
    if not data.startswith(b"{"):
        raise _bad("the header does not begin with '{'")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise _bad(f"the header is not UTF-8 at byte {error.start:,}") from error


def _spans(header: str) -> list[tuple[int, int]]:
    """First byte of each tensor and the byte behind its last one."""
    spans: list[tuple[int, int]] = []
    names: set[str] = set()
    at = 1
    while (key := _KEY.match(header, at)) is not None:
        name = _new(names, key[1])
        if name == "__metadata__":
            value_end = _metadata(header, key.end())
        else:
            value = _TENSOR.match(header, key.end())
            if value is None:
                raise _bad(_unlike(name))
            spans.append(_span(name, value))
            value_end = value.end()
        after = _NEXT.match(header, value_end)
        at = after.end() if after else value_end
    if (end := _END.match(header, at)) is None or end.end() != len(header):
        raise _bad(f"the header is no object of tensors at character {at:,}")
    return spans


def _metadata(header: str, at: int) -> int:
    """Where the metadata end, that begin at a place."""
    names: set[str] = set()
    start = _OPEN.match(header, at)
    while start is not None and (note := _NOTE.match(header, start.end())) is not None:
        _new(names, note[1])
        start = note
    if start is None or (end := _CLOSE.match(header, start.end())) is None:
        raise _bad("__metadata__ is no object of strings")
    return end.end()


def _new(names: set[str], symbol: str) -> str:
    name: str = json.loads(symbol) if "\\" in symbol else symbol[1:-1]
    if name in names:
        raise _bad(f"the header has the name {quoted(name)} twice")
    names.add(name)
    return name


def _unlike(name: str) -> str:
    return f"tensor {quoted(name)} does not have a dtype, a shape and data_offsets of the right kinds, and nothing else"


def _span(name: str, value: re.Match[str]) -> tuple[int, int]:
    dtype, shape, begin, end = value.groups()
    if dtype is None or shape is None or begin is None:
        raise _bad(_unlike(name))
    if dtype not in _BITS:
        raise _bad(f"tensor {quoted(name)} has the unknown dtype {quoted(dtype)}")
    bits = prod(int(size) for size in shape.replace(",", " ").split()) * _BITS[dtype]
    if bits >= _MAX_BITS:
        raise _bad(f"tensor {quoted(name)} has a shape that no file can hold")
    span = int(begin), int(end)
    if (span[1] - span[0]) * 8 != bits:
        size = f"{bits / 8:,.0f}" if bits % 8 == 0 else f"{bits:,} bits, no whole number of"
        raise _bad(f"tensor {quoted(name)} needs {size} bytes, its data_offsets give {span[1] - span[0]:,}")
    return span


def _bad(why: str) -> Rejected:
    return Rejected("safetensors", f"the safetensors file cannot be used: {why}")
