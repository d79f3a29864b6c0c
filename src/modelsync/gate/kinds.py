"""What a file is: its content says so, and its name must agree.

A program picks the loader by the name or by the content. If the two disagree, some program reads a file in a way that
nobody has judged: a pickle named `.json` waits for a loader that does not look at names.
"""

from __future__ import annotations

import re
import tarfile
import zlib
from enum import StrEnum
from typing import Final

from modelsync.core.names import RelPath
from modelsync.core.words import quoted
from modelsync.errors import Rejected
from modelsync.gate import archive
from modelsync.gate.arrays import NPY_MAGIC
from modelsync.gate.inert import is_inert
from modelsync.gate.source import Source
from modelsync.gate.torch import LEGACY_MAGIC


class Kind(StrEnum):
    """A format, in words."""

    SAFETENSORS = "safetensors"
    ONNX = "ONNX"
    TORCH_ZIP = "a PyTorch archive"
    TORCH_LEGACY = "a PyTorch file of the older format"
    PICKLE = "a pickle"
    NPY = "a NumPy array"
    NPZ = "an archive of NumPy arrays"
    WAV = "WAV audio"
    JSON = "JSON"
    YAML = "YAML"
    TEXT = "text"
    SENTENCEPIECE = "a SentencePiece vocabulary"
    RAW = "numbers without a header"


_TORCH: Final = frozenset({Kind.TORCH_ZIP, Kind.TORCH_LEGACY, Kind.PICKLE})
_ALLOWED: Final = {
    ".safetensors": frozenset({Kind.SAFETENSORS}),
    ".onnx": frozenset({Kind.ONNX}),
    ".pth": _TORCH, ".pt": _TORCH, ".ckpt": _TORCH, ".pkl": _TORCH, ".pickle": _TORCH,
    ".bin": _TORCH | {Kind.NPY, Kind.NPZ, Kind.RAW},
    ".npy": frozenset({Kind.NPY}),
    ".npz": frozenset({Kind.NPZ}),
    ".wav": frozenset({Kind.WAV}),
    ".json": frozenset({Kind.JSON}),
    ".yaml": frozenset({Kind.YAML}), ".yml": frozenset({Kind.YAML}),
    ".txt": frozenset({Kind.TEXT}),
    ".model": frozenset({Kind.SENTENCEPIECE, Kind.TEXT}),
}  # fmt: skip
_OTHER: Final = _ALLOWED[".bin"] | {Kind.SAFETENSORS, Kind.WAV, Kind.TEXT}
"""What a file may be whose ending the operator has chosen, and this table does not know."""

_UNPICKLED: Final = _TORCH | {Kind.NPY, Kind.NPZ}

_LFS = b"version https://git-lfs.github.com/spec/"
_PACKED = {
    b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"\x04\x22\x4d\x18": "lz4",
    b"7z\xbc\xaf": "7z", b"Rar!": "rar", b"\x5d\0\0": "LZMA", b"\x1f\x9d": "compress",
    b"\x89HDF": "HDF5", b"\x7fELF": "a program", b"MZ": "a program", b"#!": "a program",
}  # fmt: skip
_ZIP_END = b"PK\x05\x06"
_ZIP_TAIL_BYTES = (64 << 10) + 22
_CONTROLS = frozenset(map(chr, [*range(9), *range(14, 27), *range(28, 32), 127]))  # ESC colours some texts
_HEAD_BYTES = 4096
_INFLATED_BYTES = 4096
_ZLIB_CHECK = 31
_PROTOCOL = re.compile(rb"\x80[\x02-\x05]")  # with it every pickle begins since protocol 2
_SAFETENSORS_BYTES = 100_000_000  # the longest header that the format allows


def may_unpickle(path: RelPath) -> bool:
    """Whether programs that load a file of this name may unpickle what is in it."""
    return bool(_ALLOWED.get(_ending(path), _OTHER) & _UNPICKLED)


def kind_of(path: RelPath, source: Source) -> Kind:
    """What a file is.

    Raises:
        Rejected: rule `kind`; name and content disagree, or the content is nothing that is known.
    """
    head = source.read(0, _HEAD_BYTES)
    if head.startswith(_LFS):
        raise _bad("it is a Git LFS pointer, not the file that it points to: upload that")
    if _is_tar(head):
        raise _bad("it is a tar archive: PyTorch has not written these since 2017; load and save it again")
    ending = _ending(path)
    allowed = _ALLOWED.get(ending, _OTHER)
    kind = _marked(head, source.size_bytes)
    if kind is None and len(allowed) == 1:
        return next(iter(allowed))  # whose own check says what is wrong with it
    kind = kind or _unmarked(head, source, allowed)
    if kind not in allowed:
        raise _bad(f"its name ends in {quoted(ending)}, its content is {kind}")
    return kind


def _ending(path: RelPath) -> str:
    dot = path.rfind(".")
    return path[dot:].lower() if dot > path.rfind("/") else ""


def _marked(head: bytes, size_bytes: int) -> Kind | None:
    """The kind of what has a mark that nothing else has."""
    if head.startswith(archive.SIGNATURE):
        name = head[30 : 30 + int.from_bytes(head[26:28], "little")]
        return Kind.NPZ if name.endswith(b".npy") else Kind.TORCH_ZIP
    if head.startswith(NPY_MAGIC):
        return Kind.NPY
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return Kind.WAV
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= min(size_bytes, _SAFETENSORS_BYTES):
        return Kind.SAFETENSORS
    if LEGACY_MAGIC in head[:32]:
        return Kind.TORCH_LEGACY
    return None


def _unmarked(head: bytes, source: Source, allowed: frozenset[Kind]) -> Kind:
    """The kind of what could be several."""
    if not head and Kind.TEXT not in allowed:
        raise _bad("it is empty")
    if _is_text(head) and (Kind.PICKLE not in allowed or is_inert(source)):
        return Kind.TEXT
    if Kind.SENTENCEPIECE in allowed:
        return Kind.SENTENCEPIECE
    if _PROTOCOL.match(head) or not is_inert(source):
        return Kind.PICKLE
    for mark, name in _PACKED.items():
        if head.startswith(mark):
            raise _bad(f"it is {name}, which is not looked into")
    if _is_zlib(head):
        raise _bad("it is zlib, which is not looked into")
    if _ZIP_END in source.read(max(source.size_bytes - _ZIP_TAIL_BYTES, 0), _ZIP_TAIL_BYTES):
        raise _bad("it is a zip archive with something before it")
    return Kind.RAW


def _is_text(head: bytes) -> bool:
    """Whether a file begins like text, perhaps with its last character cut off; an empty one does."""
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        if error.end < len(head) - 3:
            return False
        text = head[: error.start].decode()
    return not any(character in _CONTROLS for character in text)


def _is_tar(head: bytes) -> bool:
    """Whether Python, and torch.load with it, sees a tar archive here, whatever else it is too.

    An archive without files, which begins with zeros, is none: numbers do.
    """
    try:
        tarfile.TarInfo.frombuf(head[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _is_zlib(head: bytes) -> bool:
    """Whether a header of zlib's begins it, and what is behind that can be inflated."""
    if len(head) < 2 or head[0] & 0x0F != zlib.DEFLATED or int.from_bytes(head[:2], "big") % _ZLIB_CHECK:
        return False
    try:
        zlib.decompressobj().decompress(head, _INFLATED_BYTES)
    except zlib.error:
        return False
    return True


def _bad(why: str) -> Rejected:
    return Rejected("kind", why)
