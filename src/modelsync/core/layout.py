"""The names on the volume that readers and the worker share. docs/volume.md draws it."""

from __future__ import annotations

from dataclasses import dataclass

from modelsync.core.names import RESERVED, ModelId, encode, unsafe
from modelsync.core.objects import Revision

REVISIONS = "revisions"
FILES = "files"
STAGING = "staging"
QUARANTINE = "quarantine"
CURRENT = "current.json"
LEASE = "lease.lock"
CONSUMERS = "consumers"


@dataclass(frozen=True, slots=True)
class Linked:
    """What a model's link says.

    Attributes:
        directory: name of the revision's directory.
        path: the model's only file, below the revision's files; None: all of them are the model.
    """

    directory: str
    path: str | None

    @property
    def revision(self) -> Revision:
        """The revision that readers see."""
        return revision_of(self.directory)


def home_of(model: ModelId) -> str:
    """What modelsync keeps of a model, below the volume's root."""
    return f"{RESERVED}/models/{encode(model)}"


def revision_of(directory: str) -> Revision:
    """The revision that a directory holds: what follows a dot tells how often it was built anew."""
    return Revision(directory.partition(".")[0])


def read_link(model: ModelId, target: str) -> Linked | None:
    """Read the text of a model's link; None if it is not one of ours.

    Examples:
        >>> read_link(ModelId("alice"), ".modelsync/models/alice/revisions/3f9a/files")
        Linked(directory='3f9a', path=None)
    """
    revisions = "../" * model.count("/") + f"{home_of(model)}/{REVISIONS}/"
    if not target.startswith(revisions):
        return None
    below = target.removeprefix(revisions)
    directory, _, inside = below.partition("/")
    files, _, path = inside.partition("/")
    if files != FILES or unsafe(below) is not None:
        return None
    return Linked(directory, path or None)
