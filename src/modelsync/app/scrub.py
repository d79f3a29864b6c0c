"""Reads everything on the volume at a low rate, over and over, and has what is damaged built anew."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

from modelsync.app.bandwidth import Bandwidth
from modelsync.app.dirty import DirtyModels
from modelsync.app.progress import Beat
from modelsync.app.repair import Repairer
from modelsync.app.verify import CHUNK_BYTES, Check, Verifier, paced
from modelsync.core.damage import damaging
from modelsync.core.facts import BytesScrubbed, ScrubFailed, ScrubFinished
from modelsync.core.manifest import FileRecord, Scrubbed
from modelsync.core.names import ModelId
from modelsync.core.objects import Revision
from modelsync.errors import Stopped, TryAgain
from modelsync.ports import Clock, Observer, Volume

LEAST_PASS_SECONDS = 3600.0
"""A volume that is read faster than this waits for the rest of the time before it is read again."""
_RECORD_SECONDS = 10.0
_AGAIN_SECONDS = 30.0
_BEAT_SECONDS = 1.0


class Scrubber:
    """One per service; of all services on a volume one scrubs at a time."""

    def __init__(
        self, *, volume: Volume, dirty: DirtyModels, clock: Clock, observe: Observer, bytes_per_second: int
    ) -> None:
        self._volume = volume
        self._dirty = dirty
        self._clock = clock
        self._observe = observe
        self._bandwidth = Bandwidth(bytes_per_second, clock)
        self._verifier = Verifier(volume, self._bandwidth.read_bytes(CHUNK_BYTES))
        self._repairer = Repairer(volume, self._verifier, clock, observe)
        self._at = Scrubbed(started_at=clock.now())
        self._record_due = clock.monotonic() + _RECORD_SECONDS

    def run(self, stop: threading.Event, beat: Beat) -> None:
        """Scrub until `stop`."""
        while not stop.is_set():
            try:
                with self._volume.scrubbing() as alone:
                    while alone and not stop.is_set():
                        self._next_pass(stop, beat)
            except Stopped:
                return
            except TryAgain as error:
                self._observe(ScrubFailed(str(error)))
            self._pause(_AGAIN_SECONDS, stop, beat)

    def _next_pass(self, stop: threading.Event, beat: Beat) -> None:
        """Go on with the pass that is on record, or begin one when it is time."""
        at = self._volume.scrubbed()
        if at is not None and at.finished_at is not None:
            self._pause(at.started_at + LEAST_PASS_SECONDS - self._clock.now(), stop, beat)
            if stop.is_set():
                return
            at = None
        self._at = at or Scrubbed(started_at=self._clock.now())
        pace = paced(self._bandwidth, stop, beat)

        def check(count: int) -> None:
            self._observe(BytesScrubbed(count))
            pace(count)

        try:
            for model, revision in self._left():
                check(0)
                self._revision(model, revision, check, stop)
        except Stopped:
            self._volume.record_scrubbed(self._at)
            raise
        self._at = replace(self._at, finished_at=self._clock.now())
        self._volume.record_scrubbed(self._at)
        self._observe(ScrubFinished(self._at))

    def _left(self) -> Iterator[tuple[ModelId, Revision]]:
        """The revisions that this pass has not read to their end, in order."""
        begin = (self._at.model, self._at.revision)
        for model in sorted(self._volume.models()):
            if model >= begin[0]:
                for revision in sorted(self._volume.published(model).kept):
                    if (model, revision) >= begin:
                        yield model, revision

    def _revision(self, model: ModelId, revision: Revision, check: Check, stop: threading.Event) -> None:
        names = self._verifier.names(model, revision)
        if names.findings and self._settle(model, revision, (), check, stop):
            return
        resumed = (model, revision) == (self._at.model, self._at.revision)
        read_before = self._at.path if resumed else ""
        for record in names.files:
            if record.path > read_before:
                finding = self._verifier.file(model, revision, record, check)
                if finding is not None and self._settle(model, revision, (record.path,), check, stop):
                    return
                self._went_on(model, revision, record)

    def _settle(
        self, model: ModelId, revision: Revision, paths: tuple[str, ...], check: Check, stop: threading.Event
    ) -> bool:
        """Have it mended; return whether the revision is not used any more."""
        damage = damaging(self._repairer.settle(model, revision, paths, check, stop=stop))
        if damage:
            self._at = replace(self._at, damaged=self._at.damaged + 1)
            self._dirty.mark(model, why=f"damaged: {damage[0]}")
        return bool(damage)

    def _went_on(self, model: ModelId, revision: Revision, record: FileRecord) -> None:
        self._at = replace(
            self._at,
            model=model,
            revision=revision,
            path=record.path,
            files=self._at.files + 1,
            size_bytes=self._at.size_bytes + record.size_bytes,
        )
        if self._clock.monotonic() >= self._record_due:
            self._volume.record_scrubbed(self._at)
            self._record_due = self._clock.monotonic() + _RECORD_SECONDS

    def _pause(self, seconds: float, stop: threading.Event, beat: Beat) -> None:
        due = self._clock.monotonic() + seconds
        while not stop.is_set() and (left := due - self._clock.monotonic()) > 0:
            beat()
            self._clock.wait(stop, min(left, _BEAT_SECONDS))
