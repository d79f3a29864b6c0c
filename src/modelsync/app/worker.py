"""Takes dirty models and syncs them, one at a time per worker."""

from __future__ import annotations

import random
import threading

from modelsync.app.dirty import DirtyModels, Work
from modelsync.app.progress import Beat
from modelsync.app.result import SyncResult
from modelsync.app.sync import ModelSync
from modelsync.app.trouble import report
from modelsync.core.backoff import backoff_seconds
from modelsync.core.facts import HealthChanged, Outcome
from modelsync.core.health import Status
from modelsync.core.plan import INCOMPLETE_RECHECK_SECONDS
from modelsync.errors import Stopped, StoreUnavailable
from modelsync.ports import Observer

RETRY_BASE_SECONDS = 1.0
RETRY_CAP_SECONDS = 60.0


class Worker:
    """One of `SYNC_WORKERS`."""

    def __init__(self, dirty: DirtyModels, sync: ModelSync, observe: Observer) -> None:
        self._dirty = dirty
        self._sync = sync
        self._observe = observe

    def run(self, stop: threading.Event, beat: Beat) -> None:
        """Work until the queue of dirty models is closed. `stop` parks a running download."""
        while (work := self._dirty.take(beat)) is not None:
            beat()
            try:
                result = self._sync.sync(work, stop=stop, beat=beat)
            except Stopped:
                self._dirty.park(work)
                return
            except BaseException:
                self._dirty.park(work)
                raise
            self._report(work, result)
            self._dirty.done(work, result.outcome, retry_seconds=retry_seconds(work, result))

    def _report(self, work: Work, result: SyncResult) -> None:
        if result.outcome is Outcome.ERROR:
            report(result.error, self._observe, work.model)
        elif result.outcome is not Outcome.BUSY:
            self._observe(HealthChanged("s3", Status.HEALTHY, "the bucket answers"))


def retry_seconds(work: Work, result: SyncResult) -> float | None:
    """When a model is to be tried again without being asked; None if it need not be."""
    match result.outcome:
        case Outcome.ERROR:
            return backoff_seconds(
                work.failures + 1,
                base_seconds=RETRY_BASE_SECONDS,
                cap_seconds=RETRY_CAP_SECONDS,
                jitter=random.random(),  # noqa: S311 - no secret
                asked_seconds=result.error.pause_seconds if isinstance(result.error, StoreUnavailable) else 0.0,
            )
        case Outcome.WAITING | Outcome.BUSY:
            return INCOMPLETE_RECHECK_SECONDS if result.wait_seconds is None else result.wait_seconds
        case _:
            return result.wait_seconds
