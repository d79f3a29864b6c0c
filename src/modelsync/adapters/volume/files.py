"""Durable, atomic steps on a file system, and its errors in our words."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import stat
import uuid
from pathlib import Path

from modelsync.adapters.volume.paths import TEMPORARY
from modelsync.errors import VolumeFailed, VolumeReason

_MEANING: dict[int, tuple[VolumeReason, str]] = {
    errno.ENOSPC: ("full", "the volume is full: free space on it or enlarge it (it may be inodes that are used up)"),
    errno.EDQUOT: ("quota", "the volume's quota is used up: raise it or free space"),
    errno.EROFS: ("read_only", "the volume is mounted read-only: mount it read-write for modelsync"),
    errno.EACCES: (
        "permission",
        "permission denied: let modelsync's user write to the volume (fsGroup or the directory's owner)",
    ),
    errno.EPERM: (
        "permission",
        "not permitted: let modelsync's user write to the volume (fsGroup or the directory's owner)",
    ),
    errno.EIO: ("io", "the disk or the file server reports an I/O error: look at the volume's health"),
    errno.EUCLEAN: ("io", "the file system is damaged: have it checked (fsck)"),
    errno.ESTALE: ("stale", "the file server lost the directory (ESTALE): mount the volume anew"),
}
PASSING: frozenset[VolumeReason] = frozenset({"full", "quota", "io", "stale"})
"""What may be over while the service runs, without a change to its configuration."""


_OF_ONE_FILE = {
    errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES, errno.EPERM,  # changed by hand
    errno.EIO, errno.EBADMSG, errno.EUCLEAN,  # lost by the disk, or found out by the file system's own checksums
}  # fmt: skip


def of_one_file(error: OSError) -> bool:
    """Whether a failed read may be the fault of one file, not of the volume."""
    return error.errno in _OF_ONE_FILE


def meaning(error: OSError) -> tuple[VolumeReason, str]:
    """Say what an error of the file system is in one word, and what to do."""
    return _MEANING.get(error.errno or 0, ("other", error.strerror or str(error)))


class volume_errors:  # noqa: N801 - read as what it does; a generator would cost more than some of the calls it guards
    """Translate errors of the file system.

    Raises:
        VolumeFailed: with what was being done and what to do.
    """

    __slots__ = ("_what",)

    def __init__(self, what: str) -> None:
        """Begin; `what` is being done, after "cannot"."""
        self._what = what

    def __enter__(self) -> None:
        """Nothing is to be done."""

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        """Translate."""
        if isinstance(error, OSError):
            reason, advice = meaning(error)
            raise VolumeFailed(f"cannot {self._what}: {advice}", reason) from error


def temporary_name() -> str:
    """A name that nobody else has."""
    return f"{TEMPORARY}{uuid.uuid4().hex}"


_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
_libc.sync_file_range.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
_SYNC_FILE_RANGE_WRITE = 2
_SYNC_FILE_RANGE_WRITE_AND_WAIT = 1 | 2 | 4
_NO_SUCH_CALL = {errno.EOPNOTSUPP, errno.ENOSYS}


def allocate(descriptor: int, size_bytes: int) -> None:
    """Reserve a file's space, so that a full disk shows before the first byte.

    Not `os.posix_fallocate`: where the file system cannot reserve (NFSv4.1, EFS), glibc writes to
    every block instead, which costs as much as the download.

    Raises:
        OSError: ENOSPC, EDQUOT, EIO; not if the file system has no such call.
    """
    while size_bytes and _libc.fallocate(descriptor, 0, 0, size_bytes):
        code = ctypes.get_errno()
        if code == errno.EINTR:
            continue
        if code in _NO_SUCH_CALL:
            return
        raise OSError(code, os.strerror(code))


def start_write_back(descriptor: int, offset: int, count: int) -> None:
    """Let the disk begin with these bytes, so that little is left for fsync; errors show there."""
    _libc.sync_file_range(descriptor, offset, count, _SYNC_FILE_RANGE_WRITE)


def write_out(descriptor: int, offset: int, count: int) -> None:
    """Wait until the disk has these bytes, if not yet durably, and drop them from the page cache.

    Raises:
        OSError: it does not take them. The kernel has told that now, and would not tell it by fsync.
    """
    if _libc.sync_file_range(descriptor, offset, count, _SYNC_FILE_RANGE_WRITE_AND_WAIT):
        code = ctypes.get_errno()
        if code not in _NO_SUCH_CALL:
            raise OSError(code, os.strerror(code))
    os.posix_fadvise(descriptor, offset, count, os.POSIX_FADV_DONTNEED)


def sync_directory(path: Path) -> None:
    """Make the directory's entries durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_new(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write a file that must not exist, durably but for its name."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())


def replace_file(path: Path, data: bytes, temporary_directory: Path | None = None) -> None:
    """Put a file's new content in place of the old one, atomically and durably."""
    temporary = (temporary_directory or path.parent) / temporary_name()
    try:
        write_new(temporary, data)
        temporary.rename(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def replace_link(path: Path, target: str, temporary_directory: Path) -> None:
    """Point a symlink somewhere else, atomically and durably.

    The temporary link is made beside modelsync's own files: applications that list the link's
    directory never see it.
    """
    temporary = temporary_directory / temporary_name()
    temporary.symlink_to(target)
    try:
        temporary.rename(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def make_read_only(path: Path) -> None:
    """Take away the right to write to a file; what is no file is left alone."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.fchmod(descriptor, 0o444)
    finally:
        os.close(descriptor)


def set_directory_mode(path: Path, mode: int) -> None:
    """Change who may do what in a directory; what is none is left alone."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchmod(descriptor, stat.S_IMODE(mode))
    finally:
        os.close(descriptor)


def open_up(root: Path) -> None:
    """Give the right to write back to directories that a crash left without it."""
    for directory, _, _ in os.walk(root):  # the upper ones first
        mode = os.lstat(directory).st_mode
        if mode & stat.S_IRWXU != stat.S_IRWXU:
            Path(directory).chmod(stat.S_IMODE(mode) | stat.S_IRWXU)


def remove_tree(path: Path) -> None:
    """Remove a directory with everything in it, or a file; fine if it is not there."""
    if path.is_dir() and not path.is_symlink():
        try:
            shutil.rmtree(path)
        except PermissionError:
            open_up(path)
            shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def disk_usage(root: Path) -> int:
    """Bytes of disk below a directory; a file with several links counts once."""
    used_bytes, linked = 0, set()
    for _, _, names, directory in os.fwalk(root):
        for name in names:
            try:
                found = os.stat(name, dir_fd=directory, follow_symlinks=False)
            except FileNotFoundError:
                continue  # removed meanwhile
            if found.st_nlink > 1:
                if found.st_ino in linked:
                    continue
                linked.add(found.st_ino)
            used_bytes += found.st_blocks * 512
    return used_bytes


def open_unnoticed(path: Path, flags: int = 0) -> int:
    """Open a file to read it without a trace in its access time, which tells when readers used it last.

    Another user's file does not let that be asked for, and a file server notes the reading all the same.
    """
    flags |= os.O_RDONLY | os.O_CLOEXEC
    try:
        return os.open(path, flags | os.O_NOATIME)
    except PermissionError:
        return os.open(path, flags)


def make_directories(path: Path, below: Path) -> None:
    """Make a directory and its parents below `below`, durably where they are new."""
    missing = []
    while path != below and not path.exists():
        missing.append(path)
        path = path.parent
    for directory in reversed(missing):
        directory.mkdir(mode=0o755, exist_ok=True)
        sync_directory(directory.parent)


def read_if_there(path: str | Path) -> bytes | None:
    """A file's content, or None without the file."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.readall()
    except (FileNotFoundError, NotADirectoryError):
        return None


def names_in(path: str | Path) -> list[str]:
    """Names in a directory but temporary ones, sorted; none without the directory."""
    try:
        return sorted(name for name in os.listdir(path) if not name.startswith(TEMPORARY))
    except (FileNotFoundError, NotADirectoryError):
        return []
