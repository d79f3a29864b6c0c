"""The worker's side of leases."""

from __future__ import annotations

import os
from pathlib import Path

from modelsync.adapters.volume.holdings import lease_taken, remove_holding
from modelsync.adapters.volume.paths import ModelPaths, revision_in
from modelsync.core.names import decode
from modelsync.core.retention import Holding


def held(directory: Path) -> bool:
    """Whether somebody has a lease on a revision's directory."""
    with lease_taken(directory) as alone:
        return not alone


def collect(directory: Path) -> bool:
    """Remove a revision's directory as the worker does, unless readers see it or have a lease on it."""
    paths = ModelPaths(directory.parents[4], decode(directory.parents[1].name))
    return remove_holding(paths, Holding(paths.model, revision_in(directory.name), directory.name, 0.0))


def collect_superseded(base: Path, model: str) -> int:
    """Remove all revisions of a model that readers do not see; return how many went."""
    linked = Path(os.path.realpath(base / model)).parent
    return sum(collect(directory) for directory in linked.parent.iterdir() if directory != linked)
