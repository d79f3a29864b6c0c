"""From an S3 key to a model and a file in it, or to the reason why not.

Keys are hostile input: one that would leave its model's directory, or that two file systems
would read differently, is refused here and never reaches the volume.
"""

from __future__ import annotations

import fnmatch
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple, NewType
from urllib.parse import quote, unquote

ModelId = NewType("ModelId", str)
"""Name of a model: one to `MODEL_DEPTH` path segments, `/` between them."""

RelPath = NewType("RelPath", str)
"""Path of a file below its model: safe to join to a directory."""

_PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,200}")
"""Names of which `unsafe` has nothing to say."""

RESERVED = ".modelsync"
MAX_SEGMENT_BYTES = 255  # NAME_MAX of the file systems in question


@dataclass(frozen=True)
class Naming:
    """How keys name models.

    Attributes:
        prefix: only keys that start with it belong to us; empty, or ends in `/`.
        depth: path segments below the prefix that name a model.
        weight_extensions: endings, with dot and in lower case, of files that make a prefix a model.
        companion_extensions: endings of files that are published beside weight files.
        commit_file: name of the commit file, directly below the model.
        signature_file: name of the signature, directly below the model: what the OpenSSF tool writes.
        include: glob patterns; a model is ours if it matches one, or if there are none.
        exclude: glob patterns; a model that matches one is not ours.
    """

    prefix: str = ""
    depth: int = 1
    weight_extensions: tuple[str, ...] = (".pth", ".bin", ".onnx", ".safetensors")
    companion_extensions: tuple[str, ...] = (
        ".json", ".yaml", ".yml", ".txt", ".model", ".npy", ".npz", ".wav",
    )  # fmt: skip
    commit_file: str = "modelsync.json"
    signature_file: str = "model.sig"
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def is_weight(self, path: str) -> bool:
        """Whether a path ends like a weight file."""
        return path.lower().endswith(self.weight_extensions)

    def is_known(self, path: str) -> bool:
        """Whether a path ends like a file that is published."""
        return path.lower().endswith(self._known_extensions)

    @cached_property
    def control_files(self) -> frozenset[str]:
        """Names, directly below a model, of files that tell of it and are no part of it."""
        return frozenset({self.commit_file, self.signature_file})

    @cached_property
    def _known_extensions(self) -> tuple[str, ...]:
        return self.weight_extensions + self.companion_extensions

    def selects(self, model: str) -> bool:
        """Whether `MODEL_INCLUDE` and `MODEL_EXCLUDE` let the model through."""
        included = not self.include or any(fnmatch.fnmatchcase(model, glob) for glob in self.include)
        return included and not any(fnmatch.fnmatchcase(model, glob) for glob in self.exclude)

    def covers(self, model: str) -> bool:
        """Whether the bucket could have the model under this configuration: else its absence says nothing."""
        return self.selects(model) and model.count("/") < self.depth

    def list_prefix(self, model: ModelId) -> str:
        """The narrowest prefix whose listing holds every key of the model.

        A model whose name ends like a weight file can be a lone object, which a prefix with a
        slash at its end would miss.
        """
        return f"{self.prefix}{model}" if self.is_weight(model) else f"{self.prefix}{model}/"


class Located(NamedTuple):
    """The key is a file of a model (or its commit file, or signature). `single`: the object is the whole model."""

    model: ModelId
    path: RelPath
    single: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """The key must not reach the volume; `model` is the one that is held back, if the key names one."""

    model: ModelId | None
    reason: str


@dataclass(frozen=True, slots=True)
class Ignored:
    """The key is none of our business: outside the prefix, another ending, a directory marker."""


def locate(key: str, naming: Naming) -> Located | Refused | Ignored:
    """Say which file of which model a key is.

    A key is judged by its ending first: what would never be published cannot do harm, and a
    stray `alice/../notes.pdf` should not hold a voice back.
    """
    if not key.startswith(naming.prefix):
        return Ignored()
    below = key[len(naming.prefix) :]
    segments = below.split("/")
    name = segments[-1]
    if not name or not (naming.is_known(name) or name in naming.control_files):
        return Ignored()
    if len(segments) <= naming.depth:
        if not naming.is_weight(name):
            return Ignored()
        model, path, single = below, name, True
    else:
        model = "/".join(segments[: naming.depth])
        path, single = "/".join(segments[naming.depth :]), False
        if not (naming.is_known(name) or path in naming.control_files):
            return Ignored()
    if (reason := _no_model(model)) is not None:
        return Refused(None, f"key {key!r} names no model: {reason}")
    if not naming.selects(model):
        return Ignored()
    if (reason := unsafe(path)) is not None:
        return Refused(ModelId(model), f"key {key!r} is no file of a model: {reason}")
    return Located(ModelId(model), RelPath(path), single)


class Locator:
    """Does what `locate` does, for one key after the other: what neighbours in a listing share is judged once."""

    def __init__(self, naming: Naming) -> None:
        self._naming = naming
        self._directory: str | None = None
        self._model: ModelId | None = None
        self._inside = ""

    def __call__(self, key: str) -> Located | Refused | Ignored:
        """Say which file of which model a key is."""
        cut = key.rfind("/") + 1
        directory, name = key[:cut], key[cut:]
        if directory != self._directory:
            self._enter(directory)
        if self._model is None or not self._naming.is_known(name) or not _PLAIN.fullmatch(name):
            return locate(key, self._naming)
        return Located(self._model, RelPath(self._inside + name))

    def _enter(self, directory: str) -> None:
        """Judge a directory by its commit file: every plain name beside it is a file of the same model."""
        self._directory, self._model = directory, None
        match locate(directory + self._naming.commit_file, self._naming):
            case Located(model=model, path=path, single=False):
                self._model, self._inside = model, path.removesuffix(self._naming.commit_file)


@lru_cache(maxsize=256)
def _no_model(name: str) -> str | None:
    """Remembered, since a listing has the files of one model side by side."""
    return unsafe(name) or unsafe_model(name)


def unsafe(path: str) -> str | None:
    """Return why a relative path must not be used on a volume, or None if it may.

    Examples:
        >>> unsafe("de/model.onnx") is None
        True
        >>> unsafe("../model.onnx")
        "it has a '..' segment"
    """
    for character in "" if path.isascii() and path.isprintable() else path:
        # Cc: control, Cs: lone surrogate, Zl/Zp: line separators, which break logs and shells.
        if unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}:
            return f"it has the character U+{ord(character):04X}"
    for segment in path.split("/"):
        if not segment:
            return "it has an empty segment"
        if segment in {".", ".."}:
            return f"it has a {segment!r} segment"
        if len(segment.encode()) > MAX_SEGMENT_BYTES:
            return f"a segment is longer than {MAX_SEGMENT_BYTES} bytes"
    return None


def unsafe_model(model: str) -> str | None:
    """Return why a safe relative path still cannot be a model's name, or None if it can."""
    if fold(model.split("/", 1)[0]) == RESERVED:
        return f"{RESERVED} is where modelsync keeps its own files"
    if len(encode(model)) > MAX_SEGMENT_BYTES:
        return f"its percent-encoded form is longer than {MAX_SEGMENT_BYTES} bytes"
    return None


@lru_cache(maxsize=256)
def encode(model: str) -> str:
    """Turn a model's name into one directory name, reversibly."""
    return quote(model, safe="")


def decode(name: str) -> ModelId:
    """Undo `encode`."""
    return ModelId(unquote(name))


def parse_model(text: str, naming: Naming) -> ModelId:
    """Take a model's name as a person typed it.

    Raises:
        ValueError: it is no possible name of a model under this configuration.
    """
    reason = unsafe(text) or unsafe_model(text)
    if reason is not None:
        raise ValueError(f"{text!r} is no model's name: {reason}")
    if text.count("/") >= naming.depth:
        raise ValueError(
            f"{text!r} is no model's name: MODEL_DEPTH={naming.depth} allows at most {naming.depth} segment(s)"
        )
    return ModelId(text)


def fold(name: str) -> str:
    """Two names with the same fold are one name on some volume (case, Unicode normalisation)."""
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def clash(paths: Sequence[str]) -> str | None:
    """Return why a set of paths cannot stand on one volume together, or None if it can."""
    files: dict[str, str] = {}
    for path in paths:
        other = files.setdefault(fold(path), path)
        if other != path:
            return f"{other!r} and {path!r} are one name on a volume that ignores case or normalises Unicode"
    directories: dict[str, str] = {}
    for path in paths:
        for parent in parents(path) if "/" in path else ():
            folded = fold(parent)
            if folded in files:
                return f"{files[folded]!r} would have to be a file and the directory of {path!r}"
            other = directories.setdefault(folded, parent)
            if other != parent:
                return f"{other!r} and {parent!r} are one name on a volume that ignores case or normalises Unicode"
    return None


def parents(path: str) -> list[str]:
    """All directories above a relative path, the nearest last.

    Examples:
        >>> parents("a/b/c")
        ['a', 'a/b']
    """
    segments = path.split("/")[:-1]
    return ["/".join(segments[: n + 1]) for n in range(len(segments))]
