"""safetensors."""

from __future__ import annotations

import json
from typing import Any

from modelsync.gate.safetensors import MAX_HEADER_BYTES, check_safetensors
from support.formats import Corrupt, Format, every

BITS = {"BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "I16": 16, "U16": 16, "F16": 16,
        "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "F64": 64, "I64": 64, "U64": 64, "C64": 64, "F4": 4}  # fmt: skip


def build(header: Any, data: int | bytes = 0, *, length: int | None = None) -> bytes:
    """A file of any header (bytes are taken as they are) and so many bytes behind it."""
    text = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    behind = data if isinstance(data, bytes) else bytes(data)
    return (len(text) if length is None else length).to_bytes(8, "little") + text + behind


def tensor(begin: int = 0, end: int = 24, **changes: Any) -> dict[str, Any]:
    """An entry of the header: two by three floats."""
    return {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]} | changes


def voice(tensors: int, metadata: dict[str, str] | None = None) -> bytes:
    """A voice of so many tensors."""
    header: dict[str, Any] = {} if metadata is None else {"__metadata__": metadata}
    header |= {f"decoder.layers.{n}.weight": tensor(24 * n, 24 * n + 24) for n in range(tensors)}
    return build(header, 24 * tensors)


def _benign() -> dict[str, bytes]:
    found = {f"{dtype}": build({"w": tensor(0, bits, dtype=dtype, shape=[8])}, bits) for dtype, bits in BITS.items()}
    found |= {f"{count} tensors": voice(count, {"format": "pt"}) for count in (1, 2, 10, 300)}
    small = {"w": tensor()}
    return found | {
        "a scalar": build({"w": tensor(0, 4, shape=[])}, 4),
        "an empty tensor": build({"a": tensor(0, 0, shape=[0, 3]), "b": tensor()}, 24),
        "an empty tensor at the end": build({"b": tensor(), "c": tensor(24, 24, shape=[0])}, 24),
        "another order": build({"b": tensor(24, 48), "a": tensor()}, 48),
        "spaces": build(json.dumps(small, indent=1).encode(), 24),
        "padded header": build(json.dumps(small).encode() + b"     ", 24),
        "metadata last": build(small | {"__metadata__": {"format": "pt"}}, 24),
        "no metadata in it": build({"__metadata__": {}} | small, 24),
        "JSON in metadata": build({"__metadata__": {"config": json.dumps({"a": [1, {"b": "}"}]})}} | small, 24),
        "names of all scripts": build({"gewöhnlich.層.\u0001": tensor()}, 24),
        "fields in another order": build(b'{"w":{"data_offsets":[0,4],"dtype":"F32","shape":[1]}}', 4),
        "of 64 dimensions": build({"w": tensor(0, 4, shape=[1] * 64)}, 4),
    }


def _corrupt() -> dict[str, Corrupt]:
    small, kinds = {"w": tensor()}, "of the right kinds"
    found: dict[str, Corrupt] = {
        "no header": (bytes(8), "does not begin"),
        "header beyond the file": (build(small, 24, length=10_000), "would be 10,000 bytes"),
        "header of 2**64 - 1 bytes": (build(small, 24, length=(1 << 64) - 1), "would be"),
        "header too long": (build(b"{" + b" " * MAX_HEADER_BYTES), "more than"),
        "header in an array": (build(b"[]"), "does not begin"),
        "header with a space before it": (build(b" {}"), "does not begin"),
        "header not in UTF-8": (build(b'{"\xff":1}'), "not UTF-8"),
        "header that ends early": (build(b'{"w":'), kinds),
        "header with more behind it": (build(b"{} x"), "no object of tensors"),
        "no tensors": (build({}), "no tensors"),
        "only metadata": (build({"__metadata__": {"a": "b"}}), "no tensors"),
        "a name twice": (build(b'{"w":%b,"w":%b}' % ((json.dumps(tensor()).encode(),) * 2), 24), "'w' twice"),
        "a name twice, once escaped": (
            build(b'{"w":%b,"\\u0077":%b}' % ((json.dumps(tensor()).encode(),) * 2), 24), "'w' twice",
        ),
        "metadata with a name twice": (build(b'{"__metadata__":{"a":"","a":""}}'), "'a' twice"),
        "metadata twice": (build(b'{"__metadata__":{},"__metadata__":{}}'), "twice"),
        "metadata with a number": (build({"__metadata__": {"a": 1}} | small, 24), "object of strings"),
        "metadata in an array": (build({"__metadata__": []} | small, 24), "object of strings"),
        "comma at the end": (build(b'{"w":%b,}' % json.dumps(tensor()).encode(), 24), "no object of tensors"),
        "comma at the end of a tensor": (build(b'{"w":{"dtype":"U8","shape":[],"data_offsets":[0,1],}}', 1), kinds),
        "a field twice": (build(b'{"w":{"dtype":"U8","dtype":"U8","data_offsets":[0,1]}}', 1), kinds),
        "a field too many": (build({"w": tensor(stride=1)}, 24), kinds),
        "a field too few": (build(b'{"w":{"dtype":"U8","shape":[]}}'), kinds),
        "a tensor that is a list": (build({"w": [1]}), kinds),
        "unknown dtype": (build({"w": tensor(dtype="F31")}, 24), "unknown dtype 'F31'"),
        "dtype in lower case": (build({"w": tensor(dtype="f32")}, 24), kinds),
        "dtype that is a number": (build({"w": tensor(dtype=32)}, 24), kinds),
        "a negative size": (build({"w": tensor(shape=[-2, -3])}, 24), kinds),
        "a size that is a float": (build({"w": tensor(shape=[2.0, 3])}, 24), kinds),
        "a size that is true": (build({"w": tensor(shape=[True, 6])}, 24), kinds),
        "a shape that overflows": (build({"w": tensor(shape=[1 << 62, 1 << 62])}, 24), "no file can hold"),
        "a shape that wraps to its size": (build({"w": tensor(shape=[(1 << 62) + 6])}, 24), "no file can hold"),
        "a size of 20 digits": (build({"w": tensor(shape=[1 << 64])}, 24), kinds),
        "65 dimensions": (build({"w": tensor(shape=[1] * 65)}, 24), kinds),
        "nested shapes": (build({"w": tensor(shape=[[[[[6]]]]])}, 24), kinds),
        "a shape larger than the data": (build({"w": tensor(shape=[2, 4])}, 24), "needs 32 bytes"),
        "half a byte": (build({"w": tensor(0, 2, dtype="F4", shape=[3])}, 2), "12 bits"),
        "offsets that go back": (build({"w": tensor(24, 0)}, 24), "needs 24 bytes"),
        "one offset": (build({"w": tensor(data_offsets=[0])}, 24), kinds),
        "three offsets": (build({"w": tensor(data_offsets=[0, 1, 24])}, 24), kinds),
        "negative offsets": (build({"w": tensor(-24, 0)}, 24), kinds),
        "a leading zero": (build(b'{"w":{"dtype":"U8","shape":[01],"data_offsets":[0,1]}}', 1), kinds),
        "a hole": (build({"a": tensor(), "b": tensor(28, 52)}, 52), "a hole at byte 24"),
        "a hole at the start": (build({"a": tensor(4, 28)}, 28), "a hole at byte 0"),
        "an overlap": (build({"a": tensor(), "b": tensor(20, 44)}, 44), "an overlap at byte 20"),
        "the same bytes twice": (build({"a": tensor(), "b": tensor()}, 24), "an overlap"),
        "an empty tensor out of place": (build({"a": tensor(), "b": tensor(8, 8, shape=[0])}, 24), "an overlap"),
        "data cut off": (build(small, 23), "take 24 bytes, the file has 23"),
        "data behind the tensors": (build(small, 25), "take 24 bytes, the file has 25"),
        "a string that breaks a line": (build(b'{"a\nb":{}}'), "no object of tensors"),
    }  # fmt: skip
    return found | every(
        voice(3, {"format": "pt"}), 60, "would be [0-9,]+ bytes long, the file has|the tensors take 72 bytes"
    )


SAFETENSORS = Format("safetensors", "model.safetensors", check_safetensors, _benign(), _corrupt())
