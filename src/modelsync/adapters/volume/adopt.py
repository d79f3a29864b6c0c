"""A published file's bytes once more, without a download."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path

_FICLONE = 0x40049409  # linux/fs.h
_NOT_HERE = {errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOSYS}
_COPY_BYTES = 64 << 20


def adopt(source: Path, target: Path, size_bytes: int, *, link: bool) -> str | None:
    """Make `target`, which must not exist, have the bytes of `source`; durable but for its name.

    Args:
        source: a published file.
        target: in staging, on the same file system.
        size_bytes: what the source must have.
        link: a hard link may be used.

    Returns:
        `clone`, `link` or `copy`; None if the source is not there or is not of that size.

    Raises:
        OSError: the file system refused.
    """
    try:
        origin = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        about = os.fstat(origin)
        if about.st_size != size_bytes:
            return None
        # A link shares the mode too: what may be written to must not get into another revision.
        link = link and not stat.S_IMODE(about.st_mode) & 0o222
        return _clone(origin, target) or (_link(source, target) if link else None) or _copy(origin, target, size_bytes)
    finally:
        os.close(origin)


def _clone(origin: int, target: Path) -> str | None:
    """Share the blocks (xfs, btrfs)."""
    copy = _create(target)
    try:
        fcntl.ioctl(copy, _FICLONE, origin)
        _seal(copy)
    except OSError as error:
        target.unlink()
        if error.errno in _NOT_HERE:
            return None
        raise
    finally:
        os.close(copy)
    return "clone"


def _link(source: Path, target: Path) -> str | None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno in _NOT_HERE:
            return None
        raise
    return "link"


def _copy(origin: int, target: Path, size_bytes: int) -> str | None:
    copy = _create(target)
    try:
        left = size_bytes
        while left:
            count = os.copy_file_range(origin, copy, min(left, _COPY_BYTES))
            if count == 0:
                target.unlink()
                return None  # it became shorter meanwhile
            left -= count
        _seal(copy)
    except OSError as error:
        target.unlink(missing_ok=True)
        if error.errno in _NOT_HERE:
            return None
        raise
    finally:
        os.close(copy)
    return "copy"


def _create(target: Path) -> int:
    return os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _seal(copy: int) -> None:
    os.fchmod(copy, 0o444)
    os.fsync(copy)
