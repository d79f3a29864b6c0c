"""What a file is: name and content must agree."""

from __future__ import annotations

import gzip
import io
import lzma
import pickle
import random
import struct
import tarfile
import zlib
from collections.abc import Callable
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelsync.core.names import RelPath
from modelsync.errors import Rejected
from modelsync.gate.inert import is_inert
from modelsync.gate.kinds import Kind, kind_of
from modelsync.gate.source import BytesSource
from support.formats.all import FORMATS
from support.formats.checkpoints import TARS, archive, legacy
from support.formats.texts import piece
from support.formats.zips import Member, build


class Evil:
    """Runs a program when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return print, ("unpickled",)


PLAIN = pickle.dumps(list(range(100)))
KOKORO = np.random.default_rng(7).normal(0, 0.1, 510 * 256).astype("<f4").tobytes()
CONTENTS = {
    Kind.SAFETENSORS: FORMATS["safetensors"].benign["F32"],
    Kind.TORCH_ZIP: archive(),
    Kind.TORCH_LEGACY: legacy([(2, bytes(8))]),
    Kind.PICKLE: pickle.dumps({"w": [1.0]}),
    Kind.NPY: FORMATS["npy"].benign["<f4"],
    Kind.NPZ: FORMATS["npz"].benign["2 arrays"],
    Kind.WAV: FORMATS["wav"].benign["floats"],
    Kind.RAW: KOKORO,
}
ENDINGS = {
    ".safetensors": {Kind.SAFETENSORS},
    ".pth": {Kind.TORCH_ZIP, Kind.TORCH_LEGACY, Kind.PICKLE},
    ".bin": {Kind.TORCH_ZIP, Kind.TORCH_LEGACY, Kind.PICKLE, Kind.NPY, Kind.NPZ, Kind.RAW},
    ".npy": {Kind.NPY},
    ".npz": {Kind.NPZ},
    ".wav": {Kind.WAV},
}


def kind(name: str, content: bytes) -> Kind:
    return kind_of(RelPath(name), BytesSource(content))


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("content", CONTENTS, ids=lambda each: each.name)
def test_a_disguise_is_refused(ending: str, content: Kind) -> None:
    name, data = f"model{ending}", CONTENTS[content]
    if content in ENDINGS[ending]:
        assert kind(name, data) is content
    elif content in {Kind.RAW, Kind.PICKLE} and ending != ".pth":
        # Nothing marks these: the format that the name promises is what they are held to, and are not.
        form = FORMATS[ending[1:]]
        with pytest.raises(Rejected):
            form.check(BytesSource(data))
    else:
        with pytest.raises(Rejected, match="its name ends in") as caught:
            kind(name, data)
        assert caught.value.rule == "kind"


@pytest.mark.parametrize("ending", [".json", ".yaml", ".yml", ".txt", ".model", ".onnx"])
@pytest.mark.parametrize("content", [each for each in CONTENTS if each not in {Kind.RAW, Kind.PICKLE}])
def test_a_weight_file_is_no_companion(ending: str, content: Kind) -> None:
    with pytest.raises(Rejected, match="its name ends in"):
        kind(f"a{ending}", CONTENTS[content])


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("config.json", b"{}", Kind.JSON),
        ("CONFIG.JSON", b"{}", Kind.JSON),
        ("a.yaml", b"a: 1", Kind.YAML),
        ("a.yml", b"", Kind.YAML),
        ("tokens.txt", "ç 1\n".encode(), Kind.TEXT),
        ("tokens.txt", b"", Kind.TEXT),
        ("BZh.txt", b"BZhang 1", Kind.TEXT),
        ("bpe.model", piece("<unk>", 2), Kind.SENTENCEPIECE),
        ("tiktoken.model", b"IQ== 0\nIg== 1\n", Kind.TEXT),
        ("split.model", ("a" * 4095 + "é" * 9).encode(), Kind.TEXT),
        ("model.onnx", FORMATS["onnx"].benign["float32"], Kind.ONNX),
        ("model.onnx", b"", Kind.ONNX),
        ("a.onnx.data", KOKORO, Kind.RAW),
        ("notes.md", b"# Voice\n", Kind.TEXT),
        ("weights", CONTENTS[Kind.SAFETENSORS], Kind.SAFETENSORS),
        ("dir.json/weights", KOKORO, Kind.RAW),
        ("voice.bin", bytes(1024), Kind.RAW),
        ("ggml-model.bin", b"lmgg" + bytes(64), Kind.RAW),
        ("model.gguf", b"GGUF\3\0\0\0" + bytes(64), Kind.RAW),
        ("old.bin", b"cposix\nsystem\n(S'id'\ntR.", Kind.PICKLE),
        ("old.pth", b"(lp0\nS'a'\np1\na.", Kind.PICKLE),
        ("cut.bin", pickle.dumps(list(range(99)))[:40], Kind.PICKLE),
    ],
)  # fmt: skip
def test_kinds(name: str, content: bytes, expected: Kind) -> None:
    if name == "old.pth":  # a pickle of protocol 0 that imports nothing is text that does nothing
        with pytest.raises(Rejected, match="its content is text"):
            kind(name, content)
    else:
        assert kind(name, content) is expected


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("model.bin", b"", "is empty"),
        ("model.pth", b"", "is empty"),
        ("model.bin", b"<html>404</html>", "its content is text"),
        ("model.pth", b'{"error": "not found"}', "its content is text"),
        ("model.pth", KOKORO, "its content is numbers without a header"),
        ("model.onnx", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git LFS pointer"),
        ("config.json", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git LFS pointer"),
        ("model.bin", gzip.compress(b"x", mtime=0), "it is gzip"),
        ("model.bin", b"BZh9\xff" + bytes(20), "it is bzip2"),
        ("model.bin", b"\xfd7zXZ\0" + bytes(20), "it is xz"),
        ("model.bin", b"\x28\xb5\x2f\xfd" + bytes(20), "it is zstd"),
        ("model.bin", b"\x1f\x9d\x90" + bytes(20), "it is compress"),
        ("model.bin", lzma.compress(PLAIN, lzma.FORMAT_ALONE), "it is LZMA"),
        ("model.bin", b"\x7fELF\2\1\1\0" + bytes(20), "a program"),
        ("model.bin", b"MZ\x90\0" + bytes(20), "a program"),
        ("model.bin", b"\x89HDF\r\n\x1a\n" + bytes(20), "HDF5"),
        ("model.bin", KOKORO + build([Member("a/data.pkl", b"N.")]), "zip archive with something before it"),
    ],
)  # fmt: skip
def test_what_is_no_kind_is_refused(name: str, content: bytes, why: str) -> None:
    with pytest.raises(Rejected, match=why) as caught:
        kind(name, content)
    assert caught.value.rule == "kind"


@pytest.mark.parametrize("archive", TARS.values(), ids=TARS)
@pytest.mark.parametrize("name", ["model.pth", "model.bin", "model.npy", "model", "tokens.txt"])
def test_what_python_opens_as_a_tar_archive_is_refused(name: str, archive: bytes) -> None:
    """Whatever else it is: torch.load tries that first."""
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:", format=tarfile.PAX_FORMAT) as opened:
        assert opened.getmembers()
    with pytest.raises(Rejected, match="tar archive") as caught:
        kind(name, archive)
    assert caught.value.rule == "kind"


@pytest.mark.parametrize("level", range(10))
@pytest.mark.parametrize("window", range(9, 16))
def test_zlib_is_refused_however_it_is_packed(level: int, window: int) -> None:
    packer = zlib.compressobj(level, wbits=window)
    packed = packer.compress(PLAIN * 500) + packer.flush()
    for content in (packed, packed[:100], packed + bytes(9)):
        with pytest.raises(Rejected, match="it is zlib"):
            kind("model.bin", content)


def test_numbers_that_begin_like_zlib_and_cannot_be_inflated_pass() -> None:
    assert kind("model.bin", b"\x78\x9c" + b"\xff" * 20) is Kind.RAW


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("before", [b"", b"N0", b"(1", b"]0", b"K\x010", b"X\1\0\0\0a0", b"N.", b"I5\n0", b"F1.5\n0"])
def test_a_pickle_that_imports_is_never_inert(protocol: int, before: bytes) -> None:
    assert not is_inert(BytesSource(before + pickle.dumps(Evil(), protocol)))


@pytest.mark.parametrize(
    "content",
    [
        b"cos\nsystem\n", b"cos\nsystem", b"(ios\nsystem\n.", b"(S'id'\nios\nsystem\n.", b"\x8c\2os\x8c\6system\x93.",
        b"S'" + b"x" * 100_000 + b"'\ncos\nsystem\n", b"S'" + b"x" * 65536 + b"'\ncos\nsystem\n", b"N0" * 20_000,
        b"T\2\0\0\0osU\6system\x93.", b"c" + "ö".encode() + b"\nx\n", b"Vos\n2\x93.", b"c" + b"x" * 70_000 + b"\ny\n",
        b"\x80\x05\x95\xff\xff\xff\xff\xff\xff\xff\x7fcos\nsystem\n.", b"P1\ncos\nsystem\n.", b"NQcos\nsystem\n.",
    ],
)  # fmt: skip
def test_what_may_import_is_not_inert(content: bytes) -> None:
    assert not is_inert(BytesSource(content))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0",
        bytes(100),
        b"N.",
        b"\xff" * 9,
        b"c\xff\n\xff\n",
        b"ios\nsystem\n",
        b"\x93",
        b"NN\x93.",
        b"K",
        b"X\xff\xff\xff\x7fa",
    ],
)
def test_what_stops_before_it_imports_is_inert(content: bytes) -> None:
    assert is_inert(BytesSource(content))


@given(st.binary(max_size=60))
def test_what_is_inert_imports_nothing(content: bytes) -> None:
    class Watched(pickle._Unpickler):  # type: ignore[misc] # the one in C takes memory as it is told to
        def find_class(self, module: str, name: str) -> object:
            pytest.fail(f"{content!r} imports {module}.{name}")

    if is_inert(BytesSource(content)):
        with suppress(Exception):  # whatever a pickle ends with; to fail is no Exception
            Watched(io.BytesIO(content)).load()


def test_raw_voices_are_hardly_ever_taken_for_pickles() -> None:
    chance = random.Random(3)
    taken = 0
    for _ in range(2000):
        content = struct.pack("<64f", *(chance.gauss(0, 0.2) for _ in range(64)))
        try:
            taken += kind("af.bin", content) is not Kind.RAW
        except Rejected:
            taken += 1
    assert taken < 10
