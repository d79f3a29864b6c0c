"""A staged revision shown to a command that must not change it: read-only meanwhile, and looked over afterwards."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from awscrt.checksums import crc64nvme

from modelsync.adapters.volume.files import set_directory_mode
from modelsync.adapters.volume.reading import chunks_of
from modelsync.core.manifest import FileRecord
from modelsync.core.names import RelPath
from modelsync.core.words import quoted
from modelsync.errors import Rejected

_READ_BYTES = 1 << 20
_WRITE = 0o222


@contextmanager
def shown(root: Path, records: Collection[FileRecord], check: Callable[[], None]) -> Iterator[None]:
    """Take away the right to write to the directories, and hold the files to what they were when it is over.

    Modes do not bind root, nor who owns the files and changes them back: what was looked at is compared. Where a file
    looks otherwise only in its times, its bytes are: a hard link that another model takes or drops changes them too.

    Args:
        root: where the files are, and nothing else.
        records: what they are.
        check: called while bytes are read; what it raises ends it.

    Raises:
        Rejected: rule `hook`; a file, or a directory, was changed, replaced or removed.
        OSError: the volume.
    """
    parents = {parent for record in records for parent in Path(record.path).parents}
    directories = {path: (root / path).lstat() for path in sorted(parents)}
    files = {record.path: (root / record.path).lstat() for record in records}
    try:
        for path, found in directories.items():
            set_directory_mode(root / path, found.st_mode & ~_WRITE)
        yield
    finally:
        for path, found in directories.items():
            with suppress(OSError):  # it was replaced: told below
                set_directory_mode(root / path, found.st_mode)
    for path, before in directories.items():
        if not _same(before, _look(root / path), "st_mode", "st_dev", "st_ino"):
            raise _changed(RelPath(str(path)))
    for record in records:
        before, after = files[record.path], _look(root / record.path)
        if not _same(before, after, "st_mode", "st_uid", "st_gid", "st_dev", "st_ino", "st_size"):
            raise _changed(record.path)
        untouched = _same(before, after, "st_mtime_ns", "st_ctime_ns")
        if not untouched and _crc(root / record.path, check) != record.crc64nvme:
            raise _changed(record.path)


def _look(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _same(before: os.stat_result, after: os.stat_result | None, *fields: str) -> bool:
    return after is not None and all(getattr(before, field) == getattr(after, field) for field in fields)


def _crc(path: Path, check: Callable[[], None]) -> str:
    crc = 0
    for chunk in chunks_of(path, _READ_BYTES):
        check()
        crc = crc64nvme(chunk, crc)
    return f"{crc:016x}"


def _changed(path: RelPath) -> Rejected:
    return Rejected(
        "hook", f"PUBLISH_HOOK changed {quoted(path)}, which it may only read: mend the hook, then sync with --recheck"
    )
