"""Looks at things that may hang: each in a thread of its own, within bounds of time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from modelsync.errors import ModelSyncError, TryAgain
from modelsync.ports import Clock

Seen = TypeVar("Seen")


class Looks:
    """All looks of one examination. Thread-safe."""

    def __init__(self, clock: Clock, *, look_seconds: float, total_seconds: float) -> None:
        """The time for all of them begins now."""
        self._clock = clock
        self._look_seconds = look_seconds
        self._ends_at = clock.monotonic() + total_seconds

    def see(self, look: Callable[[], Seen]) -> Seen | ModelSyncError:
        """Look; what goes wrong is an answer too. Never raises, not even for a fault of ours."""
        seconds = max(min(self._look_seconds, self._ends_at - self._clock.monotonic()), 0.0)
        try:
            return aside(look).result(seconds)
        except TimeoutError:
            return TryAgain(f"there was no answer within {seconds:.0f} s")
        except ModelSyncError as error:
            return error
        except Exception as error:  # noqa: BLE001 - one check that fails must not stop the others
            return ModelSyncError(f"the check itself failed ({type(error).__name__}: {error})")


def aside(work: Callable[[], Seen]) -> Future[Seen]:
    """Work in a thread that does not hold up the process's end."""
    future: Future[Seen] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - whoever asks for the result gets it
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future
