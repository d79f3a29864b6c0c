"""Everything once, then an answer: for init containers and cron."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from modelsync.app.compare import Comparison
from modelsync.app.dirty import DirtyModels, Work
from modelsync.app.result import SyncResult
from modelsync.app.sync import ModelSync
from modelsync.app.worker import retry_seconds
from modelsync.core.facts import Outcome
from modelsync.core.names import ModelId
from modelsync.errors import Stopped
from modelsync.ports import Clock, Volume

_ATTEMPTS = 4
_TRANSIENT = {Outcome.ERROR, Outcome.BUSY, Outcome.WAITING}


@dataclass(frozen=True)
class ModelOutcome:
    """How one model ended."""

    model: ModelId
    result: SyncResult


class OneShot:
    """Syncs the models that are asked for, or all that the bucket has."""

    def __init__(
        self,
        *,
        comparison: Comparison,
        sync: ModelSync,
        dirty: DirtyModels,
        volume: Volume,
        clock: Clock,
        failing: Callable[[], Mapping[ModelId, str]],
        gone: Callable[[], Mapping[ModelId, str]],
        workers: int,
    ) -> None:
        self._comparison = comparison
        self._sync = sync
        self._dirty = dirty
        self._volume = volume
        self._clock = clock
        self._failing = failing
        self._gone = gone
        self._workers = workers
        self._lock = threading.Lock()
        self._results: dict[ModelId, SyncResult] = {}
        self._waits: dict[ModelId, int] = {}
        self._failure: BaseException | None = None

    def run(self, models: Sequence[ModelId], stop: threading.Event) -> list[ModelOutcome]:
        """Sync; a model that fails or is not complete yet is tried a few times more.

        Args:
            models: empty means all.
            stop: parks the work.

        Returns:
            An outcome for each model that had work to do, stands refused or left the bucket, in order of their names.

        Raises:
            StoreUnavailable, StoreDenied, BucketMissing, VolumeFailed: there is no list of models.
            Stopped: `stop` was set.
        """
        marked: set[ModelId] = set()

        def mark(model: ModelId, delay_seconds: float = 0.0) -> None:
            if delay_seconds <= 0:  # else it is for a later run
                marked.add(model)
                self._dirty.mark(model, why="command", wanted=bool(models))

        found = None
        if models:
            for model in models:
                mark(model)
        else:
            found = self._comparison.run(mark, stop, lambda: None)
        threads = [threading.Thread(target=self._work, args=(stop, marked), daemon=True) for _ in range(self._workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self._failure is not None:
            raise self._failure
        if found is not None:
            self._volume.record_reconciled(found)
        results = (
            {model: SyncResult(Outcome.NOOP, reason) for model, reason in self._gone().items()}
            | {model: SyncResult(Outcome.REJECTED, reason) for model, reason in self._failing().items()}
            | self._results
        )
        return [ModelOutcome(model, results[model]) for model in sorted(results)]

    def _work(self, stop: threading.Event, marked: set[ModelId]) -> None:
        def beat() -> None:
            if stop.is_set():
                raise Stopped("interrupted")

        try:
            while not self._complete(marked) and (work := self._dirty.take(beat)) is not None:
                result = self._sync.sync(work, stop=stop, beat=lambda: None)
                self._dirty.done(work, result.outcome, retry_seconds=self._again(work, result))
                with self._lock:
                    self._results[work.model] = result
                if self._complete(marked):
                    self._dirty.drain(self._clock.monotonic())
        except (Stopped, Exception) as error:  # noqa: BLE001 - handed to the caller's thread
            self._failure = self._failure or error
            self._dirty.drain(self._clock.monotonic())

    def _again(self, work: Work, result: SyncResult) -> float | None:
        if result.outcome not in _TRANSIENT and result.wait_seconds != 0:  # 0: what is left to do is due already
            self._waits[work.model] = _ATTEMPTS
            return None
        with self._lock:
            self._waits[work.model] = self._waits.get(work.model, 0) + 1
            if self._waits[work.model] >= _ATTEMPTS:
                return None
        return retry_seconds(work, result)

    def _complete(self, marked: set[ModelId]) -> bool:
        with self._lock:
            return all(self._waits.get(model, 0) >= _ATTEMPTS for model in marked)
