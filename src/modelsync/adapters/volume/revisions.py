"""The directories of a model's revisions.

A revision has one directory, named like it. If it was found damaged and built anew, it has one more
for each time, `<revision>.1` and so on: what readers may have open is never moved, and at most one
of them is whole.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

from modelsync.adapters.volume.files import names_in, of_one_file
from modelsync.adapters.volume.paths import (
    DAMAGE,
    MANIFEST,
    ModelPaths,
    damage_of,
    directory_named,
    home_of,
    manifest_of,
    revision_in,
)
from modelsync.core.damage import NO_MANIFEST, Finding, Kind
from modelsync.core.layout import REVISIONS
from modelsync.core.manifest import BadRecord, Damage, Manifest
from modelsync.core.names import ModelId
from modelsync.core.objects import Revision


def whole_directories(paths: ModelPaths) -> dict[Revision, Path]:
    """The directory of every revision that can be used."""
    return {revision_in(name): paths.revisions / name for name in whole_names(os.fspath(paths.revisions))}


def whole_names(revisions: str) -> list[str]:
    """The names of the directories, among all of a model's revisions, that can be used."""
    return [name for name in names_in(revisions) if _is_whole(f"{revisions}/{name}")]


def whole_directory(paths: ModelPaths, revision: Revision) -> Path | None:
    """The directory of a revision, or None if it is not there or was found damaged."""
    return whole_directories(paths).get(revision)


def free_directory(paths: ModelPaths, revision: Revision) -> Path:
    """Where a revision can be put: nobody has ever seen anything there."""
    names = (revision if number == 0 else f"{revision}.{number}" for number in itertools.count())
    return next(paths.revisions / name for name in names if not os.path.lexists(paths.revisions / name))


def linked_name(base: str, model: ModelId) -> str | None:
    """The name of the revision's directory that the model's link leads to, there or not; None if it is not ours."""
    link = f"{base}/{model}"
    try:
        return directory_named(base, model, os.readlink(link))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        # EINVAL: no symlink at all. `publish` says so when the model is to take its place.
        if os.path.exists(link):
            return None
        raise


def damage_in(directory: Path) -> tuple[Finding, ...]:
    """What is known to be wrong with a revision's directory that is not whole."""
    data = _read(damage_of(directory))
    try:
        return (NO_MANIFEST,) if data is None else Damage.from_json(data).findings
    except BadRecord:
        return (Finding(Kind.UNREADABLE, damage_of(directory).name, "readable", "no record"),)


def read_manifest(paths: ModelPaths, revision: Revision) -> Manifest | None:
    """A kept revision's manifest; None if it is not there or cannot be read."""
    directory = whole_directory(paths, revision)
    data = None if directory is None else _read(manifest_of(directory))
    try:
        return None if data is None else Manifest.from_json(data)
    except BadRecord:
        return None


def read_manifests(base: str, model: ModelId) -> Iterator[Manifest]:
    """The manifests of all revisions of a model that can be used, by one look at each directory."""
    revisions = f"{home_of(base, model)}/{REVISIONS}"
    for name in whole_names(revisions):
        try:
            manifest = Manifest.from_json(_read(Path(revisions, name, MANIFEST)) or b"")
        except BadRecord:
            continue
        yield manifest


def _read(path: Path) -> bytes | None:
    """A record, or None if this file alone cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        if of_one_file(error):
            return None
        raise


def _is_whole(directory: str) -> bool:
    names = names_in(directory)
    return MANIFEST in names and DAMAGE not in names
