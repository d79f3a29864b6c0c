"""Waiting for revisions."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

from modelsync.client.bell import Bell
from modelsync.client.lease import Lease, acquire
from modelsync.client.place import Place, Target
from modelsync.errors import ModelNotFound, ReadFailed, Stopped, WaitTimedOut

_PATIENCE_SECONDS = 1.0

_log = logging.getLogger("modelsync.client")
_Found = TypeVar("_Found", Lease, Target)


def until_published(
    place: Place,
    ask: Callable[[], _Found],
    *,
    timeout: float,
    poll_seconds: float,
    stop: threading.Event | None = None,
) -> _Found:
    """Ask until the model is published; return the answer.

    Raises:
        WaitTimedOut: it was not, in so many seconds; with the reason, if the volume has one.
        LeaseFailed: it is, but `ask` cannot have it.
        Stopped: `stop` was set.
    """
    deadline = time.monotonic() + timeout
    bell = Bell(place.directories)
    try:
        while True:
            bell.arm()
            try:
                return ask()
            except ModelNotFound as error:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise WaitTimedOut(f"waited in vain: {error}; {place.reason()}") from error
            bell.wait(min(left, poll_seconds), stop)
            if stop is not None and stop.is_set():
                raise Stopped(f"no longer waits for {place.model}: told to stop")
    finally:
        bell.close()


class Watch:
    """An iterator over the revisions of a model, the current one first, as leases.

    It waits for each, and skips those that were superseded before it looked. It holds the leases:
    asking for the next revision says that the last one is in use now, and ends the lease of the one
    before. `close`, or leaving the `with` block, ends all and the iteration, from any thread; `stop`
    ends the iteration alone, also when it is set by a signal handler. For one consumer.

    A volume that fails, or a model that is withdrawn, does not end a watch: why there is nothing
    new is logged (logger `modelsync.client`), once, and the volume is looked at again.
    """

    def __init__(self, place: Place, *, stop: threading.Event | None, poll_seconds: float) -> None:
        self._place = place
        self._stop = stop
        self._poll_seconds = poll_seconds
        self._bell = Bell(place.directories)
        self._held: list[Lease] = []
        self._complaint = ""
        self._closed = threading.Event()
        self._working = threading.Lock()
        self._closing = threading.Lock()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Lease:
        """Wait for a revision other than the last one."""
        with self._working:
            for lease in self._held[:-1]:
                lease.close()
            del self._held[:-1]
            while not self._ended():
                self._bell.arm()
                if (lease_of_new := self._new()) is not None:
                    self._held.append(lease_of_new)
                    return lease_of_new
                self._bell.wait(self._poll_seconds, self._stop)
        raise StopIteration

    def _ended(self) -> bool:
        return self._closed.is_set() or (self._stop is not None and self._stop.is_set())

    def _new(self) -> Lease | None:
        try:
            if self._is_last(self._place.look()):
                return None
            lease = acquire(self._place, _PATIENCE_SECONDS)
        except (OSError, ReadFailed) as error:
            self._complain(str(error))
            return None
        self._complaint = ""
        if self._is_last(lease):  # by now, again
            lease.close()
            return None
        return lease

    def _is_last(self, found: Target | Lease) -> bool:
        return bool(self._held) and found.path == self._held[-1].path

    def _complain(self, why: str) -> None:
        if why != self._complaint:
            self._complaint = why
            _log.warning("%s; looks again every %g s", why, self._poll_seconds)

    def close(self) -> None:
        """End the iteration and all leases. Can be called again."""
        with self._closing:
            if self._closed.is_set():
                return
            self._closed.set()
            self._bell.ring()
            with self._working:  # until who waits has noticed
                self._bell.close()
                for lease in self._held:
                    lease.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
