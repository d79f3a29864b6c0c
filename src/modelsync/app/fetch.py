"""Files from S3 into staging, in parts side by side, each file proven before it counts."""

from __future__ import annotations

import threading
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace

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
_REQUEST_BYTES = 256 << 10  # what a small request costs in time, as bytes


class Fetcher:
    """Shared by all workers: its threads are the budget of requests.

    Two more are kept for small models while a large one is fetched: else they would wait until its requests end.
    """

    def __init__(self, store: ObjectStore, options: FetchOptions, bandwidth: Bandwidth) -> None:
        self._bandwidth = bandwidth
        self._store = store
        self._options = options
        self._threads = ThreadPoolExecutor(options.concurrency, thread_name_prefix="transfer")
        self._lock = threading.Lock()
        self._large = 0
        self._ahead = ThreadPoolExecutor(_AHEAD, thread_name_prefix="transfer-small")
        self._local = threading.local()

    def close(self) -> None:
        """Let go of the threads; what runs ends by its own cancellation."""
        for threads in (self._threads, self._ahead):
            threads.shutdown(wait=False, cancel_futures=True)

    def fetch(
        self,
        build: Build,
        staging: Staging,
        context: SyncContext,
        reservation: Reservation,
        records: dict[RelPath, FileRecord],
    ) -> None:
        """Bring all files of a revision into staging, durable and proven.

        Each thread works for one model for a moment at a time, so that a large model does not keep
        a small one waiting. No more than `concurrency` files of a model are open.

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
            self._run(steps, context, cancel, ahead)
        finally:
            with self._lock:
                self._large -= large
            steps.close()
            records |= steps.records

    def _run(self, steps: Steps, context: SyncContext, cancel: threading.Event, ahead: int) -> None:
        def take_turn() -> bool:
            """Work for a moment; return whether there may be more to do."""
            left_bytes = _TURN_BYTES
            while left_bytes > 0:
                size_bytes = steps.do_next()
                if size_bytes is None:
                    return False
                left_bytes -= max(size_bytes, _REQUEST_BYTES)
            return True

        running = {self._threads.submit(take_turn) for _ in range(min(self._options.concurrency, steps.most))}
        running |= {self._ahead.submit(take_turn) for _ in range(min(ahead, steps.most))}
        try:
            while running:
                context.beat()
                context.check()
                context.attend()
                finished, running = wait(running, timeout=_BEAT_SECONDS, return_when=FIRST_COMPLETED)
                unfinished = sum(task.result() for task in finished)
                if unfinished < len(finished):  # nothing is left to begin
                    running = {task for task in running if not task.cancel()}
                running |= {self._threads.submit(take_turn) for _ in range(unfinished)}
        except BaseException:
            cancel.set()
            _wait_for(running, context)  # no thread may write to staging after this
            raise


def _wait_for(running: set[Future[bool]], context: SyncContext) -> None:
    for task in running:
        task.cancel()
    while running:
        context.beat()
        _, running = wait(running, timeout=_BEAT_SECONDS)
