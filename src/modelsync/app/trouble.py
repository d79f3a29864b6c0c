"""Errors that belong to something the service depends on, told to health and metrics."""

from __future__ import annotations

import threading

from modelsync.core import facts
from modelsync.core.facts import Fact, HealthChanged, Outcome, VolumeCallFailed, VolumeRefused
from modelsync.core.health import Status, volume_check
from modelsync.errors import ModelSyncError, TryAgain, VolumeFailed
from modelsync.ports import Observer

COMPARISON = "the comparison with the bucket"
_STILL_OPEN = {Outcome.ERROR, Outcome.BUSY}


def report(error: ModelSyncError | None, observe: Observer, whose: str) -> None:
    """Tell which dependency failed and why; nothing where the fault lies in one model alone.

    Args:
        error: what failed.
        observe: told of it.
        whose: the model that was synced, or `COMPARISON`.
    """
    if isinstance(error, VolumeFailed):
        observe(VolumeRefused(whose, str(error)))
        observe(VolumeCallFailed(error.reason))
    elif isinstance(error, TryAgain) and error.dependency:
        observe(HealthChanged(error.dependency, Status.DEGRADED, str(error)))


class VolumeHealth:
    """The check `volume`: what a trial of the volume says, and what the work that it refused met.

    A trial writes a byte: it cannot tell that there is no room for a model, nor may it clear what a model met. A sink
    of facts, and a source of one. Thread-safe.
    """

    wants_frequent = False

    def __init__(self, observe: Observer) -> None:
        self._observe = observe
        self._lock = threading.Lock()
        self._tried = (Status.HEALTHY, "the volume can be written")
        self._refused: dict[str, str] = {}

    def __call__(self, fact: Fact, /) -> None:
        """Take a fact."""
        match fact:
            case facts.VolumeTried(status, reason):
                self._tell(tried=(status, reason))
            case facts.VolumeRefused(whose, reason):
                self._tell(whose, reason)
            case facts.SyncFinished(model=whose, outcome=outcome) if outcome not in _STILL_OPEN:
                self._over(whose)
            case facts.ModelAbsent(model=whose):
                self._over(whose)
            case facts.ReconcileFinished():
                self._over(COMPARISON)
            case _:
                pass

    def _over(self, whose: str) -> None:
        if whose in self._refused:
            self._tell(whose)

    def _tell(self, whose: str = "", refused: str | None = None, tried: tuple[Status, str] | None = None) -> None:
        with self._lock:
            self._tried = tried or self._tried
            self._refused.pop(whose, None)
            if refused is not None:
                self._refused[whose] = refused
            status, reason = volume_check(self._tried, self._refused)
        self._observe(HealthChanged("volume", status, reason))
