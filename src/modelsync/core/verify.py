"""Whether what stands on the volume is what was published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from modelsync.core.damage import Finding, Kind
from modelsync.core.manifest import FileRecord, Manifest, Published
from modelsync.core.names import ModelId, unsafe
from modelsync.core.objects import ModelFile, RemoteObject, Revision, revision_of

_WRITABLE = 0o222


@dataclass(frozen=True, slots=True)
class Entry:
    """A name below a revision's files. `regular`: it is a file, no link, device or pipe. `mode`: its permissions."""

    path: str
    size_bytes: int
    mode: int
    regular: bool = True


def check_manifest(manifest: Manifest, model: ModelId, revision: Revision) -> Finding | None:
    """Say whether a manifest is that of this revision of this model: the name is the digest of what it lists."""
    listed = revision_of(
        ModelFile(record.path, RemoteObject(record.path, record.size_bytes, record.etag, 0.0))
        for record in manifest.files
    )
    actual = (manifest.model, manifest.revision, listed)
    if actual != (model, revision, revision):
        return Finding(Kind.MANIFEST, "", f"that of {model} {revision}", f"that of {actual[0]} {actual[1]} or altered")
    return None


def check_names(manifest: Manifest, entries: Sequence[Entry]) -> tuple[tuple[Finding, ...], tuple[FileRecord, ...]]:
    """Hold the names, sizes and modes in a revision's directory against its manifest.

    Returns:
        What is wrong, and the files whose bytes are worth reading, in order of their paths.
    """
    wrong: list[Finding] = []
    readable: list[FileRecord] = []
    there = {entry.path: entry for entry in entries}
    for record in sorted(manifest.files, key=lambda record: record.path):
        entry = there.pop(record.path, None)
        if entry is None or not entry.regular:
            wrong.append(Finding(Kind.MISSING, record.path, "a file", "not there" if entry is None else "no file"))
            continue
        if entry.mode & _WRITABLE:
            wrong.append(Finding(Kind.MODE, record.path, "0444", f"{entry.mode:04o}"))
        if entry.size_bytes != record.size_bytes:
            wrong.append(Finding(Kind.SIZE, record.path, str(record.size_bytes), str(entry.size_bytes)))
        else:
            readable.append(record)
    wrong += [Finding(Kind.EXTRA, _printable(path), "absent", "there") for path in sorted(there)]
    return tuple(wrong), tuple(readable)


def check_bytes(record: FileRecord, size_bytes: int, crc64nvme: str) -> Finding | None:
    """Hold what was read of a file against its record. `crc64nvme`: 16 hex digits."""
    if size_bytes != record.size_bytes:
        return Finding(Kind.SIZE, record.path, str(record.size_bytes), str(size_bytes))
    if crc64nvme != record.crc64nvme:
        return Finding(Kind.CHECKSUM, record.path, record.crc64nvme, crc64nvme)
    return None


def check_link(published: Published) -> Finding | None:
    """Say whether readers of a model see the revision on record."""
    current = published.current
    recorded = current.revision if current is not None and current.unpublished_at is None else None
    if recorded == published.linked:
        return None
    return Finding(Kind.LINK, "", recorded or "on record", published.linked or "not there")


def _printable(path: str) -> str:
    """A name that anybody may have put there, in a form that fits any log, record and terminal."""
    return path if unsafe(path) is None else ascii(path)
