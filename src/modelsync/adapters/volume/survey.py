"""What the volume says of a model, by as few calls as it takes: a comparison asks for every model."""

from __future__ import annotations

import os
from pathlib import Path

from modelsync.adapters.volume.files import names_in, read_if_there
from modelsync.adapters.volume.paths import (
    DAMAGE,
    MANIFEST,
    home_of,
    revision_in,
)
from modelsync.adapters.volume.revisions import damage_in, linked_name, whole_names
from modelsync.core.layout import CURRENT, QUARANTINE, REVISIONS, STAGING
from modelsync.core.manifest import BadRecord, Current, Published, Quarantine
from modelsync.core.names import ModelId
from modelsync.core.objects import Revision


def survey(base: str, model: ModelId) -> Published:
    """What the volume at `base` says of a model.

    Raises:
        OSError: it cannot be read.
    """
    home = home_of(base, model)
    revisions = f"{home}/{REVISIONS}"
    linked, whole = linked_name(base, model), whole_names(revisions)
    return Published(
        current=read_current(base, model),
        linked=None if linked is None else revision_in(linked),
        kept=frozenset(map(revision_in, whole)),
        quarantined=_read_quarantine(f"{home}/{QUARANTINE}"),
        leftover=_is_there(f"{home}/{STAGING}"),
        damage=() if linked is None or linked in whole else damage_in(Path(revisions, linked)),
    )


def glance(base: str, model: ModelId) -> Published:
    """The same without refusals, and of the revisions on the volume only the one that readers see.

    Raises:
        OSError: it cannot be read.
    """
    home = home_of(base, model)
    linked, revision, kept = linked_name(base, model), None, frozenset[Revision]()
    if linked is not None:
        revision = revision_in(linked)
        directory = f"{home}/{REVISIONS}/{linked}"
        if _is_there(f"{directory}/{MANIFEST}") and not _is_there(f"{directory}/{DAMAGE}"):
            kept = frozenset((revision,))
    leftover = _is_there(f"{home}/{STAGING}")
    return Published(read_current(base, model), revision, kept, leftover=leftover)


def linked_revision(base: str, model: ModelId) -> Revision | None:
    """The revision that the model's link points to, or None."""
    name = linked_name(base, model)
    return None if name is None else revision_in(name)


def read_current(base: str, model: ModelId) -> Current | None:
    """The model's record; None if it is not there or cannot be read."""
    data = read_if_there(f"{home_of(base, model)}/{CURRENT}")
    if data is None:
        return None
    try:
        return Current.from_json(data)
    except BadRecord:
        return None


def _is_there(path: str) -> bool:
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _read_quarantine(directory: str) -> tuple[Quarantine, ...]:
    """All records of refusals that can be read."""
    records = []
    for name in names_in(directory):
        data = read_if_there(f"{directory}/{name}")
        try:
            records.append(Quarantine.from_json(data or b""))
        except BadRecord:
            continue
    return tuple(records)
