"""One push under way: how it is told to end, and how often it tries again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from modelsync.app.patience import Patience, Retries
from modelsync.core.names import ModelId
from modelsync.errors import Stopped
from modelsync.ports import Clock, Observer

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Outbound:
    """What the steps of one push share.

    Attributes:
        model: what is pushed.
        push_id: names the push in facts.
        stop: set when the person who pushes wants it to end.
        cancel: set when another step failed.
    """

    model: ModelId
    push_id: str
    clock: Clock
    observe: Observer
    patience: Patience
    stop: threading.Event
    cancel: threading.Event

    def check(self) -> None:
        """Raise if the push must end.

        Raises:
            Stopped: it must.
        """
        if self.stop.is_set() or self.cancel.is_set():
            raise Stopped("interrupted: push again to go on with what is missing")

    def patiently(self, path: str, ask: Callable[[], Answer]) -> Answer:
        """Make a request as often as patience allows."""
        retries = Retries(
            self.patience, self.clock, self.observe, self.model, self.push_id, path, self.cancel, self.check
        )
        return retries(ask)
