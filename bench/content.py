"""Files that pass the gate, whatever their bytes say."""

from __future__ import annotations

import json
import os
from pathlib import Path

_HEADER_BYTES = 128
_CHUNK_BYTES = 8 << 20


def safetensors_header(size_bytes: int) -> bytes:
    """The header of a safetensors file of this size with one tensor in it."""
    data_bytes = size_bytes - _HEADER_BYTES
    tensor = {"dtype": "U8", "shape": [data_bytes], "data_offsets": [0, data_bytes]}
    text = json.dumps({"weights": tensor}).encode().ljust(_HEADER_BYTES - 8)
    return len(text).to_bytes(8, "little") + text


def safetensors(size_bytes: int) -> bytes:
    """A small safetensors file of random numbers."""
    return safetensors_header(size_bytes) + os.urandom(size_bytes - _HEADER_BYTES)


def write_safetensors(path: Path, size_bytes: int) -> None:
    """Write a safetensors file of random numbers."""
    with path.open("wb") as file:
        file.write(header := safetensors_header(size_bytes))
        for start in range(len(header), size_bytes, _CHUNK_BYTES):
            file.write(os.urandom(min(_CHUNK_BYTES, size_bytes - start)))
