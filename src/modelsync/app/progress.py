"""What a sync tells while it runs, and how it is told to stop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from modelsync.app.patience import Patience, Retries
from modelsync.core.names import ModelId
from modelsync.errors import Stopped
from modelsync.ports import Clock, Observer

Beat = Callable[[], None]
"""Called by a loop to say that it is alive."""


@dataclass
class SyncContext:
    """One sync of one model: who it is, how long its stages took, and its end of patience.

    Attributes:
        stop: set when the service parks its work.
        beat: called at least every second.
        attend: called about every second of a download, by one thread; raises if its plan is out of date.
    """

    model: ModelId
    sync_id: str
    clock: Clock
    observe: Observer
    stop: threading.Event
    beat: Beat
    attend: Callable[[], None] = lambda: None
    stages: dict[str, float] = field(default_factory=dict)

    def check(self) -> None:
        """Raise if the work must be parked.

        Raises:
            Stopped: it must.
        """
        if self.stop.is_set():
            raise Stopped("shutting down: the download is parked")

    def tend(self) -> None:
        """Beat, and raise if the work must be parked: for what calls back while it lasts.

        Raises:
            Stopped: it must.
        """
        self.beat()
        self.check()

    def retries(self, patience: Patience, what: str) -> Retries:
        """For requests that this sync waits for; `what` names them in facts."""
        return Retries(patience, self.clock, self.observe, self.model, self.sync_id, what, self.stop, self.tend)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage; times of the same name add up."""
        self.tend()
        start = self.clock.monotonic()
        try:
            yield
        finally:
            self.stages[name] = self.stages.get(name, 0.0) + self.clock.monotonic() - start
