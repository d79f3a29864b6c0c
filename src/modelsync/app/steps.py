"""The requests of one revision, handed out to whichever thread asks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from modelsync.app.files import FileFetch
from modelsync.app.small import SmallFiles
from modelsync.app.space import Reservation
from modelsync.app.spans import Answer, Source
from modelsync.core.manifest import FileRecord
from modelsync.core.names import RelPath
from modelsync.core.parts import split
from modelsync.core.plan import Build, PlannedFile
from modelsync.errors import VolumeFailed
from modelsync.ports import Staging


@dataclass(frozen=True, slots=True)
class Step:
    """A piece of work on a file, to be done in any thread; the one that completes the file returns its record."""

    size_bytes: int
    run: Callable[[], FileRecord | None]


class Steps:
    """Begins the files one after the other, and collects their records. Thread-safe.

    Attributes:
        small: how many files are small: one step each.
        parts: how many steps all others have, but for a HEAD per file.
        records: one for each file that is complete.
    """

    def __init__(self, build: Build, staging: Staging, source: Source, reservation: Reservation) -> None:
        self._staging = staging
        self._source = source
        self._reservation = reservation
        self._revision = build.revision
        self._small = SmallFiles(source, staging, build.revision)
        self._lock = threading.Lock()
        self._open: set[FileFetch] = set()
        small: list[PlannedFile] = []
        others: list[PlannedFile] = []
        for file in build.files:
            (small if self._small.takes(file) else others).append(file)
        self._small_steps = (Step(file.object.size_bytes, partial(self._bring_small, file)) for file in small)
        self._part_steps = (step for file in others for step in self._begin(file))
        self.small = len(small)
        self.parts = sum(len(split(file.object.size_bytes)) for file in others)
        self.records: dict[RelPath, FileRecord] = {}

    def _bring_small(self, planned: PlannedFile) -> FileRecord | None:
        found = self._small.fetch(planned)
        with self._lock:
            if isinstance(found, FileRecord):
                self._reservation.allocated(planned.path)
                return found
            (step,) = self._begin(planned, found)
        return step.run()

    def _begin(self, planned: PlannedFile, answer: Answer | None = None) -> Iterator[Step]:
        """Open a file; its steps, in the order in which they should begin."""
        staged = self._staging.file(planned.path, planned.object.size_bytes, planned.object.etag)
        self._reservation.allocated(planned.path)
        file = FileFetch(planned, staged, self._source, self._revision, answer)
        self._open.add(file)
        for size_bytes, bring in file.steps():
            yield Step(size_bytes, partial(self._bring_part, file, bring))

    def _bring_part(self, file: FileFetch, bring: Callable[[], FileRecord | None]) -> FileRecord | None:
        record = bring()
        if record is not None:
            with self._lock:
                self._open.discard(file)
            file.close()
        return record

    def do_next(self, *, small: bool) -> int | None:
        """Make the next request and see it through.

        Args:
            small: for a small file, or for another.

        Returns:
            The bytes that it was for, or None if there was nothing left to do.

        Raises:
            ModelSyncError: as `Fetcher.fetch` says.
        """
        with self._lock:
            step = next(self._small_steps if small else self._part_steps, None)
        if step is None:
            return None
        self._source.check()
        record = step.run()
        if record is not None:
            self.records[record.path] = record
        return step.size_bytes

    def close(self) -> None:
        """Release files that were not completed: what of them is on disk counts only by its checksums."""
        for file in self._open:
            with suppress(VolumeFailed):  # there is a cause already why they were not
                file.close()
