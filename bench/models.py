"""Large models in formats of all kinds, most of them holes on the disk."""

from __future__ import annotations

import io
import json
import os
import pickle
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path
from types import ModuleType
from typing import Any

from onnx import ModelProto, helper

SIZE_BYTES = 2 << 30
TENSORS = 1000
NODES = 5000
EACH_BYTES = SIZE_BYTES // TENSORS // 4 * 4


def safetensors(directory: Path) -> None:
    header = json.dumps({
        f"decoder.layers.{n}.weight": {
            "dtype": "F32", "shape": [EACH_BYTES // 4], "data_offsets": [n * EACH_BYTES, (n + 1) * EACH_BYTES]
        }
        for n in range(TENSORS)
    }).encode()  # fmt: skip
    with (directory / "model.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + TENSORS * EACH_BYTES)


def onnx_in_one_file(directory: Path) -> None:
    """More than a protobuf library writes into one message; the format allows it."""
    model = graph()
    tensor = b"\x08" + varint(SIZE_BYTES // 4) + b"\x10\x01\x42\x01w\x4a" + varint(SIZE_BYTES)
    nodes = model.graph.SerializeToString()
    weights = b"\x2a" + varint(len(tensor) + SIZE_BYTES) + tensor
    model.ClearField("graph")
    head = model.SerializeToString() + b"\x3a" + varint(len(nodes) + len(weights) + SIZE_BYTES) + nodes + weights
    with (directory / "model.onnx").open("wb") as file:
        file.write(head)
        file.truncate(len(head) + SIZE_BYTES)


def onnx_beside(directory: Path) -> None:
    model = graph()
    for n in range(TENSORS):
        tensor = model.graph.initializer.add(name=f"w{n}", data_type=1, dims=[EACH_BYTES // 4], data_location=1)
        for key, value in {"location": "model.bin", "offset": n * EACH_BYTES, "length": EACH_BYTES}.items():
            tensor.external_data.add(key=key, value=str(value))
    (directory / "model.onnx").write_bytes(model.SerializeToString())
    with (directory / "model.bin").open("wb") as file:
        file.truncate(SIZE_BYTES)


def torch_archive(directory: Path) -> None:
    with (directory / "model.pth").open("wb") as file:
        write_checkpoint(Sparse(file.fileno(), "wb", closefd=False), EACH_BYTES)


def checkpoint(each_bytes: int) -> bytes:
    file = io.BytesIO()
    write_checkpoint(file, each_bytes)
    return file.getvalue()


def write_checkpoint(file: Any, each_bytes: int) -> None:
    """Write a state dict as `torch.save` does."""
    chunk = bytes(each_bytes)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("model/data.pkl", state_dict(each_bytes // 4))
        archive.writestr("model/version", b"3\n")
        for n in range(TENSORS):
            archive.writestr(f"model/data/{n}", chunk)


def state_dict(elements: int) -> bytes:
    """The pickle of one, with torch's names in it and no torch."""
    torch, utils = ModuleType("torch"), ModuleType("torch._utils")
    vars(torch)["FloatStorage"] = type("FloatStorage", (), {"__module__": "torch"})

    def rebuild() -> None: ...

    rebuild.__module__, rebuild.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    vars(utils)["_rebuild_tensor_v2"] = rebuild

    class Tensor(int): ...

    class Storage(int): ...

    class Pickler(pickle.Pickler):
        def persistent_id(self, found: Any) -> Any:
            kind = vars(torch)["FloatStorage"]
            return ("storage", kind, str(int(found)), "cpu", elements) if isinstance(found, Storage) else None

        def reducer_override(self, found: Any) -> Any:
            if not isinstance(found, Tensor):
                return NotImplemented
            return rebuild, (Storage(found), 0, (elements,), (1,), False, OrderedDict())

    written = io.BytesIO()
    sys.modules |= {"torch": torch, "torch._utils": utils}
    try:
        Pickler(written, 2).dump(OrderedDict((f"decoder.layers.{n}.weight", Tensor(n)) for n in range(TENSORS)))
    finally:
        del sys.modules["torch"], sys.modules["torch._utils"]
    return written.getvalue()


class Sparse(io.FileIO):
    """A file in which zeros take no room."""

    def write(self, data: Any) -> int:
        if len(data) > 4096 and not any(memoryview(data)[:64]) and data == bytes(len(data)):
            self.seek(len(data), os.SEEK_CUR)
            return len(data)
        return super().write(data)


def graph() -> ModelProto:
    nodes = [
        helper.make_node("Conv", [f"x{n}", "w"], [f"x{n + 1}"], f"/decoder/{n}", strides=[1], pads=[1, 1])
        for n in range(NODES)
    ]
    return helper.make_model(helper.make_graph(nodes, "voice", [], []))


def varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])
