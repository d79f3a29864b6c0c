"""A published file's bytes once more, without a download."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelsync.adapters.volume.files import open_unnoticed

_FICLONE = 0x40049409  # linux/fs.h
_NOT_HERE = {errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOSYS}
_COPY_BYTES = 64 << 20


def share(source: Path, target: Path, size_bytes: int, *, link: bool) -> str | None:
    """Make `target`, which must not exist, have the bytes of `source` without taking space; durable but for its name.

    Args:
        source: a published file.
        target: in staging, on the same file system.
        size_bytes: what the source must have.
        link: a hard link may be used.

    Returns:
        `clone` or `link`; None if neither is possible, or the source is not there or not of that size.

    Raises:
        OSError: the file system refused.
    """
    with _opened(source, size_bytes) as origin:
        if origin is None:
            return None
        # A link shares the mode too: what may be written to must not get into another revision.
        link = link and not stat.S_IMODE(os.fstat(origin).st_mode) & 0o222
        return _clone(origin, target) or (_link(source, target) if link else None)


def copy(source: Path, target: Path, size_bytes: int) -> bool:
    """The same by a copy of its own; False if the source is not there or not of that size.

    Raises:
        OSError: the file system refused.
    """
    with _opened(source, size_bytes) as origin:
        return origin is not None and _copy(origin, target, size_bytes)


@contextmanager
def _opened(source: Path, size_bytes: int) -> Iterator[int | None]:
    try:
        origin = open_unnoticed(source, os.O_NOFOLLOW)
    except FileNotFoundError:
        yield None
        return
    try:
        yield origin if os.fstat(origin).st_size == size_bytes else None
    finally:
        os.close(origin)


def _clone(origin: int, target: Path) -> str | None:
    """Share the blocks (xfs, btrfs)."""
    made = _create(target)
    try:
        fcntl.ioctl(made, _FICLONE, origin)
        _seal(made)
    except OSError as error:
        target.unlink()
        if error.errno in _NOT_HERE:
            return None
        raise
    finally:
        os.close(made)
    return "clone"


def _link(source: Path, target: Path) -> str | None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno in _NOT_HERE:
            return None
        raise
    return "link"


def _copy(origin: int, target: Path, size_bytes: int) -> bool:
    made = _create(target)
    try:
        left = size_bytes
        while left:
            count = os.copy_file_range(origin, made, min(left, _COPY_BYTES))
            if count == 0:
                target.unlink()
                return False  # it became shorter meanwhile
            left -= count
        _seal(made)
    except OSError as error:
        target.unlink(missing_ok=True)
        if error.errno in _NOT_HERE:
            return False
        raise
    finally:
        os.close(made)
    return True


def _create(target: Path) -> int:
    return os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _seal(copy: int) -> None:
    os.fchmod(copy, 0o444)
    os.fsync(copy)
