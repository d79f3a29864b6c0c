"""Where everything is on the volume. docs/volume.md draws it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from modelsync.core.names import RESERVED, ModelId, RelPath, encode
from modelsync.core.objects import Revision

TEMPORARY = ".tmp-"
"""Start of every temporary name. Each is unique: one left by a crash is in nobody's way."""

_REVISIONS = "revisions"
_FILES = "files"


@dataclass(frozen=True, slots=True)
class ModelPaths:
    """The paths of one model."""

    base: Path
    model: ModelId

    @property
    def link(self) -> Path:
        """What applications open."""
        return self.base / self.model

    @property
    def home(self) -> Path:
        """What modelsync keeps of the model."""
        return self.base / RESERVED / "models" / encode(self.model)

    @property
    def lock(self) -> Path:
        """Held by the model's writer."""
        return self.home / "writer.lock"

    @property
    def current(self) -> Path:
        """The record of what readers see."""
        return self.home / "current.json"

    @property
    def next(self) -> Path:
        """The record that a switch under way will make valid."""
        return self.home / "next.json"

    @property
    def history(self) -> Path:
        """Manifests of revisions that readers saw, kept beyond the revisions."""
        return self.home / "history"

    @property
    def revisions(self) -> Path:
        """Complete revisions."""
        return self.home / _REVISIONS

    @property
    def staging(self) -> Path:
        """Revisions in progress."""
        return self.home / "staging"

    @property
    def quarantine(self) -> Path:
        """Records of refusals."""
        return self.home / "quarantine"

    def target(self, directory: Path, single: RelPath | None) -> str:
        """What the link to a revision's directory says: relative, so that it holds wherever the volume is mounted."""
        inside = files_of(directory)
        return os.path.relpath(inside / single if single else inside, self.link.parent)

    def directory_of(self, target: str) -> Path | None:
        """Read a link: the revision's directory that it leads to, or None if it is not one of ours."""
        pointed = os.path.normpath(self.link.parent / target)
        try:
            name, files, *_ = Path(pointed).relative_to(self.revisions).parts
        except ValueError:
            return None
        return self.revisions / name if files == _FILES else None


def revision_in(directory: Path) -> Revision:
    """The revision that a directory holds: what follows a dot tells how often it was built anew."""
    return Revision(directory.name.partition(".")[0])


def files_of(revision_directory: Path) -> Path:
    """The directory of a revision's files, staged or complete."""
    return revision_directory / _FILES


def manifest_of(revision_directory: Path) -> Path:
    """A revision's manifest."""
    return revision_directory / "manifest.json"


def damage_of(revision_directory: Path) -> Path:
    """The record of what is wrong with a revision."""
    return revision_directory / "damage.json"


def lease_of(revision_directory: Path) -> Path:
    """The file that readers lock while they use a revision."""
    return revision_directory / "lease.lock"


def journal_of(revision_directory: Path) -> Path:
    """The record of the parts that a staged revision has."""
    return revision_directory / "journal.jsonl"
