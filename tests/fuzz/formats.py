"""The readers of model files: any bytes pass or are refused, within bounds."""

from __future__ import annotations

import json
from collections.abc import Callable

from modelsync.core.names import RelPath
from modelsync.errors import Rejected
from modelsync.gate.arrays import check_npy, check_npz
from modelsync.gate.inert import is_inert
from modelsync.gate.jsontext import check_json
from modelsync.gate.judge import judge
from modelsync.gate.onnx import check_onnx
from modelsync.gate.rules import GateRules
from modelsync.gate.safetensors import check_safetensors
from modelsync.gate.source import BytesSource, Source
from modelsync.gate.text import check_sentencepiece, check_text
from modelsync.gate.torch import check_torch_legacy, check_torch_zip
from modelsync.gate.wav import check_wav
from modelsync.gate.yamltext import check_yaml
from support.formats import scan

_ENDINGS = (".bin", ".pth", ".onnx", ".safetensors", ".json", ".yaml", ".txt", ".model", ".npy", ".npz", ".wav", ".x")


def safetensors(data: bytes) -> None:
    """A safetensors file."""
    _judged(check_safetensors, data)


def onnx(data: bytes) -> None:
    """An ONNX model, and a file beside it."""
    _judged(lambda source: check_onnx(source, {"model.bin": 64}.get), data)


def torch(data: bytes) -> None:
    """A file of either of PyTorch's formats."""
    _judged(lambda source: check_torch_zip(source, scan, allow_code=len(data) % 2 == 1), data)
    _judged(lambda source: check_torch_legacy(source, scan), data)


def arrays(data: bytes) -> None:
    """An array, or an archive of them."""
    _judged(check_npy, data)
    _judged(check_npz, data)


def jsontext(data: bytes) -> None:
    """A JSON document: what passes, Python reads too."""
    if _judged(check_json, data):
        json.loads(data, parse_int=str)


def yamltext(data: bytes) -> None:
    """A YAML document."""
    _judged(check_yaml, data)


def wav(data: bytes) -> None:
    """A recording."""
    _judged(check_wav, data)


def text(data: bytes) -> None:
    """A text or a vocabulary."""
    _judged(check_text, data)
    _judged(check_sentencepiece, data)


def model(data: bytes) -> None:
    """A file of any kind, its first byte choosing the ending, beside another one."""
    is_inert(BytesSource(data))
    path = f"a{_ENDINGS[data[0] % len(_ENDINGS)]}" if data else "a.bin"
    files: dict[RelPath, Source] = {RelPath(path): BytesSource(data[1:]), RelPath("model.bin"): BytesSource(bytes(64))}
    if (flaw := judge(files, GateRules()).refused) is not None:
        _printable(flaw.reason)


def _judged(check: Callable[[Source], None], data: bytes) -> bool:
    """Whether a check passes. What it says to refuse is what a log and a record can hold."""
    try:
        check(BytesSource(data))
    except Rejected as error:
        _printable(error.reason)
        return False
    return True


def _printable(reason: str) -> None:
    assert len(reason) < 1000, reason
    reason.encode()


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target for target in (safetensors, onnx, torch, arrays, jsontext, yamltext, wav, text, model)
}

WORDS: dict[str, list[str]] = {
    "safetensors": [
        '{"w":', '"__metadata__":{', '"dtype":"F32"', '"shape":[', '"data_offsets":[', "[0,24]", "\\u0077", "},", "}}",
    ],
    "onnx": [
        "\x08\x07", "\x3a", "\x42\x02\x10\x11", "\x0a", "\x2a", "\x6a", "location", "offset", "length", "model.bin",
        "../",
    ],
    "torch": [
        "PK\x01\x02", "PK\x03\x04", "PK\x05\x06", "PK\x06\x06", "PK\x06\x07", "PK\x07\x08", "a/data.pkl", "a/version",
        "a/data/0", "FB", "\x80\x02", "\x8a\x0a", "X\x01",
    ],
    "arrays": [
        "NUMPY", "'descr': ", "'<f4'", "'|O'", "'fortran_order': ", "False", "'shape': (", "PK\x01\x02", "PK\x03\x04",
        "PK\x05\x06", ".npy",
    ],
    "jsontext": ["[", "]", "{", "}", '"a":', "1,", "\\u00", "NaN", "-Infinity", "1e9", "null", "true"],
    "yamltext": [
        "- ", "? ", ": ", "&a ", "*a", "<<: ", "!!", "!x ", "--- ", "...",
        "%TAG ! ", "|\n ", ">-\n ", "[", "{", "python/",
    ],
    "wav": ["RIFF", "WAVE", "fmt ", "data", "LIST", "\x01", "\x10"],
    "text": ["\x0a\x03\x0a\x01a", "\x15", "\x18\x01"],
    "model": ["PK\x03\x04", "RIFF", "NUMPY", "GLOBAL", "cos\nsystem\n", "\x80\x04", "ustar", "version https://git-lfs.github.com/spec/"],
}  # fmt: skip
"""What a fuzzer would not find by itself soon, for each target."""
