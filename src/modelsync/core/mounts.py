"""A mounted file system."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mount:
    """A mounted file system: as /proc/self/mountinfo has it.

    Attributes:
        kind: such as `ext4`, `nfs4`, `fuse.s3fs`.
        source: what is mounted.
        point: where.
        options: of this mount and of the file system, separated by commas.
    """

    kind: str
    source: str
    point: str
    options: str
