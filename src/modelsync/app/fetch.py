"""Files from S3 into staging, in parts side by side, each file proven before it counts."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack

from modelsync.app.bandwidth import Bandwidth
from modelsync.app.files import FileFetch, Step
from modelsync.app.progress import SyncContext
from modelsync.app.space import Reservation
from modelsync.app.spans import FetchOptions, Source
from modelsync.core.facts import FetchStarted
from modelsync.core.manifest import FileRecord
from modelsync.core.plan import Build
from modelsync.ports import ObjectStore, Staging

_BEAT_SECONDS = 1.0


class Fetcher:
    """Shared by all workers: its threads are the budget of requests."""

    def __init__(self, store: ObjectStore, options: FetchOptions, bandwidth: Bandwidth) -> None:
        self._bandwidth = bandwidth
        self._store = store
        self._options = options
        self._threads = ThreadPoolExecutor(options.concurrency, thread_name_prefix="transfer")
        self._local = threading.local()

    def close(self) -> None:
        """Let go of the threads; what runs ends by its own cancellation."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def fetch(
        self, build: Build, staging: Staging, context: SyncContext, reservation: Reservation
    ) -> tuple[FileRecord, ...]:
        """Bring all files of a revision into staging, durable and proven.

        No more than `concurrency` requests of one model wait for a thread at a time, so that a
        large model does not keep a small one waiting, and no more files are open than that.

        Returns:
            A record for each file, in the plan's order.

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
        with ExitStack() as opened:
            files: list[FileFetch] = []
            self._run(_steps(build, staging, source, reservation, files, opened), context, cancel)
            return tuple(file.result() for file in files)

    def _run(self, steps: Iterator[Step], context: SyncContext, cancel: threading.Event) -> None:
        running: set[Future[None]] = set()
        try:
            more = True
            while more or running:
                context.beat()
                context.check()
                self._store.tend()
                while more and len(running) < self._options.concurrency:
                    step = next(steps, None)
                    more = step is not None
                    if step is not None:
                        running.add(self._threads.submit(step))
                finished, running = wait(running, timeout=_BEAT_SECONDS, return_when=FIRST_COMPLETED)
                for task in finished:
                    task.result()
        except BaseException:
            cancel.set()
            for task in running:
                task.cancel()
            while running:  # no thread may write to staging after this
                context.beat()
                _, running = wait(running, timeout=_BEAT_SECONDS)
            raise


def _steps(
    build: Build,
    staging: Staging,
    source: Source,
    reservation: Reservation,
    files: list[FileFetch],
    opened: ExitStack,
) -> Iterator[Step]:
    """Open the files one after the other, and say what is to be done for each.

    Files that are complete are closed on the way.
    """
    unfinished: deque[FileFetch] = deque()
    for planned in build.files:
        staged = staging.file(planned.path, planned.object.size_bytes, planned.object.etag)
        opened.callback(staged.close)
        reservation.allocated(planned.object.size_bytes)
        file = FileFetch(planned, staged, source, build)
        files.append(file)
        unfinished.append(file)
        yield from file.steps()
        while unfinished and unfinished[0].complete:
            unfinished.popleft().close()
