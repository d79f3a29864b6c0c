"""Waits until a pushed revision has reached its readers."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from modelsync.core.names import ModelId
from modelsync.core.objects import Revision
from modelsync.core.status import Arrived, TurnedDown, Underway, arrival
from modelsync.errors import ServiceUnavailable, Stopped
from modelsync.ports import Clock
from modelsync.ports.push import Service

_POLL_SECONDS = 0.25


@dataclass(frozen=True)
class Follow:
    """Asks a worker. `refused_before` is what `core.status.arrival` wants to know."""

    service: Service
    clock: Clock
    model: ModelId
    refused_before: float | None

    def until_published(
        self, revision: Revision, timeout_seconds: float, stop: threading.Event
    ) -> Arrived | TurnedDown | Underway:
        """Wait; `Underway` if the time is over.

        Raises:
            Stopped: `stop` was set.
        """
        deadline = self.clock.monotonic() + timeout_seconds
        while True:
            verdict = self._ask(revision)
            if not isinstance(verdict, Underway) or self.clock.monotonic() >= deadline:
                return verdict
            if self.clock.wait(stop, _POLL_SECONDS):
                raise Stopped("interrupted: what was pushed stays pushed")

    def _ask(self, revision: Revision) -> Arrived | TurnedDown | Underway:
        try:
            return arrival(self.service.model(self.model), revision, self.refused_before)
        except ServiceUnavailable as error:
            return Underway(str(error))
