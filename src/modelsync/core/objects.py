"""What S3 says of its objects, and what a model's objects are together."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, NewType

from modelsync.core.names import Ignored, Located, Locator, ModelId, Naming, Refused, RelPath, clash

MOST_OBJECTS = 100_000
"""A model of more is refused, and no more of them are held in memory."""

Revision = NewType("Revision", str)
"""Name of one content of a model: 32 hex digits."""

Digest = NewType("Digest", str)
"""Name of one listing of a model's objects: 32 hex digits."""


class RemoteObject(NamedTuple):
    """One object as a listing gives it.

    Attributes:
        key: the S3 key, decoded.
        size_bytes: its size.
        etag: the entity tag without its quotes; a weak one begins with `W/`.
        last_modified: seconds since the epoch, by S3's clock.
        version_id: None where the bucket keeps no versions or the listing does not say.
    """

    key: str
    size_bytes: int
    etag: str
    last_modified: float
    version_id: str | None = None


@dataclass(frozen=True, slots=True)
class Upload:
    """A multipart upload in progress. `begun_at`: seconds since the epoch, by S3's clock."""

    key: str
    begun_at: float


class ModelFile(NamedTuple):
    """One object in its role as a file of a model."""

    path: RelPath
    object: RemoteObject


@dataclass(frozen=True)
class Snapshot:
    """All objects of one model, as one listing shows them.

    Attributes:
        model: its name.
        files: in order of their paths; commit file and signature are not among them.
        commit: the commit file, if there is one.
        signature: the signature, if there is one.
        single: the model is one object, published as a file.
        refused: why the model must not be published as it stands, if so.
    """

    model: ModelId
    files: tuple[ModelFile, ...] = ()
    commit: RemoteObject | None = None
    signature: RemoteObject | None = None
    single: bool = False
    refused: str | None = None

    @property
    def digest(self) -> Digest:
        """Name everything that the listing says of this model.

        Two equal digests mean that nothing needs to be fetched, not even the commit file.
        """
        entries = [(file.path, file.object.size_bytes, _version(file.object)) for file in self.files]
        for name, control in (("\0commit", self.commit), ("\0signature", self.signature)):
            if control is not None:
                entries.append((RelPath(name), control.size_bytes, _version(control)))
        if self.refused is not None:
            entries.append((RelPath("\0refused"), 0, self.refused))
        return Digest(_digest(entries))

    @property
    def newest(self) -> float:
        """When the youngest object, whatever its role, was made: seconds since the epoch, by S3's clock."""
        objects = [*(file.object for file in self.files), self.commit, self.signature]
        return max((remote.last_modified for remote in objects if remote is not None), default=0.0)


def revision_of(files: Iterable[ModelFile]) -> Revision:
    """Name a content: a digest of its sorted (relative path, size, etag)."""
    return Revision(_digest((file.path, file.object.size_bytes, file.object.etag) for file in files))


def _version(remote: RemoteObject) -> str:
    """With its time, so that the same bytes uploaded once more, to mend what was refused, are looked at."""
    return f"{remote.etag}@{remote.last_modified:.3f}"


def _digest(entries: Iterable[tuple[str, int, str]]) -> str:
    found = hashlib.sha256()
    for path, size_bytes, etag in sorted(entries):
        found.update(f"{path}\0{size_bytes}\0{etag}\n".encode())
    return found.hexdigest()[:32]


@dataclass
class _Gathering:
    model: ModelId
    objects: int = 0
    files: list[ModelFile] = field(default_factory=list)
    lone: list[ModelFile] = field(default_factory=list)
    commit: RemoteObject | None = None
    signature: RemoteObject | None = None
    refused: list[str] = field(default_factory=list)

    def take(self, remote: RemoteObject, place: Located | Refused, naming: Naming) -> None:
        self.objects += 1
        if self.objects > MOST_OBJECTS:
            self.files, self.lone, self.commit, self.signature = [], [], None, None
            self.refused = [f"it has more than {MOST_OBJECTS:,} objects: exclude it, or make several models of it"]
        elif isinstance(place, Refused):
            self.refused.append(place.reason)
        elif place.single:
            self.lone.append(ModelFile(place.path, remote))
        elif place.path == naming.commit_file:
            self.commit = remote
        elif place.path == naming.signature_file:
            self.signature = remote
        else:
            self.files.append(ModelFile(place.path, remote))


class Wanted:
    """Tells which objects of a listing are a model's, and, past the most that it may have, no more of them."""

    def __init__(self, model: ModelId, naming: Naming) -> None:
        self._model = model
        self._locate = Locator(naming)
        self._left = MOST_OBJECTS + 1  # one more shows that there are too many

    def __call__(self, remote: RemoteObject) -> bool:
        """Whether an object is one of them."""
        place = self._locate(remote.key)
        wanted = self._left > 0 and not isinstance(place, Ignored) and place.model == self._model
        self._left -= wanted
        return wanted


def gather(model: ModelId, objects: Iterable[RemoteObject], naming: Naming) -> Snapshot | None:
    """Put one model's objects together; None if there is no such model among them.

    Objects of other models may be mixed in and are passed over.
    """
    found, locate = _Gathering(model), Locator(naming)
    for remote in objects:
        place = locate(remote.key)
        if not isinstance(place, Ignored) and place.model == model:
            found.take(remote, place, naming)
    return _snapshot(found, naming)


@dataclass(frozen=True, slots=True)
class Gathered:
    """What stands together in a listing of one model: so many objects, and what they are together.

    `snapshot` is None if they are no model.
    """

    model: ModelId
    objects: int
    snapshot: Snapshot | None


def gather_all(objects: Iterable[RemoteObject], naming: Naming) -> Iterator[Gathered | Refused]:
    """Split a listing in key order into models, one at a time, so that memory does not grow with it.

    All keys of one model stand together in a listing, except that a lone object and a directory
    of the same name may be parted by others (`a.onnx`, `a.onnx-2/…`, `a.onnx/…`): such a model
    comes twice, and whoever cares lists it by itself.

    Yields:
        A model with its relevant objects, or a key that names no model and why.
    """
    found, locate = None, Locator(naming)
    for remote in objects:
        place = locate(remote.key)
        if isinstance(place, Ignored):
            continue
        if place.model is None:
            yield place
            continue
        if found is None or found.model != place.model:
            if found is not None:
                yield _gathered(found, naming)
            found = _Gathering(place.model)
        found.take(remote, place, naming)
    if found is not None:
        yield _gathered(found, naming)


def _gathered(found: _Gathering, naming: Naming) -> Gathered:
    return Gathered(found.model, found.objects, _snapshot(found, naming))


def _snapshot(found: _Gathering, naming: Naming) -> Snapshot | None:
    files = sorted(found.files, key=lambda file: file.path)
    if not found.refused and not any(naming.is_weight(file.path) for file in [*files, *found.lone]):
        return None
    if found.lone and (files or found.commit or found.signature):
        found.refused.append(f"{found.model!r} is an object and a prefix at once")
    if (reason := clash([file.path for file in files])) is not None:
        found.refused.append(reason)
    return Snapshot(
        model=found.model,
        files=tuple(files or found.lone),
        commit=found.commit,
        signature=found.signature,
        single=not files,
        refused="; ".join(sorted(found.refused)) or None,
    )
