"""`python -m bench.gate` measures the checks of large models, and writes the figures into docs/gate.md."""

from __future__ import annotations

import io
import json
import os
import pickle
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

from onnx import ModelProto, helper

from bench.__main__ import machine
from modelsync.core.names import RelPath
from modelsync.gate.check import check_model
from modelsync.gate.limits import GateLimits
from modelsync.gate.source import FileSource

PAGE = Path(__file__).parent.parent / "docs" / "gate.md"
TITLE = "\n## Cost\n"
SIZE_BYTES = 2 << 30
TENSORS = 1000
NODES = 5000
ROUNDS = 5


class Sparse(io.FileIO):
    """A file in which zeros take no room."""

    def write(self, data: bytes) -> int:  # type: ignore[override]
        if len(data) > 4096 and not any(memoryview(data)[:64]) and data == bytes(len(data)):
            self.seek(len(data), os.SEEK_CUR)
            return len(data)
        return super().write(data)


def safetensors(directory: Path) -> None:
    each = SIZE_BYTES // TENSORS // 4 * 4
    header = json.dumps({
        f"decoder.layers.{n}.weight": {"dtype": "F32", "shape": [each // 4], "data_offsets": [n * each, (n + 1) * each]}
        for n in range(TENSORS)
    }).encode()  # fmt: skip
    with (directory / "model.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + TENSORS * each)


def onnx_in_one_file(directory: Path) -> None:
    """The weights in the graph's own file."""
    model = _graph()
    tensor = b"\x08" + _varint(SIZE_BYTES // 4) + b"\x10\x01\x42\x01w\x4a" + _varint(SIZE_BYTES)
    nodes = model.graph.SerializeToString()
    initializer = b"\x2a" + _varint(len(tensor) + SIZE_BYTES) + tensor
    model.ClearField("graph")
    head = model.SerializeToString() + b"\x3a" + _varint(len(nodes) + len(initializer) + SIZE_BYTES) + nodes + initializer
    with (directory / "model.onnx").open("wb") as file:
        file.write(head)
        file.truncate(len(head) + SIZE_BYTES)


def onnx_beside(directory: Path) -> None:
    """The weights in a file beside it."""
    model, each = _graph(), SIZE_BYTES // TENSORS // 4 * 4
    for n in range(TENSORS):
        tensor = model.graph.initializer.add(name=f"w{n}", data_type=1, dims=[each // 4], data_location=1)
        for key, value in {"location": "model.bin", "offset": n * each, "length": each}.items():
            tensor.external_data.add(key=key, value=str(value))
    (directory / "model.onnx").write_bytes(model.SerializeToString())
    with (directory / "model.bin").open("wb") as file:
        file.truncate(SIZE_BYTES)


def torch_archive(directory: Path) -> None:
    chunk = bytes(SIZE_BYTES // TENSORS)
    with Sparse(directory / "model.pth", "w") as file, zipfile.ZipFile(file, "w") as archive:
        archive.writestr("model/data.pkl", pickle.dumps({str(n): n for n in range(TENSORS)}, 2))
        archive.writestr("model/version", b"3\n")
        for n in range(TENSORS):
            archive.writestr(f"model/data/{n}", chunk)


CASES: dict[str, Callable[[Path], None]] = {
    f"safetensors, {TENSORS:,} tensors": safetensors,
    f"ONNX, {NODES:,} nodes, weights in the same file": onnx_in_one_file,
    f"ONNX, {NODES:,} nodes, {TENSORS:,} tensors in another file": onnx_beside,
    f"PyTorch archive, {TENSORS:,} storages": torch_archive,
}


def check(directory: Path) -> None:
    """Run in a process of its own: prints seconds, CPU seconds and the growth of its memory in KiB."""

    def scan(source: object, *, where: str) -> int:
        del where
        return source.size_bytes  # type: ignore[attr-defined,no-any-return]

    files = {RelPath(path.name): FileSource(os.open(path, os.O_RDONLY)) for path in directory.iterdir()}
    before, start, cpu = _peak_kib(), time.perf_counter(), time.process_time()
    check_model(files, limits=GateLimits(), scan=scan)
    print(json.dumps([time.perf_counter() - start, time.process_time() - cpu, _peak_kib() - before]))


def measure() -> str:
    lines = ["| model of 2 GiB | seconds | CPU seconds | memory, MiB |", "|---|---|---|---|"]
    for title, make in CASES.items():
        with tempfile.TemporaryDirectory() as place:
            make(Path(place))
            command = [sys.executable, "-m", "bench.gate", place]
            rounds = [json.loads(subprocess.check_output(command)) for _ in range(ROUNDS)]
        seconds, cpu, kib = sorted(rounds)[ROUNDS // 2]
        lines.append(f"| {title} | {seconds:.3f} | {cpu:.3f} | {kib / 1024:.1f} |")
    return "\n".join(lines)


def main() -> None:
    table = measure()
    print(table)
    text, _, _ = PAGE.read_text().partition(TITLE)
    PAGE.write_text(
        f"{text}{TITLE}\nMade by `.venv/bin/python -m bench.gate`, on sparse files, each check in a process of its own, the"
        f" median of {ROUNDS} by time; memory is\nwhat the check adds to the process's peak. Pickles are found, not judged.\n\n"
        f"{machine()}.\n\n{table}\n"
    )


def _peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _graph() -> ModelProto:
    nodes = [helper.make_node("Conv", [f"x{n}", "w"], [f"x{n + 1}"], f"/decoder/{n}", strides=[1], pads=[1, 1]) for n in range(NODES)]
    return helper.make_model(helper.make_graph(nodes, "voice", [], []))


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


if __name__ == "__main__":
    check(Path(sys.argv[1])) if sys.argv[1:] else main()
