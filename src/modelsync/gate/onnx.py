"""ONNX: a graph in Protocol Buffers, whose tensors lie in it or in other files of the model."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from math import prod

from modelsync.core.names import RelPath, unsafe
from modelsync.core.words import quoted
from modelsync.errors import Rejected
from modelsync.gate.protobuf import BYTES, VARINT, Field, Wire, short_pair, signed
from modelsync.gate.source import Source

External = Callable[[RelPath], int | None]
"""The size in bytes of another file of the model, by its path beside the ONNX file; None: there is none."""

_MAX_FIELDS = 4_000_000  # a large graph has 100,000 nodes with a dozen each
_MAX_DEPTH = 64  # messages in messages; subgraphs take three levels each
_MAX_RANK = 64
_MAX_TEXT_BYTES = 4096
_MAX_BYTES = 1 << 63
_ALIKE, _ALIKE_BYTES = 10_000, 128

# Which field of which message holds a message that has to be looked into (onnx.proto, IR version 13).
_CHILDREN: dict[str, dict[int, str]] = {
    "model": {7: "graph", 8: "opset", 20: "training", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "node": {5: "attribute"},
    "attribute": {
        5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse tensor", 23: "sparse tensor",
    },
    "sparse tensor": {1: "tensor", 2: "tensor"},
    "function": {7: "node", 9: "opset", 11: "attribute"},
    "training": {1: "graph", 2: "graph"},
    "opset": {},
}  # fmt: skip

# Fields that stand once. Parsers merge them if they stand twice: what was judged apart would be read together.
_ONCE = {
    "model": {1, 7}, "graph": {2}, "node": {4}, "attribute": {1, 5, 6, 22}, "sparse tensor": {1, 2},
    "function": {1}, "training": {1, 2}, "opset": {1, 2}, "tensor": {2, 3, 8, 9, 14}, "entry": {1, 2},
}  # fmt: skip

_BITS = {
    1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 14: 64, 15: 128, 16: 16,
    17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4, 24: 8, 25: 2, 26: 2, 27: 6, 28: 6,
}  # fmt: skip
_STRING = 8
_DATA = {4, 5, 7, 9, 10, 11}  # the fields that hold numbers
_EXTERNAL = 1
_SMALL_BYTES = 1024
_OPERATOR, _ATTRIBUTE = 4 << 3 | BYTES, 5 << 3 | BYTES  # heads of these fields of a node
_KEYS = {"location", "offset", "length", "checksum"}
_SHA1 = re.compile(r"[0-9a-fA-F]{40}")


@dataclass
class _Tensor:
    """What a TensorProto says of where its data are."""

    kind: int = 0
    shape: list[int] = field(default_factory=list)
    name: str = ""
    data_bytes: int | None = None
    external: dict[str, str] = field(default_factory=dict)
    location: int = 0
    segmented: bool = False

    @property
    def size_bytes(self) -> int | None:
        """Of its data in raw form; None: it has strings."""
        return None if self.kind == _STRING else (prod(self.shape) * _BITS[self.kind] + 7) // 8


def check_onnx(source: Source, external: External) -> None:
    """Walk the model without loading a tensor, and hold each tensor's data to its shape.

    Raises:
        Rejected: rule `onnx`; the model is not well-formed, has no IR version, operator set or graph, or
            keeps a tensor in a file that is outside the model, missing or too small.
    """
    walk = _Walk(Wire(source, rule="onnx", max_fields=_MAX_FIELDS), external)
    walk.message("model", 0, source.size_bytes, 0)


class _Walk:
    def __init__(self, wire: Wire, external: External) -> None:
        self._wire = wire
        self._external = external
        self._alike: set[bytes] = set()

    def message(self, kind: str, start: int, end: int, depth: int) -> None:
        """Judge a message and all in it."""
        if depth > _MAX_DEPTH:
            raise _bad(f"it is nested deeper than {_MAX_DEPTH} messages, at byte {start:,}")
        if kind == "tensor":
            self._tensor(start, end)
            return
        if kind == "node" and end - start <= _SMALL_BYTES and self._plain_node(start, end, depth):
            return
        children = _CHILDREN[kind]
        seen: dict[int, Field] = {}
        for found in self._wire.fields(start, end):
            if found.number in seen:
                self._again(kind, found)
            seen[found.number] = found
            if (child := children.get(found.number)) is not None:
                self._child(child, found, depth + 1)
        self._complete(kind, seen, start)

    def _plain_node(self, start: int, end: int, depth: int) -> bool:
        """Judge a node that is written as nearly all are: quicker, and only if nothing is wrong with it.

        Its fields are bytes, each with a head of two bytes, and one of them is its operator.
        """
        data = self._wire.whole(start, end)
        at = fields = 0
        operator = b""
        while at + 1 < len(data):
            key, behind = data[at], at + 2 + data[at + 1]
            if key & 0x87 != BYTES or key == BYTES or data[at + 1] >= 0x80 or behind > len(data):
                return False
            if key == _OPERATOR:
                if operator:
                    return False
                operator = data[at + 2 : behind]
            elif key == _ATTRIBUTE and (behind - at > _ALIKE_BYTES or data[at + 2 : behind] not in self._alike):
                self._child("attribute", Field(5, BYTES, 0, start + at + 2, start + behind), depth + 1)
            fields += 1
            at = behind
        if at != len(data) or not operator.isascii() or not operator:
            return False
        self._wire.spend(fields, start)
        return True

    def _child(self, kind: str, found: Field, depth: int) -> None:
        """Judge a message in another one. Attributes are alike a thousand times over: each is judged once."""
        if kind != "attribute" or found.end - found.start > _ALIKE_BYTES:
            self._wire.expect(found, BYTES)
            self.message(kind, found.start, found.end, depth)
            return
        content = self._wire.content(found, _ALIKE_BYTES)
        if content not in self._alike:
            self.message(kind, found.start, found.end, depth)
            if len(self._alike) < _ALIKE:
                self._alike.add(content)

    def _again(self, kind: str, found: Field) -> None:
        if found.number in _ONCE[kind]:
            raise self._wire.bad(f"field {found.number} stands twice in one {kind}", found.start)

    def _complete(self, kind: str, seen: dict[int, Field], start: int) -> None:
        if kind == "model":
            if not self._positive(seen, 1):
                raise _bad("it has no IR version")
            if 8 not in seen:
                raise _bad("it imports no operator set")
            if 7 not in seen:
                raise _bad("it has no graph")
        elif kind == "graph" and 1 not in seen and 5 not in seen and 12 not in seen:
            raise _bad(f"the graph at byte {start:,} is empty")
        elif kind == "opset" and not self._positive(seen, 2):
            raise _bad(f"the operator set at byte {start:,} has no version")
        elif kind == "node" and (4 not in seen or not self._wire.text(seen[4], _MAX_TEXT_BYTES)):
            raise _bad(f"the node at byte {start:,} has no operator")

    def _positive(self, seen: dict[int, Field], number: int) -> bool:
        if number not in seen:
            return False
        self._wire.expect(seen[number], VARINT)
        return signed(seen[number].value) > 0

    def _tensor(self, start: int, end: int) -> None:
        tensor = _Tensor()
        seen: dict[int, Field] = {}
        for found in self._wire.fields(start, end):
            if found.number in seen:
                self._again("tensor", found)
            seen[found.number] = found
            self._take(tensor, found)
        if tensor.segmented:
            raise _bad(f"{_named(tensor, start)} is one segment of a tensor, which no runtime reads")
        if tensor.kind not in _BITS and tensor.kind != _STRING:
            raise _bad(f"{_named(tensor, start)} has the unknown data type {tensor.kind}")
        if any(size < 0 for size in tensor.shape) or prod(tensor.shape) >= _MAX_BYTES:
            raise _bad(f"{_named(tensor, start)} has a shape that no tensor can have")
        if tensor.external or tensor.location == _EXTERNAL:
            self._held_elsewhere(tensor, _named(tensor, start))
        elif tensor.size_bytes and not seen.keys() & _DATA:
            raise _bad(f"{_named(tensor, start)} has no data")
        elif tensor.data_bytes is not None and tensor.data_bytes != tensor.size_bytes:
            raise _bad(
                f"{_named(tensor, start)} has {tensor.data_bytes:,} bytes, its shape and data type ask for"
                f" {'strings' if tensor.size_bytes is None else f'{tensor.size_bytes:,}'}"
            )

    def _take(self, tensor: _Tensor, found: Field) -> None:
        match found.number:
            case 1:
                tensor.shape += self._wire.numbers(found, _MAX_RANK)
                if len(tensor.shape) > _MAX_RANK:
                    raise self._wire.bad(f"a tensor has more than {_MAX_RANK} dimensions", found.start)
            case 2 | 14:
                self._wire.expect(found, VARINT)
                setattr(tensor, "kind" if found.number == 2 else "location", found.value)
            case 3:
                tensor.segmented = True
            case 8:
                tensor.name = self._wire.text(found, _MAX_TEXT_BYTES)
            case 4 | 9 | 10:  # floats, raw, doubles: as long as the raw form; other numbers are of any length
                tensor.data_bytes = (tensor.data_bytes or 0) + found.end - found.start
            case 13:
                self._wire.expect(found, BYTES)
                key, value = self._entry(found)
                if key not in _KEYS:
                    raise self._wire.bad(f"external data has the unknown key {quoted(key)}", found.start)
                if key in tensor.external:
                    raise self._wire.bad(f"external data has {quoted(key)} twice", found.start)
                tensor.external[key] = value

    def _entry(self, entry: Field) -> tuple[str, str]:
        if entry.end - entry.start <= _ALIKE_BYTES and (pair := short_pair(self._wire.content(entry, _ALIKE_BYTES))):
            with suppress(UnicodeDecodeError):
                return pair[0].decode(), pair[1].decode()
        seen: dict[int, Field] = {}
        for found in self._wire.fields(entry.start, entry.end):
            if found.number in seen:
                self._again("entry", found)
            seen[found.number] = found
        key, value = (self._wire.text(seen[each], _MAX_TEXT_BYTES) if each in seen else "" for each in (1, 2))
        return key, value

    def _held_elsewhere(self, tensor: _Tensor, name: str) -> None:
        location = tensor.external.get("location", "")
        if (reason := unsafe(location)) is not None:
            raise _bad(f"{name} lies in {quoted(location)}, which is no path inside the model: {reason}")
        size = self._external(RelPath(location))
        if size is None:
            raise _bad(
                f"{name} lies in {quoted(location)}, which is not among the model's files"
                " (see COMPANION_FILE_EXTENSIONS)"
            )
        if (checksum := tensor.external.get("checksum")) is not None and not _SHA1.fullmatch(checksum):
            raise _bad(f"{name} has the checksum {quoted(checksum)}, which is no SHA-1")
        offset = _number(tensor, "offset", name) or 0
        needed = tensor.size_bytes
        length = _number(tensor, "length", name)
        if needed is None or (length is not None and length != needed):
            raise _bad(
                f"{name} has {length or 0:,} bytes in {quoted(location)}, its shape and data type ask for {needed}"
            )
        if offset + needed > size:
            raise _bad(f"{name} ends at byte {offset + needed:,} of {quoted(location)}, which has {size:,}")


def _number(tensor: _Tensor, key: str, name: str) -> int | None:
    text = tensor.external.get(key)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise _bad(f"{name} has the {key} {quoted(text)} in its file")
    return int(text)


def _named(tensor: _Tensor, start: int) -> str:
    return f"tensor {quoted(tensor.name)}" if tensor.name else f"the tensor at byte {start:,}"


def _bad(why: str) -> Rejected:
    return Rejected("onnx", f"the ONNX model cannot be used: {why}")
