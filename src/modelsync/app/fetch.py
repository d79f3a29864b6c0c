"""Files from S3 into staging, in parts side by side, each file proven before it counts."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait

from modelsync.app.files import FileFetch
from modelsync.app.progress import SyncContext
from modelsync.app.spans import FetchOptions, Source
from modelsync.core.facts import FetchStarted
from modelsync.core.manifest import FileRecord
from modelsync.core.plan import Build, PlannedFile
from modelsync.ports import ObjectStore, Staging

_BEAT_SECONDS = 1.0


class Fetcher:
    """Shared by all workers: its threads are the budget of requests."""

    def __init__(self, store: ObjectStore, options: FetchOptions) -> None:
        self._store = store
        self._options = options
        self._threads = ThreadPoolExecutor(options.concurrency, thread_name_prefix="transfer")
        self._local = threading.local()

    def close(self) -> None:
        """Let go of the threads; what runs ends by its own cancellation."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def fetch(self, build: Build, staging: Staging, context: SyncContext) -> tuple[FileRecord, ...]:
        """Bring all files of a revision into staging, durable and proven.

        Returns:
            A record for each file, in the plan's order.

        Raises:
            ObjectChanged: plan again.
            VerificationFailed: a file's bytes are not what S3 has on record; they are discarded.
            StoreUnavailable, StoreDenied, VolumeFailed: try again; what is proven stays in staging.
            Stopped: the work is parked.
        """
        cancel = threading.Event()
        files = [self._file(planned, staging, build, context, cancel) for planned in build.files]
        try:
            context.observe(
                FetchStarted(
                    context.model,
                    build.revision,
                    context.sync_id,
                    len(files),
                    build.size_bytes,
                    sum(file.resumed_bytes for file in files),
                    build.reason,
                )
            )
            self._run([task for file in files for task in file.submit(self._threads)], context, cancel)
            return tuple(file.result() for file in files)
        finally:
            for file in files:
                file.close()

    def _file(
        self, planned: PlannedFile, staging: Staging, build: Build, context: SyncContext, cancel: threading.Event
    ) -> FileFetch:
        staged = staging.file(planned.path, planned.object.size_bytes, planned.object.etag)
        source = Source(self._store, self._options, context, cancel, self._local)
        return FileFetch(planned, staged, source, build, context)

    @staticmethod
    def _run(tasks: Sequence[Future[None]], context: SyncContext, cancel: threading.Event) -> None:
        pending = set(tasks)
        try:
            while pending:
                context.beat()
                context.check()
                finished, pending = wait(pending, timeout=_BEAT_SECONDS, return_when=FIRST_EXCEPTION)
                for task in finished:
                    task.result()
        except BaseException:
            cancel.set()
            for task in pending:
                task.cancel()
            while pending:  # no thread may write to staging after this
                context.beat()
                _, pending = wait(pending, timeout=_BEAT_SECONDS)
            raise
