"""The records on the volume, as JSON with a version each.

A record that cannot be read is treated as absent by the caller: everything in it can be had
again from the bucket.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Self

from modelsync.core.names import ModelId, RelPath
from modelsync.core.objects import Digest, Revision

VERSION = 1


class BadRecord(ValueError):
    """The bytes are no record of the kind asked for, or of another version."""


class Record:
    """A dataclass that is kept as a JSON file."""

    def to_json(self) -> bytes:
        """Serialise."""
        fields = asdict(self)  # type: ignore[call-overload]  # every subclass is a dataclass
        return json.dumps({"version": VERSION, **fields}, indent=1, ensure_ascii=False).encode() + b"\n"

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Parse.

        Raises:
            BadRecord: not a record of this kind and version.
        """
        try:
            fields = json.loads(data)
            if fields.pop("version") != VERSION:
                raise BadRecord(f"not of version {VERSION}")
            return cls(**cls._nested(fields))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadRecord(str(error)) from error

    @staticmethod
    def _nested(fields: dict[str, Any]) -> dict[str, Any]:
        """Make the records within the record."""
        return fields


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One published file and how it was proven. `crc64nvme` is 16 hex digits, computed from the bytes."""

    path: RelPath
    size_bytes: int
    etag: str
    version_id: str | None
    crc64nvme: str
    proof: str
    sha256: str | None = None


@dataclass(frozen=True)
class Manifest(Record):
    """What a revision holds and where it came from: `manifest.json`.

    `listing` names the listing of the bucket that it was made from. Times are seconds since the
    epoch.
    """

    model: ModelId
    revision: Revision
    listing: Digest
    files: tuple[FileRecord, ...]
    single: bool
    source: str
    created_at: float
    sync_id: str
    event_at: float | None = None
    modelsync: str = ""

    @staticmethod
    def _nested(fields: dict[str, Any]) -> dict[str, Any]:
        return fields | {"files": tuple(FileRecord(**record) for record in fields["files"])}


@dataclass(frozen=True, slots=True)
class Superseded:
    """A revision that was current once, and until when."""

    revision: Revision
    superseded_at: float


@dataclass(frozen=True)
class Current(Record):
    """What readers of a model see: `current.json`, small enough to poll.

    `listing` names the listing of the bucket that was last found to be in step with the
    revision: a model whose listing still has that name needs no further look. `gone_since`, the
    tombstone, is when the bucket was first seen without the model; `unpublished_at` is when its
    link was withdrawn, and the revision is then the one that readers saw last.
    """

    model: ModelId
    revision: Revision
    listing: Digest
    published_at: float
    previous: tuple[Superseded, ...] = ()
    pin: str | None = None
    gone_since: float | None = None
    unpublished_at: float | None = None

    @staticmethod
    def _nested(fields: dict[str, Any]) -> dict[str, Any]:
        return fields | {"previous": tuple(Superseded(**record) for record in fields["previous"])}


@dataclass(frozen=True, slots=True)
class Quarantine(Record):
    """Why a listing's content was refused: `quarantine/<revision>.json`."""

    model: ModelId
    revision: Revision
    listing: Digest
    rule: str
    reason: str
    rejected_at: float


@dataclass(frozen=True, slots=True)
class Reconciled(Record):
    """The last complete comparison with the bucket: `reconcile.json`.

    `absent` counts models that readers see and the bucket has no more; `missing` is the most that
    were absent at once since deletions are held back, 0 while they are not.
    """

    finished_at: float
    models: int
    objects: int
    changed: int
    absent: int
    refused: int = 0
    missing: int = 0


@dataclass(frozen=True)
class Published:
    """What the volume says of a model.

    Attributes:
        current: the record.
        linked: the revision that the link resolves to; None without a link. The link is what
            readers follow, so where the two differ the record is what gets mended.
        kept: complete revisions on the volume.
        quarantined: what was refused.
        leftover: something is left in staging.
    """

    current: Current | None = None
    linked: Revision | None = None
    kept: frozenset[Revision] = frozenset()
    quarantined: tuple[Quarantine, ...] = ()
    leftover: bool = False

    @property
    def consistent(self) -> bool:
        """Whether record and link name the same revision and it is there, or neither shows readers one."""
        if self.linked is None:
            return self.current is None or self.current.unpublished_at is not None
        return (
            self.current is not None
            and self.current.unpublished_at is None
            and self.current.revision == self.linked
            and self.linked in self.kept
        )
