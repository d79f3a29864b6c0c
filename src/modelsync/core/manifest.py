"""The records on the volume, as JSON with a version each.

A record that cannot be read is treated as absent by the caller: everything in it can be had
again from the bucket.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self, cast

from modelsync.core.damage import Finding, Kind
from modelsync.core.names import ModelId, RelPath
from modelsync.core.objects import Digest, Revision
from modelsync.core.shape import well_formed

VERSION = 1


class BadRecord(ValueError):
    """The bytes are no record of the kind asked for, or of another version."""


class Record:
    """A dataclass that is kept as a JSON file.

    A replica, or an application, of another version may read it: fields that are not known are passed over, and
    those that came later are left out while they are empty.
    """

    _LATER: ClassVar[frozenset[str]] = frozenset()

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
            known = {field.name for field in fields(cast("Any", cls))}
            record = cls(**{name: value for name, value in cls._nested(found).items() if name in known})
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise BadRecord(str(error)) from error
        if not well_formed(record):
            raise BadRecord("a field is not of its kind")
        return record

    @staticmethod
    def _nested(found: dict[str, Any]) -> dict[str, Any]:
        """Make the records within the record."""
        return found


def _fields(record: Any) -> dict[str, Any]:
    later: frozenset[str] = getattr(record, "_LATER", frozenset())
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    return {name: value for name, value in values.items() if value or name not in later}


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

    `listing` names the listing of the bucket that it was made from, `gate` the rules that its
    content passed. Times are seconds since the epoch. `signer` is who signed it, where that was
    asked for: see `signature.Verdict`.
    """

    _LATER: ClassVar[frozenset[str]] = frozenset({"gate", "signer"})

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
    gate: str = ""
    signer: str | None = None

    @staticmethod
    def _nested(found: dict[str, Any]) -> dict[str, Any]:
        return found | {"files": tuple(FileRecord(**record) for record in found["files"])}


@dataclass(frozen=True, slots=True)
class Superseded:
    """A revision that was current once, and until when. `rolled_back`: a rollback took it from its readers."""

    revision: Revision
    superseded_at: float
    rolled_back: bool = False


@dataclass(frozen=True)
class Current(Record):
    """What readers of a model see: `current.json`, small enough to poll.

    `listing` names the listing of the bucket that was last found to be in step with the
    revision: a model whose listing still has that name needs no further look. `gone_since`, the
    tombstone, is when the bucket was first seen without the model; `unpublished_at` is when its
    link was withdrawn, and the revision is then the one that readers saw last. `evicted`: it was
    withdrawn to make room, not because the bucket has it no more. `signer` and `unsigned` say who
    signed what readers see, or why nobody did, where that was asked for; `signers` names those who
    could sign it then.
    """

    _LATER: ClassVar[frozenset[str]] = frozenset({"evicted", "signer", "unsigned", "signers"})

    model: ModelId
    revision: Revision
    listing: Digest
    published_at: float
    previous: tuple[Superseded, ...] = ()
    pin: str | None = None
    gone_since: float | None = None
    unpublished_at: float | None = None
    evicted: bool = False
    signer: str | None = None
    unsigned: str | None = None
    signers: str = ""

    @property
    def rolled_back(self) -> bool:
        """Whether an operator went back to the revision, and it is kept."""
        return self.pin is not None and any(old.rolled_back for old in self.previous[:1])

    @staticmethod
    def _nested(found: dict[str, Any]) -> dict[str, Any]:
        return found | {"previous": tuple(Superseded(**record) for record in found["previous"])}


def succeed(
    before: Current | None,
    manifest: Manifest,
    *,
    now: float,
    listing: Digest,
    pin: str | None,
    rolled_back: bool = False,
) -> Current:
    """What the record says once readers see a revision.

    Args:
        before: what it says until then.
        manifest: the revision's.
        now: seconds since the epoch.
        listing: names the listing of the bucket that the revision is in step with.
        pin: why it stays whatever the bucket has.
        rolled_back: it takes the place of one that is not to be gone back to.
    """
    previous = tuple(old for old in (before.previous if before else ()) if old.revision != manifest.revision)
    if before is not None and before.revision != manifest.revision:
        withdrawn = before.unpublished_at is not None
        left = Superseded(before.revision, before.unpublished_at or now, rolled_back and not withdrawn)
        previous = (left, *previous)
    return Current(manifest.model, manifest.revision, listing, now, previous, pin, signer=manifest.signer)


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A file's checksum according to S3 or the commit file, and that of the bytes received, written alike."""

    path: str
    proof: str
    expected: str
    actual: str


@dataclass(frozen=True)
class Quarantine(Record):
    """Why a listing's content was refused: `quarantine/<revision>.json`.

    Attributes:
        mismatch: for rule `checksum`.
        file: in which something was found.
        rules: names what an operator has set and it was judged by; under other rules it is looked at again.
            Empty: it is refused whatever is set.
    """

    _LATER: ClassVar[frozenset[str]] = frozenset({"file", "rules"})

    model: ModelId
    revision: Revision
    listing: Digest
    rule: str
    reason: str
    rejected_at: float
    mismatch: Mismatch | None = None
    file: FileRecord | None = None
    rules: str = ""

    @staticmethod
    def _nested(record: dict[str, Any]) -> dict[str, Any]:
        mismatch, file = record.get("mismatch"), record.get("file")
        return record | {"mismatch": mismatch and Mismatch(**mismatch), "file": file and FileRecord(**file)}


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
class Damage(Record):
    """What a verification found wrong with a revision: `damage.json` beside its manifest. It is not used any more."""

    model: ModelId
    revision: Revision
    found_at: float
    findings: tuple[Finding, ...]

    @staticmethod
    def _nested(record: dict[str, Any]) -> dict[str, Any]:
        findings = (Finding(**(finding | {"kind": Kind(finding["kind"])})) for finding in record["findings"])
        return record | {"findings": tuple(findings)}


@dataclass(frozen=True, slots=True)
class Scrubbed(Record):
    """How far the scrub has come: `scrub.json`.

    Attributes:
        started_at: of the pass over the volume that is under way, or was the last.
        model, revision, path: the file that was read last; empty before the first.
        files, size_bytes, damaged: read in this pass so far, and revisions found damaged.
        finished_at: end of the pass, or None while it is under way.
    """

    started_at: float
    model: str = ""
    revision: str = ""
    path: str = ""
    files: int = 0
    size_bytes: int = 0
    damaged: int = 0
    finished_at: float | None = None


@dataclass(frozen=True)
class Published:
    """What the volume says of a model.

    Attributes:
        current: the record.
        linked: the revision that the link resolves to; None without a link. The link is what
            readers follow, so where the two differ the record is what gets mended.
        kept: complete revisions on the volume, without those that were found damaged.
        quarantined: what was refused.
        leftover: something is left in staging.
        damage: what is known to be wrong with the files that the link leads to. The same revision
            may be in `kept` then: it was built anew, and readers are still to be switched.
    """

    current: Current | None = None
    linked: Revision | None = None
    kept: frozenset[Revision] = frozenset()
    quarantined: tuple[Quarantine, ...] = ()
    leftover: bool = False
    damage: tuple[Finding, ...] = ()

    @property
    def consistent(self) -> bool:
        """Whether record and link name the same revision and it is there and whole, or neither shows readers one."""
        if self.linked is None:
            return self.current is None or self.current.unpublished_at is not None
        if self.current is None or self.current.unpublished_at is not None or self.current.revision != self.linked:
            return False
        return self.linked in self.kept and not self.damage
