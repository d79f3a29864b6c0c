"""Manifests that outlive their revisions: what is needed to fetch one again."""

from __future__ import annotations

import os
from collections.abc import Collection

from modelsync.adapters.volume.files import make_directories, names_in, of_one_file, replace_file
from modelsync.adapters.volume.paths import ModelPaths, manifest_of
from modelsync.adapters.volume.revisions import whole_directory
from modelsync.core.manifest import BadRecord, Manifest
from modelsync.core.objects import Revision

_ENDING = ".json"


def remember(paths: ModelPaths, revision: Revision, named: Collection[Revision]) -> None:
    """Keep a published revision's manifest, and of the others those that the record names.

    It is a hard link to the revision's own: it takes no space before the revision is removed.
    """
    directory = whole_directory(paths, revision)
    make_directories(paths.history, below=paths.home)
    if directory is not None:
        kept = paths.history / f"{revision}{_ENDING}"
        kept.unlink(missing_ok=True)  # it may be that of a directory that was found damaged
        try:
            os.link(manifest_of(directory), kept)
        except OSError:  # the file system may have no hard links
            replace_file(kept, manifest_of(directory).read_bytes())
    for old in remembered(paths) - {*named, revision}:
        (paths.history / f"{old}{_ENDING}").unlink(missing_ok=True)


def remembered(paths: ModelPaths) -> frozenset[Revision]:
    """Revisions whose manifests are kept."""
    return frozenset(Revision(name.removesuffix(_ENDING)) for name in names_in(paths.history) if name.endswith(_ENDING))


def newest_first(paths: ModelPaths) -> list[Revision]:
    """The same, the one that was made last first."""
    made_at = {name: (paths.history / f"{name}{_ENDING}").stat().st_mtime for name in remembered(paths)}
    return sorted(made_at, key=lambda revision: (made_at[revision], revision), reverse=True)


def recall(paths: ModelPaths, revision: Revision) -> Manifest | None:
    """A manifest that is kept; None if it is not there or cannot be read."""
    try:
        return Manifest.from_json((paths.history / f"{revision}{_ENDING}").read_bytes())
    except BadRecord:
        return None
    except OSError as error:
        if of_one_file(error):
            return None
        raise
