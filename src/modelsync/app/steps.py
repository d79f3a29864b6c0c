"""The requests of one revision, handed out to whichever thread asks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress

from modelsync.app.files import FileFetch, Step
from modelsync.app.space import Reservation
from modelsync.app.spans import Source
from modelsync.core.manifest import FileRecord
from modelsync.core.names import RelPath
from modelsync.core.parts import split
from modelsync.core.plan import Build
from modelsync.errors import VolumeFailed
from modelsync.ports import Staging


class Steps:
    """Opens the files one after the other, and collects their records. Thread-safe.

    Attributes:
        most: how many steps there are at most, but for a HEAD per file.
        records: one for each file that is complete.
    """

    def __init__(self, build: Build, staging: Staging, source: Source, reservation: Reservation) -> None:
        self._build = build
        self._staging = staging
        self._source = source
        self._reservation = reservation
        self._lock = threading.Lock()
        self._steps = self._all()
        self._open: set[FileFetch] = set()
        self.most = sum(len(split(file.object.size_bytes)) for file in build.files)
        self.records: dict[RelPath, FileRecord] = {}

    def _all(self) -> Iterator[tuple[FileFetch, Step]]:
        for planned in self._build.files:
            size_bytes = planned.object.size_bytes
            staged = self._staging.file(planned.path, size_bytes, planned.object.etag)
            self._reservation.allocated(planned.path)
            file = FileFetch(planned, staged, self._source, self._build)
            self._open.add(file)
            for step in file.steps():
                yield file, step

    def do_next(self) -> int | None:
        """Make the next request and see it through.

        Returns:
            The bytes that it was for, or None if there was nothing left to do.

        Raises:
            ModelSyncError: as `Fetcher.fetch` says.
        """
        with self._lock:
            file, step = next(self._steps, (None, None))
        if file is None or step is None:
            return None
        self._source.check()
        record = step.run()
        if record is not None:
            with self._lock:
                self._open.discard(file)
                self.records[record.path] = record
            file.close()
        return step.size_bytes

    def close(self) -> None:
        """Release files that were not completed: what of them is on disk counts only by its checksums."""
        for file in self._open:
            with suppress(VolumeFailed):  # there is a cause already why they were not
                file.close()
