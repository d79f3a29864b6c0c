"""A file by what it is, among the other files of its model."""

from __future__ import annotations

from collections.abc import Mapping

from modelsync.core.names import RelPath
from modelsync.core.words import quoted
from modelsync.errors import Rejected
from modelsync.gate.arrays import check_npy, check_npz
from modelsync.gate.jsontext import check_json
from modelsync.gate.kinds import Kind, kind_of
from modelsync.gate.onnx import check_onnx
from modelsync.gate.safetensors import check_safetensors
from modelsync.gate.source import Source
from modelsync.gate.text import check_sentencepiece, check_text
from modelsync.gate.torch import ScanPickle, check_pickle, check_torch_legacy, check_torch_zip
from modelsync.gate.wav import check_wav
from modelsync.gate.yamltext import check_yaml

_PLAIN = {
    Kind.SAFETENSORS: check_safetensors,
    Kind.NPY: check_npy,
    Kind.NPZ: check_npz,
    Kind.WAV: check_wav,
    Kind.JSON: check_json,
    Kind.TEXT: check_text,
    Kind.SENTENCEPIECE: check_sentencepiece,
}


def check_file(path: RelPath, files: Mapping[RelPath, Source], scan: ScanPickle, *, allow_code: bool) -> None:
    """Judge one file of a model.

    Args:
        path: the file's.
        files: all of them, by their paths inside the model.
        scan: judges pickles.
        allow_code: whether programs may pass: TorchScript, torch.package, YAML tags of an application's own.

    Raises:
        Rejected: the reason names the file.
        OSError: a file could not be read.
    """
    try:
        _check(path, files, scan, allow_code=allow_code)
    except Rejected as error:
        raise Rejected(error.rule, f"{quoted(path)}: {error.reason}") from error


def _check(path: RelPath, files: Mapping[RelPath, Source], scan: ScanPickle, *, allow_code: bool) -> None:
    source = files[path]
    match kind_of(path, source):
        case Kind.ONNX:
            check_onnx(source, lambda location: _size_beside(path, location, files))
        case Kind.TORCH_ZIP:
            check_torch_zip(source, scan, allow_code=allow_code)
        case Kind.TORCH_LEGACY:
            check_torch_legacy(source, scan)
        case Kind.PICKLE:
            check_pickle(source, scan)
        case Kind.YAML:
            check_yaml(source, allow_code=allow_code)
        case Kind.RAW:
            pass  # bytes that nothing is known of, but that they start nothing: see kinds and inert
        case plain:
            _PLAIN[plain](source)


def _size_beside(path: RelPath, location: RelPath, files: Mapping[RelPath, Source]) -> int | None:
    """The size of a file that another one names relative to itself."""
    directory, slash, _ = path.rpartition("/")
    source = files.get(RelPath(f"{directory}{slash}{location}"))
    return None if source is None else source.size_bytes
