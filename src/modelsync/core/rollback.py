"""Which revision a model goes back to, and what has to be done for that."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from modelsync.core.manifest import FileRecord, Manifest, Published
from modelsync.core.names import ModelId, Naming
from modelsync.core.objects import RemoteObject, Revision
from modelsync.core.plan import Build, PlannedFile
from modelsync.core.upload import key_of
from modelsync.core.verify import check_bytes, check_manifest
from modelsync.core.words import some

_NAME = re.compile(r"[0-9a-f]{6,32}")
_QUOTED = 40
_MOST_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Stay:
    """Readers see the revision already."""

    revision: Revision
    reason: str


@dataclass(frozen=True, slots=True)
class Restore:
    """The revision is whole on the volume: switch to it."""

    revision: Revision
    reason: str


@dataclass(frozen=True, slots=True)
class Refetch:
    """The revision's manifest is on record: fetch again the versions that it was made of."""

    revision: Revision
    reason: str


@dataclass(frozen=True, slots=True)
class Impossible:
    """There is no way back: why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Overridden:
    """What became of a rollback, a pin or its removal.

    Attributes:
        model, revision: what readers see now.
        pinned: it stays so whatever the bucket has.
        changed: it was not so before.
        reason: in a sentence.
    """

    model: ModelId
    revision: Revision | None
    pinned: bool
    changed: bool
    reason: str


def check_reason(text: str) -> str:
    """See that a pin's reason can stand in records, logs and tables, and give it back.

    Raises:
        ValueError: it cannot.
    """
    if not text or len(text) > _MOST_CHARACTERS or not text.isprintable():
        raise ValueError(f"a reason is one line of 1 to {_MOST_CHARACTERS} characters")
    return text


def choose(
    published: Published, remembered: Collection[Revision], to: str | None
) -> Stay | Restore | Refetch | Impossible:
    """Choose the revision to go back to.

    Args:
        published: the model on the volume.
        remembered: revisions whose manifests are on record, on the volume or not.
        to: a revision's name or the start of it, at least six characters; None: the newest that readers saw
            before and that was not rolled back from, if possible one that is whole on the volume.
    """
    found = _earlier(published, remembered) if to is None else _named(published, remembered, to)
    return found if isinstance(found, Impossible) else _way_to(found, published, remembered)


def _earlier(published: Published, remembered: Collection[Revision]) -> Revision | Impossible:
    current = published.current
    seen = [old.revision for old in current.previous if not old.rolled_back] if current else []
    if current is not None and published.linked is None:
        seen.insert(0, current.revision)  # withdrawn: readers saw it last
    for known in (published.kept, remembered):
        for revision in seen:
            if revision in known:
                return revision
    others = ({*published.kept, *remembered}) - {published.linked}
    hint = f"; name one to go to it: {some(others)}" if others else ""
    return Impossible(
        "there is nothing to roll back to: no revision that readers saw before, and that was not rolled back from,"
        f" is on the volume or on record{hint}"
    )


def _named(published: Published, remembered: Collection[Revision], to: str) -> Revision | Impossible:
    if not _NAME.fullmatch(to):
        return Impossible(
            f"{to[:_QUOTED]!r} names no revision: give its name, or at least the first 6 characters of it"
        )
    known = {*published.kept, *remembered} | ({published.linked} if published.linked else set())
    match _starting(known, to):
        case [revision]:
            return revision
        case []:
            pass
        case several:
            return Impossible(f"{to!r} names more than one revision: {some(several)}")
    there = f"there are {some(known)}" if known else "there is none"
    if published.current and _starting((old.revision for old in published.current.previous), to):
        return Impossible(f"readers saw revision {to} once, but neither its files nor its manifest are left; {there}")
    return Impossible(f"no revision {to} is on the volume or on record; {there}")


def _starting(revisions: Iterable[Revision], start: str) -> list[Revision]:
    return [revision for revision in revisions if revision.startswith(start)]


def _way_to(
    revision: Revision, published: Published, remembered: Collection[Revision]
) -> Stay | Restore | Refetch | Impossible:
    if revision == published.linked and not published.damage:
        return Stay(revision, "readers see it already")
    if revision in published.kept:
        return Restore(revision, "it is on the volume")
    if revision in remembered:
        return Refetch(revision, "fetched again from S3: the versions that it was made of")
    return Impossible(f"revision {revision} is damaged, and its manifest is not on record")


def rebuild(manifest: Manifest, naming: Naming, *, source: str) -> Build | Impossible:
    """Plan to fetch again what a revision was made of.

    A file whose version is not on record is fetched as the bucket has it, if it has the same ETag.

    Args:
        manifest: the revision's, from the record.
        naming: which keys are which files.
        source: the bucket and prefix, as manifests name them.
    """
    if (finding := check_manifest(manifest, manifest.model, manifest.revision)) is not None:
        return Impossible(f"the manifest on record is not the revision's own: {finding}")
    if manifest.source != source:
        return Impossible(f"it came from {manifest.source}, and this is {source}")
    model = manifest.model
    files = tuple(
        PlannedFile(
            file.path,
            RemoteObject(
                naming.prefix + model if manifest.single else key_of(model, file.path, naming),
                file.size_bytes,
                file.etag,
                last_modified=0.0,
                version_id=file.version_id,
            ),
            file.sha256,
        )
        for file in manifest.files
    )
    return Build(manifest.revision, files, "a rollback needs it, and it is not on the volume any more")


def altered(manifest: Manifest, fetched: Iterable[FileRecord]) -> str | None:
    """Say which file is not what was published under this name before, or None: all are."""
    for before, now in zip(manifest.files, fetched, strict=True):
        if (finding := check_bytes(before, now.size_bytes, now.crc64nvme)) is not None:
            return f"{finding}: these are not the bytes that were published"
    return None
