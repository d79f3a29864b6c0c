"""What stands in a published directory, and its bytes once more."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from modelsync.adapters.volume.files import of_one_file, open_unnoticed
from modelsync.core.verify import Entry
from modelsync.errors import FileUnreadable


@contextmanager
def _unreadable(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if of_one_file(error):
            raise FileUnreadable(f"{what} cannot be read: {error.strerror}") from error
        raise


def entries_in(root: Path) -> list[Entry]:
    """All names below a directory but directories; none without it.

    Raises:
        FileUnreadable: a directory in it cannot be read.
        OSError: the volume cannot.
    """
    found: list[Entry] = []
    with _unreadable("a directory"), suppress(FileNotFoundError):
        for here, directories, names in os.walk(root, onerror=_fail):
            # A link to a directory is among the directories, and not followed.
            for path in (Path(here, name) for name in [*names, *directories]):
                about = path.lstat()
                if not stat.S_ISDIR(about.st_mode):
                    relative = path.relative_to(root).as_posix()
                    regular = stat.S_ISREG(about.st_mode)
                    found.append(Entry(relative, about.st_size, stat.S_IMODE(about.st_mode), regular))
    return found


def _fail(error: OSError) -> NoReturn:
    raise error


def chunks_of(path: Path, chunk_bytes: int) -> Iterator[memoryview]:
    """A file's bytes in order.

    The kernel is told that they are read once (POSIX_FADV_NOREUSE): from Linux 6.3 on, reading them
    does not make their pages worth more than those that other processes use. They are not dropped
    behind us (POSIX_FADV_DONTNEED): that would throw out what readers had in memory before.

    Raises:
        FileUnreadable: this file alone cannot be read.
        OSError: the volume cannot.
    """
    with _unreadable(path.name):
        descriptor = open_unnoticed(path, os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_NOREUSE)
            buffer = memoryview(bytearray(chunk_bytes))
            while count := os.readv(descriptor, [buffer]):
                yield buffer[:count]
        finally:
            os.close(descriptor)
