"""The other side of leases: removes revisions as the protocol has it."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path


def held(directory: Path) -> bool:
    """Whether somebody has a lease on a revision's directory."""
    with (directory / "lease.lock").open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def collect(directory: Path) -> bool:
    """Remove a revision's directory, unless somebody has a lease on it."""
    with (directory / "lease.lock").open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        away = directory.parent.parent / f".tmp-{directory.name}"
        directory.rename(away)
        shutil.rmtree(away)
    return True


def collect_superseded(base: Path, model: str) -> int:
    """Remove all revisions of a model that readers do not see; return how many went."""
    linked = Path(os.path.realpath(base / model)).parent
    return sum(collect(directory) for directory in linked.parent.iterdir() if directory != linked)
