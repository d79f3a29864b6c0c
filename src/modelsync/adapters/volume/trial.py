"""The steps of a publication, tried in a directory that is there for nothing else."""

from __future__ import annotations

import fcntl
from pathlib import Path

from modelsync.adapters.volume.files import PASSING, meaning, replace_file, replace_link
from modelsync.errors import VolumeUnusable


def try_steps(trial: Path) -> None:
    """Make a file, a link that is switched, and a lock, durably.

    Raises:
        VolumeUnusable: the file system has no links that can be switched.
        OSError: it refused.
    """
    replace_file(trial / "file", b"x")
    try:
        for target in ("file", "."):
            replace_link(trial / "link", target, trial)
    except OSError as error:
        if meaning(error)[0] in PASSING:
            raise
        raise VolumeUnusable(
            f"{trial.parent.parent} cannot switch a symlink atomically ({error.strerror}): use a file system with"
            " symlinks and rename; an object store mounted as one (Mountpoint for S3) is not enough"
        ) from error
    with (trial / "file").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
