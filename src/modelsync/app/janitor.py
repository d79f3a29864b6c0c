"""Looks after the volume beside the work: tries it now and then, sweeps what crashes left."""

from __future__ import annotations

import threading

from modelsync.app.progress import Beat
from modelsync.core.facts import VolumeCallFailed, VolumeMeasured, VolumeTried
from modelsync.core.health import Status
from modelsync.errors import VolumeFailed, VolumeUnusable
from modelsync.ports import Clock, Observer, Volume

_TRY_SECONDS = 15.0
_BEAT_SECONDS = 5.0


class Janitor:
    """One per service."""

    def __init__(self, volume: Volume, clock: Clock, observe: Observer) -> None:
        self._volume = volume
        self._clock = clock
        self._observe = observe

    def run(self, stop: threading.Event, beat: Beat) -> None:
        """Try the volume until `stop`."""
        while not stop.is_set():
            self._try()
            due = self._clock.monotonic() + _TRY_SECONDS
            while (left := due - self._clock.monotonic()) > 0:
                beat()
                if self._clock.wait(stop, min(left, _BEAT_SECONDS)):
                    return

    def _try(self) -> None:
        try:
            self._volume.check()
            self._volume.sweep()
            space = self._volume.space()
            reconciled = self._volume.reconciled() is not None
        except (VolumeUnusable, VolumeFailed) as error:
            readable = self._volume.readable()
            self._observe(VolumeTried(Status.DEGRADED if readable else Status.UNHEALTHY, str(error)))
            self._observe(VolumeCallFailed(error.reason))
        else:
            self._observe(VolumeMeasured(space.total_bytes, space.free_bytes, reconciled))
            self._observe(VolumeTried(Status.HEALTHY, "the volume can be written"))
