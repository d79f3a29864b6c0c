"""What retention looks at, and how a revision is removed: renamed away first, then deleted."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from modelsync.adapters.volume.files import remove_tree, sync_directory, temporary_name
from modelsync.adapters.volume.paths import (
    TEMPORARY,
    ModelPaths,
    damage_of,
    lease_of,
    manifest_of,
    revision_in,
)
from modelsync.adapters.volume.revisions import linked_name
from modelsync.core.retention import Holding

_IN_USE = {errno.ENOTEMPTY, errno.EBUSY}
"""NFS keeps a removed file that is open as `.nfs…`, and the directory with it, until it is closed."""


def holdings_of(paths: ModelPaths) -> tuple[Holding, ...]:
    """Every directory of a model's revisions. A lease that is held is noted in its file's time, as last use."""
    try:
        names = sorted(os.listdir(paths.revisions))
    except FileNotFoundError:
        return ()
    linked = linked_name(str(paths.base), paths.model)
    return tuple(_holding(paths, name, linked) for name in names)


def changed_at(paths: ModelPaths) -> float:
    """When the model's link was made or its record written, whatever came last; 0 without both."""
    found = 0.0
    for path in (paths.link, paths.current):
        with suppress(FileNotFoundError, NotADirectoryError):
            found = max(found, path.lstat().st_mtime)
    return found


def _holding(paths: ModelPaths, name: str, linked: str | None) -> Holding:
    directory = paths.revisions / name
    if name.startswith(TEMPORARY):
        return Holding(paths.model, revision_in(name), name, 0.0, renamed=True, whole=False)
    try:
        names = os.listdir(directory)
        made_at = directory.stat().st_mtime
    except (FileNotFoundError, NotADirectoryError):
        names, made_at = [], 0.0
    with lease_taken(directory) as alone:
        if not alone:
            os.utime(lease_of(directory))
    return Holding(
        paths.model,
        revision_in(name),
        name,
        made_at,
        linked=name == linked,
        whole=manifest_of(directory).name in names and damage_of(directory).name not in names,
        leased=not alone,
    )


def weighed(paths: ModelPaths, held: Holding) -> Holding:
    """Fill in size and last use: of a lease, or of a file where the file system notes that."""
    directory = paths.revisions / held.name
    size_bytes, used_at = 0, 0.0
    for where, _, names in os.walk(directory):
        for name in names:
            try:
                found = os.lstat(os.path.join(where, name))  # noqa: PTH118 - many, and only to look at
            except FileNotFoundError:
                continue
            used_at = max(used_at, found.st_atime)
            # What another revision has too stays on the disk.
            size_bytes += found.st_blocks * 512 if found.st_nlink == 1 else 0
    with suppress(FileNotFoundError, NotADirectoryError):
        used_at = max(used_at, lease_of(directory).stat().st_mtime)
    return replace(held, size_bytes=size_bytes, used_at=used_at)


def remove_holding(paths: ModelPaths, name: str) -> bool:
    """Remove a directory; tell whether it is gone. It is not while readers see it, lease it or have files of it open.

    For the model's writer only: nobody else links or removes meanwhile.
    """
    directory = paths.revisions / name
    if not name.startswith(TEMPORARY):
        with lease_taken(directory) as alone:
            if not alone or linked_name(str(paths.base), paths.model) == name:
                return False
            renamed = paths.revisions / temporary_name()
            directory.rename(renamed)
            sync_directory(paths.revisions)
        directory = renamed
    try:
        remove_tree(directory)
    except OSError as error:
        if error.errno not in _IN_USE:
            raise
        return False
    return True


@contextmanager
def lease_taken(directory: Path) -> Iterator[bool]:
    """Keep new readers waiting; False if one holds a lease. A revision without the file cannot be leased."""
    try:
        descriptor = _open(lease_of(directory))
    except (FileNotFoundError, NotADirectoryError):
        yield True
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            alone = True
        except BlockingIOError:
            alone = False
        yield alone
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    flags = os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path, os.O_RDWR | flags)  # NFS gives an exclusive lock on no other
    except PermissionError:
        return os.open(path, os.O_RDONLY | flags)
