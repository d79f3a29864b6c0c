"""What retention looks at, and how a revision is removed: renamed away first, then deleted."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from modelsync.adapters.volume.direct import on_local_disk
from modelsync.adapters.volume.files import remove_tree, sync_directory, temporary_name
from modelsync.adapters.volume.paths import (
    TEMPORARY,
    ModelPaths,
    damage_of,
    files_of,
    lease_of,
    manifest_of,
    revision_in,
)
from modelsync.adapters.volume.revisions import linked_name
from modelsync.core.retention import Holding, Kind

_NOT_GONE_YET = {errno.ENOTEMPTY, errno.EBUSY, errno.ENOENT, errno.ESTALE}
"""NFS keeps a removed file that is open as `.nfs…`, and the directory with it, until it is closed; and it may be
closed, and the file gone, between the look at the directory and the attempt to remove it."""

_TRIES = 2
_looking = threading.Lock()
"""Held while a lease is probed: a probe that met another one would take it for a reader."""


def holdings_of(paths: ModelPaths) -> tuple[Holding, ...]:
    """Every directory that a model has. A lease that is held is noted in its file's time, as last use."""
    linked = linked_name(str(paths.base), paths.model)
    return tuple(_holding(paths, kind, name, linked) for kind in Kind for name in _directories(paths.home / kind, kind))


def _directories(folder: Path, kind: Kind) -> list[str]:
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    # What was refused has a record too, beside what was kept of it.
    return [name for name in names if kind is not Kind.REFUSED or not name.endswith(".json")]


def changed_at(paths: ModelPaths) -> float:
    """When the model's link was made or its record written, whatever came last; 0 without both."""
    found = 0.0
    for path in (paths.link, paths.current):
        with suppress(FileNotFoundError, NotADirectoryError):
            found = max(found, path.lstat().st_mtime)
    return found


def _holding(paths: ModelPaths, kind: Kind, name: str, linked: str | None) -> Holding:
    directory = paths.home / kind / name
    if name.startswith(TEMPORARY):
        return Holding(paths.model, revision_in(name), name, 0.0, renamed=True, whole=False, kind=kind)
    try:
        names = os.listdir(directory)
        made_at = directory.stat().st_mtime
    except (FileNotFoundError, NotADirectoryError):
        names, made_at = [], 0.0
    if kind is not Kind.REVISION:
        return Holding(paths.model, revision_in(name), name, made_at, whole=False, kind=kind)
    return Holding(
        paths.model,
        revision_in(name),
        name,
        made_at,
        linked=name == linked,
        whole=manifest_of(directory).name in names and damage_of(directory).name not in names,
        leased=_is_leased(directory),
    )


def _is_leased(directory: Path) -> bool:
    with lease_taken(directory) as alone:
        pass
    if not alone:
        with suppress(OSError):  # no more than a note; the directory may be another user's, or just removed
            os.utime(lease_of(directory))
    return not alone


def weighed(paths: ModelPaths, held: Holding) -> Holding:
    """Fill in size and last use: of a lease, or of a file where the file system notes that, and our own reads do not.

    A file server notes every read, the verification's too: there leases alone count.
    """
    directory = paths.home / held.kind / held.name
    size_bytes, shared_bytes, used_at = 0, 0, 0.0
    noted = on_local_disk(paths.base)
    files = str(files_of(directory))
    for where, _, names in os.walk(directory):
        for name in names:
            try:
                found = os.lstat(os.path.join(where, name))  # noqa: PTH118 - many, and only to look at
            except FileNotFoundError:
                continue
            mine = where.startswith(files)
            if noted and mine:
                used_at = max(used_at, found.st_atime)
            # What another revision has too stays on the disk; the manifest, with its second name, is none of that.
            size_bytes += found.st_blocks * 512 if found.st_nlink == 1 else 0
            shared_bytes += found.st_blocks * 512 if found.st_nlink > 1 and mine else 0
    with suppress(FileNotFoundError, NotADirectoryError):
        used_at = max(used_at, lease_of(directory).stat().st_mtime)
    return replace(held, size_bytes=size_bytes, shared_bytes=shared_bytes, used_at=used_at)


def remove_holding(paths: ModelPaths, held: Holding) -> bool:
    """Remove a directory; tell whether it is gone. It is not while readers see it, lease it or have files of it open.

    For the model's writer only: nobody else links or removes meanwhile.
    """
    folder = paths.home / held.kind
    directory = folder / held.name
    if not held.name.startswith(TEMPORARY):
        with lease_taken(directory) as alone:
            seen = held.kind is Kind.REVISION and linked_name(str(paths.base), paths.model) == held.name
            if not alone or seen:
                return False
            renamed = folder / temporary_name()
            directory.rename(renamed)
            sync_directory(folder)
        directory = renamed
    try:
        remove_tree(directory)
    except OSError as error:
        if error.errno not in _NOT_GONE_YET:
            raise
        return False
    return True


@contextmanager
def lease_taken(directory: Path) -> Iterator[bool]:
    """Keep new readers waiting; False if one holds a lease. A revision without the file cannot be leased."""
    with _looking:
        try:
            descriptor = _open(lease_of(directory))
        except (FileNotFoundError, NotADirectoryError):
            yield True
            return
        try:
            yield any(_locked(descriptor) for _ in range(_TRIES))
        finally:
            os.close(descriptor)


def _locked(descriptor: int) -> bool:
    """Try to get the lock. Another replica's probe has it for a moment, a reader for longer: ask twice."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _open(path: Path) -> int:
    flags = os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path, os.O_RDWR | flags)  # NFS gives an exclusive lock on no other
    except PermissionError:
        return os.open(path, os.O_RDONLY | flags)
