"""The records on the volume, as JSON with a version each.

A record that cannot be read is treated as absent by the caller: everything in it can be had
again from the bucket.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import Any, Self

from modelsync.core.names import ModelId, RelPath
from modelsync.core.objects import Digest, Revision

VERSION = 1


class BadRecord(ValueError):
    """The bytes are no record of the kind asked for, or of another version."""


class Record:
    """A dataclass that is kept as a JSON file."""

    def to_json(self) -> bytes:
        """Serialise, on one line: indented, a large manifest would take a hundred times as long."""
        return json.dumps({"version": VERSION, **_fields(self)}, ensure_ascii=False, default=_fields).encode() + b"\n"

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Parse.

        Raises:
            BadRecord: not a record of this kind and version.
        """
        try:
            found = json.loads(data)
            if found.pop("version") != VERSION:
                raise BadRecord(f"not of version {VERSION}")
            return cls(**cls._nested(found))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadRecord(str(error)) from error

    @staticmethod
    def _nested(found: dict[str, Any]) -> dict[str, Any]:
        """Make the records within the record."""
        return found


def _fields(record: Any) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in fields(record)}


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
    def _nested(found: dict[str, Any]) -> dict[str, Any]:
        return found | {"files": tuple(FileRecord(**record) for record in found["files"])}


@dataclass(frozen=True, slots=True)
class Superseded:
    """A revision that was current once, and until when."""

    revision: Revision
    superseded_at: float


@dataclass(frozen=True)
class Current(Record):
    """What readers of a model see: `current.json`, small enough to poll.

    `listing` names the listing of the bucket that was last found to be in step with the
    revision: a model whose listing still has that name needs no further look.
    """

    model: ModelId
    revision: Revision
    listing: Digest
    published_at: float
    previous: tuple[Superseded, ...] = ()
    pin: str | None = None

    @staticmethod
    def _nested(found: dict[str, Any]) -> dict[str, Any]:
        return found | {"previous": tuple(Superseded(**record) for record in found["previous"])}


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A file's checksum according to S3 or the commit file, and that of the bytes received, written alike."""

    path: str
    proof: str
    expected: str
    actual: str


@dataclass(frozen=True)
class Quarantine(Record):
    """Why a listing's content was refused: `quarantine/<revision>.json`. `mismatch`: for rule `checksum`."""

    model: ModelId
    revision: Revision
    listing: Digest
    rule: str
    reason: str
    rejected_at: float
    mismatch: Mismatch | None = None

    @staticmethod
    def _nested(fields: dict[str, Any]) -> dict[str, Any]:
        found = fields.get("mismatch")
        return fields | {"mismatch": found and Mismatch(**found)}


@dataclass(frozen=True, slots=True)
class Reconciled(Record):
    """The last complete comparison with the bucket: `reconcile.json`."""

    finished_at: float
    models: int
    objects: int
    changed: int
    absent: int
    refused: int = 0


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
        """Whether record and link name the same revision and it is there, or neither exists."""
        if self.linked is None:
            return self.current is None
        return self.current is not None and self.current.revision == self.linked and self.linked in self.kept
