"""Errors that belong to something the service depends on, told to health and metrics."""

from __future__ import annotations

from modelsync.core.facts import HealthChanged, VolumeCallFailed
from modelsync.core.health import Status
from modelsync.errors import ModelSyncError, TryAgain, VolumeFailed
from modelsync.ports import Observer


def report(error: ModelSyncError | None, observe: Observer) -> None:
    """Tell which dependency failed and why; nothing where the fault lies in one model alone."""
    if isinstance(error, TryAgain) and error.dependency:
        observe(HealthChanged(error.dependency, Status.DEGRADED, str(error)))
    if isinstance(error, VolumeFailed):
        observe(VolumeCallFailed(error.reason))
