"""Holding a revision, so that it is not removed while it is used.

The worker removes a revision only after it has renamed its directory away with an exclusive lock on
`lease.lock`. So who has a shared lock on the file that is still at its path is safe.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from types import TracebackType

from modelsync.client.place import GONE, Place, Target, look_anew
from modelsync.core.names import ModelId
from modelsync.core.objects import Revision
from modelsync.errors import LeaseFailed

_FIRST_PAUSE_SECONDS = 0.005
_LONGEST_PAUSE_SECONDS = 0.2
_REMOVED = {*GONE, errno.EWOULDBLOCK}


@dataclass(frozen=True, eq=False)
class Lease:
    """A revision that is not removed until `close`. A context manager that gives its path.

    Keep the object for as long as the files are used: a lease that is forgotten ends, with a
    `ResourceWarning`, as an open file does. It ends with its process too, however that dies. After
    a fork parent and child share it: it ends when both have closed it. Programs that are started
    do not inherit it. Thread-safe.

    Attributes:
        model: the model's name.
        revision: the revision's name.
        path: the directory of the revision's files, or the one file that is the model.
    """

    model: ModelId
    revision: Revision
    path: Path
    _lock: FileIO

    @property
    def closed(self) -> bool:
        """Whether it has ended."""
        return self._lock.closed

    def close(self) -> None:
        """End it. Can be called again, and from any thread."""
        self._lock.close()  # not LOCK_UN: that would end it for a forked process as well

    def __enter__(self) -> Path:
        """Give the path.

        Raises:
            LeaseFailed: the lease has ended.
        """
        if self.closed:
            raise LeaseFailed(f"the lease of {self.model} has ended: open the model again")
        return self.path

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def acquire(place: Place, patience_seconds: float) -> Lease:
    """Hold the revision that readers see now.

    Args:
        place: the model.
        patience_seconds: for how long it is tried again when the revision is removed meanwhile.

    Raises:
        ModelNotFound: nothing is published.
        LeaseFailed: the revision is not there, or the volume cannot be read or locked.
    """
    deadline = time.monotonic() + patience_seconds
    pause_seconds = _FIRST_PAUSE_SECONDS
    while True:
        try:
            return _take(place.model, place.look())
        except OSError as error:
            if error.errno not in _REMOVED:
                raise place.failed(error) from error
            if time.monotonic() + pause_seconds > deadline:
                raise LeaseFailed(
                    f"{place.link} leads to a revision that cannot be held: {error.filename}: {error.strerror};"
                    " see that modelsync runs, and that this mount shows what it writes"
                ) from error
        time.sleep(pause_seconds)
        pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)


def _take(model: ModelId, target: Target) -> Lease:
    """Hold a revision.

    Raises:
        OSError: in `_REMOVED` if it is being removed, or is gone.
    """
    lock = FileIO(target.lock, opener=_open)
    try:
        _share(lock, target.lock)
        target.path.stat()
        lock.read(1)  # its access time tells of the last use, where the mount keeps access times
    except BaseException:
        lock.close()
        raise
    return Lease(model, target.revision, target.path, lock)


def _share(lock: FileIO, path: Path) -> None:
    """Lock a file that is to be at a path still."""
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    look_anew(path.parent.parent)
    if not os.path.samestat(path.stat(), os.fstat(lock.fileno())):
        raise FileNotFoundError(errno.ENOENT, "another one has taken its place", str(path))


def _open(path: str, _flags: int) -> int:
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
