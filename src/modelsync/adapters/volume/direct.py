"""Writing past the page cache, where the volume is a local disk.

A download's bytes are read by other processes, later and often on other machines: to cache them
here costs a copy, memory of the container's limit, and a long fsync at the end. docs/adr/0008 has
the figures. Network file systems keep the cache, which hides their delay.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from modelsync.adapters.volume.mounts import mount_of

BLOCK_BYTES = 4096
LEAST_BYTES = 8 << 20
"""Smaller files are not worth a second descriptor."""

_LOCAL = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs"})


def on_local_disk(path: Path) -> bool:
    """Whether a path's file system keeps its files on a disk of this machine, as far as Linux says."""
    mount = mount_of(path)
    return mount is not None and mount.kind in _LOCAL


class DirectWriter:
    """Writes whole blocks of one file to the disk itself. Thread-safe."""

    def __init__(self, path: str) -> None:
        """Open an existing file; where that does not work, nothing will be written this way."""
        try:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_DIRECT | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            if error.errno not in {errno.EINVAL, errno.EOPNOTSUPP}:
                raise
            self._descriptor = -1

    @property
    def works(self) -> bool:
        """Whether the file system has such a way."""
        return self._descriptor >= 0

    def write(self, offset: int, data: memoryview) -> int:
        """Write what can be written this way; return how many bytes that is, perhaps none.

        Raises:
            OSError: the disk failed or is full.
        """
        if self._descriptor < 0 or (offset | len(data)) % BLOCK_BYTES:
            return 0
        try:
            return os.pwrite(self._descriptor, data, offset)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return 0  # the disk's blocks are larger, or the buffer does not lie as it should

    def close(self) -> None:
        """Release the file."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
