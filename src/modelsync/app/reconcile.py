"""When the bucket is compared with the volume: at start, every interval, and when asked."""

from __future__ import annotations

import random
import threading

from modelsync.app.compare import Comparison
from modelsync.app.dirty import DirtyModels
from modelsync.app.progress import Beat
from modelsync.app.trouble import COMPARISON, report
from modelsync.core.backoff import backoff_seconds
from modelsync.core.facts import HealthChanged, Outcome, ReconcileFailed, ReconcileFinished, ReconcileStarted
from modelsync.core.health import Status
from modelsync.core.names import ModelId
from modelsync.errors import ConfigurationError, ModelSyncError, Stopped, TryAgain
from modelsync.ports import Clock, Observer, Volume

_POLL_SECONDS = 1.0
_FOLLOW_SECONDS = 0.02
_RETRY_BASE_SECONDS = 2.0
_RETRY_CAP_SECONDS = 60.0
_JITTER = 0.1


class _Tried:
    """Claim on the models that a comparison found dirty: counts those that were looked at."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: set[ModelId] = set()

    def add(self, model: ModelId) -> None:
        with self._lock:
            self._open.add(model)

    def tried(self, model: ModelId, outcome: Outcome, *, final: bool) -> bool:  # noqa: ARG002 - an attempt is enough
        with self._lock:
            self._open.discard(model)
        return False

    def left(self) -> int:
        with self._lock:
            return len(self._open)


class Reconciler:
    """Compares at start, every interval, and when asked."""

    def __init__(
        self,
        *,
        comparison: Comparison,
        volume: Volume,
        dirty: DirtyModels,
        clock: Clock,
        observe: Observer,
        interval_seconds: float,
    ) -> None:
        """Make it.

        Args:
            comparison: does the comparing.
            volume: keeps the record.
            dirty: takes the models that differ.
            clock: for the interval.
            observe: told of each comparison.
            interval_seconds: time between comparisons; 0: only at start and when asked.
        """
        self._comparison = comparison
        self._volume = volume
        self._dirty = dirty
        self._clock = clock
        self._observe = observe
        self._interval_seconds = interval_seconds
        self._asked = threading.Event()

    def ask(self) -> None:
        """Compare as soon as possible. From any thread."""
        self._asked.set()

    def run(self, stop: threading.Event, beat: Beat) -> None:
        """Compare until `stop`."""
        why, failures = "start", 0
        while not stop.is_set():
            self._asked.clear()
            try:
                self._compare_and_follow(why, stop, beat)
            except Stopped:
                return
            except (TryAgain, ConfigurationError) as error:
                failures += 1
                self._failed(error)
                pause = backoff_seconds(
                    failures,
                    base_seconds=_RETRY_BASE_SECONDS,
                    cap_seconds=_RETRY_CAP_SECONDS,
                    jitter=random.random(),  # noqa: S311 - no secret
                )
                why = "retry"
            else:
                failures = 0
                pause = self._interval_seconds * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311
                why = "interval"
            if self._pause(pause, stop, beat):
                why = "asked"

    def _pause(self, seconds: float, stop: threading.Event, beat: Beat) -> bool:
        """Wait for the next comparison; return whether it was asked for."""
        due = self._clock.monotonic() + seconds if seconds else float("inf")
        while not stop.is_set() and (left := due - self._clock.monotonic()) > 0:
            beat()
            # The signal's event is what wakes it; `stop` is looked at in between.
            if self._clock.wait(self._asked, min(left, _POLL_SECONDS)):
                return True
        return False

    def _failed(self, error: ModelSyncError) -> None:
        self._observe(ReconcileFailed(str(error)))
        if isinstance(error, ConfigurationError):
            self._observe(HealthChanged("s3", Status.DEGRADED, str(error)))
        else:
            report(error, self._observe, COMPARISON)

    def _compare_and_follow(self, why: str, stop: threading.Event, beat: Beat) -> None:
        start = self._clock.monotonic()
        self._observe(ReconcileStarted(why))
        tried = _Tried()

        def mark(model: ModelId, delay_seconds: float) -> None:
            claim = None
            if delay_seconds <= 0:
                tried.add(model)
                claim = tried
            self._dirty.mark(model, why=f"reconcile ({why})", delay_seconds=max(delay_seconds, 0.0), claim=claim)

        found = self._comparison.run(mark, stop, beat)
        self._observe(HealthChanged("s3", Status.HEALTHY, "the bucket answers"))
        patience = self._clock.monotonic() + (self._interval_seconds or float("inf"))
        while tried.left():
            beat()
            if self._clock.wait(stop, _FOLLOW_SECONDS):
                return
            # A download of hours must not keep the next comparison waiting. The first one of a volume does not count
            # before all models were looked at: it tells that there is something to read.
            if self._asked.is_set() or self._clock.monotonic() > patience:
                if self._volume.reconciled() is None:
                    return
                break
        self._volume.record_reconciled(found)
        self._observe(ReconcileFinished(found, self._clock.monotonic() - start))
