"""Files from S3 into staging, in parts side by side, each file proven before it counts."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from itertools import repeat

from modelsync.app.bandwidth import Bandwidth
from modelsync.app.progress import SyncContext
from modelsync.app.space import Reservation
from modelsync.app.spans import FetchOptions, Source
from modelsync.app.steps import Steps
from modelsync.core.facts import FetchStarted
from modelsync.core.manifest import FileRecord
from modelsync.core.names import RelPath
from modelsync.core.plan import Build
from modelsync.ports import ObjectStore, Staging

_BEAT_SECONDS = 1.0
_TURN_BYTES = 8 << 20
_AHEAD = 2
_SMALL_TO_ONE = 8  # requests for small files to one for a part: they cost time, not bytes
_FILES_PER_CONNECTION = 4  # or a connection is not worth its making
_REQUEST_BYTES = 256 << 10  # what any request costs in time, as bytes


@dataclass(frozen=True)
class _Lane:
    """Threads that make requests of one kind."""

    threads: Executor
    small: bool


class Fetcher:
    """Shared by all workers: its threads are the budget of requests.

    Small files have threads of their own, and more of them: most of a small request is waiting. Two more are kept for
    small models while a large one is fetched: else they would wait until its requests end.
    """

    def __init__(self, store: ObjectStore, options: FetchOptions, bandwidth: Bandwidth) -> None:
        self._bandwidth = bandwidth
        self._store = store
        self._options = options
        self._threads = ThreadPoolExecutor(options.concurrency, thread_name_prefix="transfer")
        self._lock = threading.Lock()
        self._large = 0
        self._ahead = ThreadPoolExecutor(_AHEAD, thread_name_prefix="transfer-ahead")
        self._many = ThreadPoolExecutor(options.concurrency * _SMALL_TO_ONE, thread_name_prefix="transfer-small")
        self._local = threading.local()

    def close(self) -> None:
        """Let go of the threads; what runs ends by its own cancellation."""
        for threads in (self._threads, self._ahead, self._many):
            threads.shutdown(wait=False, cancel_futures=True)

    def fetch(
        self,
        build: Build,
        staging: Staging,
        context: SyncContext,
        reservation: Reservation,
        records: dict[RelPath, FileRecord],
    ) -> None:
        """Bring all files of a revision into staging, proven, and durable at the latest when it is sealed.

        Each thread works for one model for a moment at a time, so that a large model does not keep
        a small one waiting.

        Args:
            build: which files.
            staging: where to.
            context: the sync.
            reservation: of their space.
            records: takes a record for each file that is complete, also if others fail; those that have one
                are passed over.

        Raises:
            ObjectChanged: plan again.
            VerificationFailed: a file's bytes are not what S3 has on record; they are discarded.
            StoreUnavailable, StoreDenied, VolumeFailed: try again; what is proven stays in staging.
            Stopped: the work is parked.
        """
        context.observe(
            FetchStarted(
                context.model, build.revision, context.sync_id, len(build.files), build.size_bytes, build.reason
            )
        )
        cancel = threading.Event()
        source = Source(self._store, self._options, context, cancel, self._local, self._bandwidth)
        missing = replace(build, files=tuple(file for file in build.files if file.path not in records))
        steps = Steps(missing, staging, source, reservation)
        large = build.size_bytes > _TURN_BYTES
        with self._lock:
            ahead = _AHEAD if self._large and not large else 0
            self._large += large
        try:
            self._run(steps, self._lanes(steps, ahead), context, cancel)
        finally:
            with self._lock:
                self._large -= large
            steps.close()
            records |= steps.records

    def _lanes(self, steps: Steps, ahead: int) -> Iterator[_Lane]:
        """For each request that may be made at the same time, who makes it."""
        most = self._options.concurrency
        many = max(most, min(most * _SMALL_TO_ONE, steps.small // _FILES_PER_CONNECTION))
        yield from repeat(_Lane(self._many, small=True), min(many, steps.small))
        yield from repeat(_Lane(self._threads, small=False), min(most, steps.parts))
        yield from repeat(_Lane(self._ahead, small=False), min(ahead, steps.parts))

    def _run(self, steps: Steps, lanes: Iterable[_Lane], context: SyncContext, cancel: threading.Event) -> None:
        def take_turn(lane: _Lane) -> bool:
            """Work for a moment; return whether there may be more to do."""
            left_bytes = _TURN_BYTES
            while left_bytes > 0:
                size_bytes = steps.do_next(small=lane.small)
                if size_bytes is None:
                    return False
                left_bytes -= max(size_bytes, _REQUEST_BYTES)
            return True

        running = {lane.threads.submit(take_turn, lane): lane for lane in lanes}
        try:
            while running:
                context.beat()
                context.check()
                context.attend()
                finished, _ = wait(running, timeout=_BEAT_SECONDS, return_when=FIRST_COMPLETED)
                for task in finished:
                    lane = running.pop(task)
                    if task.result():
                        running[lane.threads.submit(take_turn, lane)] = lane
                    else:
                        running = _without_idle(running, lane)
        except BaseException:
            cancel.set()
            _wait_for(set(running), context)  # no thread may write to staging after this
            raise


def _without_idle(running: dict[Future[bool], _Lane], ended: _Lane) -> dict[Future[bool], _Lane]:
    """Take back what would find nothing left to begin."""
    return {task: lane for task, lane in running.items() if lane.small != ended.small or not task.cancel()}


def _wait_for(running: set[Future[bool]], context: SyncContext) -> None:
    for task in running:
        task.cancel()
    while running:
        context.beat()
        _, running = wait(running, timeout=_BEAT_SECONDS)
