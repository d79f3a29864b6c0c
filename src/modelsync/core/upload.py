"""What of a directory goes to the bucket as a model, and why: `select`, `beside`, then `plan_upload`.

All are total. What the worker would refuse is refused here, by the functions that the worker goes by.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from modelsync.core.commit import MAX_BYTES, CommittedFile, parse_commit, render_commit
from modelsync.core.names import ModelId, Naming, RelPath, parse_model
from modelsync.core.objects import RemoteObject, gather
from modelsync.core.parts import Span
from modelsync.core.proof import Expected, Proof
from modelsync.errors import Rejected

_MAX_KEY_BYTES = 1024  # S3's limit
_TOLD = 5


@dataclass(frozen=True, slots=True)
class LocalFile:
    """One file below the directory.

    Attributes:
        path: relative; that of a directory, listed only if it cannot be gone through, ends in `/`.
        size_bytes: its size.
        stamp: numbers that change when the content may have changed.
        problem: why it cannot be uploaded, if so.
    """

    path: str
    size_bytes: int = 0
    stamp: tuple[int, ...] = ()
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that is no part of the model, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Selection:
    """The model in a directory."""

    model: ModelId
    files: tuple[LocalFile, ...]
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True, slots=True)
class Unfit:
    """The worker would refuse it."""

    reason: str


def key_of(model: ModelId, path: str, naming: Naming) -> str:
    """The key that a file of a model is uploaded to."""
    return f"{naming.prefix}{model}/{path}"


def select(name: str, found: Iterable[LocalFile], naming: Naming) -> Selection | Unfit:
    """Choose the files of a model, as the worker would see them in the bucket.

    Args:
        name: the model's name as a person typed it.
        found: everything in the directory.
        naming: the worker's.
    """
    if (reason := _no_model(name, naming)) is not None:
        return Unfit(reason)
    model = ModelId(name)
    files: list[LocalFile] = []
    skipped: list[Skipped] = []
    for file in found:
        if file.path == naming.commit_file:
            skipped.append(Skipped(file.path, "the commit file is written anew"))
        elif file.path == naming.signature_file:
            skipped.append(Skipped(file.path, "a signature is made with --sign, and is no part of the model"))
        elif naming.is_known(file.path) or file.path.endswith("/"):
            files.append(file)
        else:
            skipped.append(Skipped(file.path, "files with this ending are never published"))
    problems = [f"{file.path!r} {file.problem}" for file in files if file.problem is not None]
    problems += [
        f"{file.path!r} makes a key of over {_MAX_KEY_BYTES} bytes"
        for file in files
        if len(key_of(model, file.path, naming).encode(errors="replace")) > _MAX_KEY_BYTES
    ]
    if problems:
        more = f"; and {len(problems) - _TOLD} more" if len(problems) > _TOLD else ""
        return Unfit("; ".join(problems[:_TOLD]) + more)
    selection = Selection(model, tuple(files), tuple(skipped))
    return beside(selection, (), naming) or selection


def _no_model(name: str, naming: Naming) -> str | None:
    try:
        parse_model(name, naming)
    except ValueError as error:
        return str(error)
    if name.count("/") + 1 < naming.depth:
        return f"{name!r} is no model of several files: MODEL_DEPTH={naming.depth} asks for {naming.depth} segments"
    if not naming.selects(name):
        return f"model {name!r} is left out by MODEL_INCLUDE or MODEL_EXCLUDE"
    return None


def beside(selection: Selection, listing: Iterable[RemoteObject], naming: Naming) -> Unfit | None:
    """Say why the files must not join those that the bucket has below the model, if so."""
    ours = {key_of(selection.model, file.path, naming): file for file in selection.files}
    objects = [RemoteObject(key, file.size_bytes, "", 0.0) for key, file in ours.items()]
    others = [remote for remote in listing if remote.key not in ours]
    snapshot = gather(selection.model, [*objects, *others], naming)
    if snapshot is None:
        return Unfit(f"there is no weight file: one ends in {', '.join(naming.weight_extensions)}")
    if snapshot.refused is None:
        return None
    return Unfit(f"{snapshot.refused} (remove it from the bucket)" if others else snapshot.refused)


@dataclass(frozen=True)
class DigestedFile:
    """A file of the model that was read once.

    Attributes:
        file: as the directory showed it.
        sha256: in hex.
        crc64nvme: as S3 writes it.
        parts: the spans that it is uploaded in, with the CRC64NVME of each.
        proofs: the checksums that it can be compared by, written as `Expected` has them.
    """

    file: LocalFile
    sha256: str
    crc64nvme: str
    parts: tuple[tuple[Span, int], ...]
    proofs: Mapping[Proof, str]

    @property
    def path(self) -> RelPath:
        """Its path below the model."""
        return RelPath(self.file.path)

    @property
    def size_bytes(self) -> int:
        """Its size."""
        return self.file.size_bytes


@dataclass(frozen=True, slots=True)
class OnRecord:
    """An object that has the size of the file that belongs there, and what S3 offers to compare the two by."""

    object: RemoteObject
    expected: Expected


@dataclass(frozen=True)
class Before:
    """What the bucket has of the model.

    Attributes:
        objects: by path.
        records: of those whose size is that of the file to upload.
        commit: the commit file, if it can be read.
        committed_at: when that object was made, in seconds since the epoch by S3's clock; None without one.
        signed: there is a signature.
    """

    objects: Mapping[str, RemoteObject]
    records: Mapping[str, OnRecord]
    commit: Sequence[CommittedFile] | None = None
    committed_at: float | None = None
    signed: bool = False


@dataclass(frozen=True, slots=True)
class PlannedUpload:
    """A file to upload, and why.

    `held`: it is to appear together with the others that are held, when the bytes of all are there.
    """

    file: DigestedFile
    reason: str
    held: bool = False


@dataclass(frozen=True)
class UploadPlan:
    """What to upload.

    Attributes:
        model: its name.
        uploads: files that the bucket has not, or not so.
        kept: files that the bucket has, with their ETags.
        commit: the commit file's content.
        commit_reason: why it is to be written; None if the bucket has it so.
        signed: the bucket has a signature of the model.
    """

    model: ModelId
    uploads: tuple[PlannedUpload, ...]
    kept: tuple[tuple[DigestedFile, str], ...]
    commit: bytes
    commit_reason: str | None
    signed: bool = False

    @property
    def upload_bytes(self) -> int:
        """Sum of the sizes of what is to be uploaded."""
        return sum(upload.file.size_bytes for upload in self.uploads)


def plan_upload(model: ModelId, files: Sequence[DigestedFile], before: Before, naming: Naming) -> UploadPlan | Unfit:
    """Decide what has to be uploaded."""
    entries = [_entry(file) for file in files]
    commit = render_commit(entries)
    if len(commit) > MAX_BYTES:
        return Unfit(f"{len(files)} files are too many: the commit file would be larger than {MAX_BYTES} bytes")
    try:
        parse_commit(commit, naming)
    except Rejected as error:
        return Unfit(error.reason)
    uploads, kept = [], []
    listed = {entry.path: entry for entry in before.commit or ()}
    # Without a commit file the worker takes what is quiet for whole. So the companions come first, which
    # are no model yet, and the weight files at once.
    for file in sorted(files, key=lambda file: (naming.is_weight(file.path), file.path)):
        reason = _difference(file, before, listed.get(file.path))
        if reason is None:
            kept.append((file, before.objects[file.path].etag))
        else:
            held = before.commit is None and naming.is_weight(file.path)
            uploads.append(PlannedUpload(file, reason, held))
    return UploadPlan(
        model=model,
        uploads=tuple(uploads),
        kept=tuple(kept),
        commit=commit,
        commit_reason=_commit_reason(entries, before, uploading=bool(uploads)),
        signed=before.signed,
    )


def _entry(file: DigestedFile) -> CommittedFile:
    return CommittedFile(file.path, file.size_bytes, file.sha256)


def _difference(file: DigestedFile, before: Before, listed: CommittedFile | None) -> str | None:
    """Return why a file has to be uploaded, or None if the bucket has it."""
    remote = before.objects.get(file.path)
    if remote is None:
        return "not in the bucket"
    record = before.records.get(file.path)
    if record is None:
        return f"the bucket has {remote.size_bytes} bytes of it, not {file.size_bytes}"
    proof = record.expected.proof
    if proof is not Proof.SIZE:
        return None if file.proofs[proof] == record.expected.value else f"the bucket's {proof.value} differs"
    if before.committed_at is not None and remote.last_modified <= before.committed_at and listed == _entry(file):
        return None  # the word of whoever uploaded it
    return "S3 has no checksum of it to compare by"


def _commit_reason(entries: Sequence[CommittedFile], before: Before, *, uploading: bool) -> str | None:
    if before.commit is None:
        return "not in the bucket" if before.committed_at is None else "the worker could not use the one in the bucket"
    if set(before.commit) != set(entries):
        return "it lists other files"
    return "what it lists was uploaded anew" if uploading else None
