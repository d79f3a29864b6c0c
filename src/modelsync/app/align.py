"""Brings whoever follows the models to what is published, whatever notices were lost: after each comparison."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from modelsync.app.progress import Beat
from modelsync.core.cluster import Standing
from modelsync.core.facts import Fact, ReconcileFinished
from modelsync.core.names import ModelId
from modelsync.core.status import ModelStatus
from modelsync.errors import NoticeRefused, NotTold, Stopped
from modelsync.ports import Clock
from modelsync.ports.telling import Follower

_POLL_SECONDS = 1.0
_AGAIN_SECONDS = 30.0


class Aligner:
    """Implements `ports.Observer`: the end of a comparison asks for a look. `run` by one thread."""

    def __init__(
        self,
        follower: Follower,
        known: Callable[[], Mapping[ModelId, ModelStatus]],
        *,
        clock: Clock,
        changed: Callable[[], None],
    ) -> None:
        """Make it; `known` tells what readers see, and `changed` is called whenever `trouble` may be another."""
        self.name = follower.name
        self.trouble: str | None = None
        self._follower = follower
        self._known = known
        self._clock = clock
        self._changed = changed
        self._asked = threading.Event()

    def __call__(self, fact: Fact, /) -> None:
        """Take a fact."""
        if isinstance(fact, ReconcileFinished):
            self._asked.set()

    def run(self, stop: threading.Event, beat: Beat) -> None:
        """Look whenever that is asked for, until `stop`; what fails is tried again."""

        def attend() -> None:
            beat()
            if stop.is_set():
                raise Stopped("the process ends")

        again_at = float("inf")
        try:
            while True:
                attend()
                if self._clock.wait(self._asked, _POLL_SECONDS) or self._clock.monotonic() >= again_at:
                    self._asked.clear()
                    again_at = float("inf") if self._align(attend) else self._clock.monotonic() + _AGAIN_SECONDS
        except Stopped:
            return

    def _align(self, attend: Callable[[], None]) -> bool:
        try:
            self._follower.align(_published(self._known()), attend)
            self.trouble = None
        except NoticeRefused:
            self.trouble = None  # nobody follows
        except NotTold as error:
            self.trouble = f"it could not be compared with what is published: {error}"
        self._changed()
        return self.trouble is None


def _published(known: Mapping[ModelId, ModelStatus]) -> dict[ModelId, Standing]:
    return {
        model: Standing(status.revision, status.published_at)
        for model, status in known.items()
        if status.revision is not None and status.published_at is not None
    }
