"""Where everything is on the volume. docs/volume.md draws it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from modelsync.core import layout
from modelsync.core.layout import CONSUMERS, CURRENT, FILES, LEASE, QUARANTINE, REVISIONS, STAGING
from modelsync.core.names import ModelId, RelPath
from modelsync.core.objects import Revision

TEMPORARY = ".tmp-"
"""Start of every temporary name. Each is unique: one left by a crash is in nobody's way."""

MANIFEST = "manifest.json"
DAMAGE = "damage.json"


def home_of(base: str, model: ModelId) -> str:
    """What modelsync keeps of a model, as text: a `Path` for each of a hundred thousand models takes its time."""
    return f"{base}/{layout.home_of(model)}"


def directory_named(base: str, model: ModelId, target: str) -> str | None:
    """Read a model's link: the name of the revision's directory that it leads to, or None if it is not one of ours."""
    pointed = os.path.normpath(os.path.join(os.path.dirname(f"{base}/{model}"), target))
    revisions = os.path.normpath(f"{home_of(base, model)}/{REVISIONS}") + "/"
    if not pointed.startswith(revisions):
        return None
    name, _, inside = pointed[len(revisions) :].partition("/")
    return name if inside.partition("/")[0] == FILES else None


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
        return Path(home_of(str(self.base), self.model))

    @property
    def lock(self) -> Path:
        """Held by the model's writer."""
        return self.home / "writer.lock"

    @property
    def current(self) -> Path:
        """The record of what readers see."""
        return self.home / CURRENT

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
        return self.home / REVISIONS

    @property
    def staging(self) -> Path:
        """Revisions in progress."""
        return self.home / STAGING

    @property
    def quarantine(self) -> Path:
        """Records of refusals."""
        return self.home / QUARANTINE

    @property
    def consumers(self) -> Path:
        """What consumers report that they run."""
        return self.home / CONSUMERS

    def target(self, directory: Path, single: RelPath | None) -> str:
        """What the link to a revision's directory says: relative, so that it holds wherever the volume is mounted."""
        inside = files_of(directory)
        return os.path.relpath(inside / single if single else inside, self.link.parent)

    def directory_of(self, target: str) -> Path | None:
        """Read a link: the revision's directory that it leads to, or None if it is not one of ours."""
        name = directory_named(str(self.base), self.model, target)
        return None if name is None else self.revisions / name


def revision_in(directory: str) -> Revision:
    """The revision that a directory of this name holds."""
    return layout.revision_of(directory)


def files_of(revision_directory: Path) -> Path:
    """The directory of a revision's files, staged or complete."""
    return revision_directory / FILES


def manifest_of(revision_directory: Path) -> Path:
    """A revision's manifest."""
    return revision_directory / MANIFEST


def damage_of(revision_directory: Path) -> Path:
    """The record of what is wrong with a revision."""
    return revision_directory / DAMAGE


def lease_of(revision_directory: Path) -> Path:
    """The file that readers lock while they use a revision."""
    return revision_directory / LEASE


def journal_of(revision_directory: Path) -> Path:
    """The record of the parts that a staged revision has."""
    return revision_directory / "journal.jsonl"
