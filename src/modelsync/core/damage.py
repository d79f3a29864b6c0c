"""What can be wrong with published files, and what is done about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What is wrong; the label of a metric."""

    MANIFEST = "manifest"
    """The revision's manifest is not there, cannot be read, or is not the revision's own."""
    MISSING = "missing"
    """A file of the manifest is not there, or something that is no file stands in its place."""
    EXTRA = "extra"
    """A file that the manifest does not have."""
    SIZE = "size"
    CHECKSUM = "crc64nvme"
    UNREADABLE = "unreadable"
    """The file system cannot give the bytes back."""
    MODE = "mode"
    """A file that may be written to."""
    LINK = "link"
    """The model's link does not point at the revision on record."""


class Remedy(StrEnum):
    """What mends it."""

    REBUILD = "rebuild"
    """The revision is not used any more; if readers see it, it is built anew from the bucket beside itself."""
    PROTECT = "protect"
    """The bytes are right: the right to write is taken away."""
    SYNC = "sync"
    """The revision is right: a sync points the link at it."""


_REMEDIES = {Kind.MODE: Remedy.PROTECT, Kind.LINK: Remedy.SYNC}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. `path` is a file's below its revision, or empty if it is no single file's."""

    kind: Kind
    path: str
    expected: str
    actual: str

    @property
    def remedy(self) -> Remedy:
        """What mends it."""
        return _REMEDIES.get(self.kind, Remedy.REBUILD)

    def __str__(self) -> str:
        """One sentence, without its full stop."""
        where = f"{self.path}: " if self.path else ""
        return f"{where}{self.kind.value} is {self.actual}, not {self.expected}"


NO_MANIFEST = Finding(Kind.MANIFEST, "", "readable", "missing or unreadable")
"""Nobody can say what the revision holds."""


def damaging(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Those that make a revision unfit for readers."""
    return tuple(finding for finding in findings if finding.remedy is Remedy.REBUILD)
