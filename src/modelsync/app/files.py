"""One file of a revision on its way: its spans, and the proof that they are what S3 has."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

from awscrt.checksums import combine_crc64nvme

from modelsync.app.checksums import Hasher, composite, crc_base64, hasher
from modelsync.app.spans import Sink, Source, demands_on
from modelsync.core.facts import BytesResumed, FileVerified
from modelsync.core.manifest import FileRecord
from modelsync.core.parts import WHOLE_BYTES, Span, split
from modelsync.core.plan import Build, PlannedFile
from modelsync.core.proof import Expected, ObjectDetails, Proof, expected
from modelsync.errors import ObjectChanged, Stopped, VerificationFailed
from modelsync.ports import Part, StagedFile

Step = Callable[[], None]
"""One request of a file, to be made in any thread."""


class FileFetch:
    """One file of a revision on its way."""

    def __init__(self, planned: PlannedFile, staged: StagedFile, source: Source, build: Build) -> None:
        self._planned = planned
        self._staged = staged
        self._source = source
        self._build = build
        self._context = source.context
        self._lock = threading.Lock()
        self._details: ObjectDetails | None = None
        self._extra: dict[Proof, Hasher] = {}
        self._record: FileRecord | None = None
        self._spans = split(planned.object.size_bytes)
        self._parts = {part.span: part for part in staged.done(source.check) if part.span in self._spans}
        self._left = 0

    @property
    def complete(self) -> bool:
        """Whether all bytes are here and proven."""
        return self._record is not None

    def steps(self) -> list[Step]:
        """The file's requests: one for a small object; a HEAD and the missing parts for another."""
        resumed_bytes = sum(span.size_bytes for span in self._parts)
        if resumed_bytes:
            self._context.observe(BytesResumed(self._context.model, self._context.sync_id, resumed_bytes))
        missing = [span for span in self._spans if span not in self._parts]
        small = self._planned.object.size_bytes <= WHOLE_BYTES
        steps: list[Step] = [partial(self._read, span, whole=small) for span in missing]
        if not (small and missing):
            steps.insert(0, self._ask)
        self._left = len(steps)
        return steps

    def _ask(self) -> None:
        self._source.check()
        self._arrived(self._source.head(self._planned), None, {})

    def _read(self, span: Span, *, whole: bool) -> None:
        self._source.check()
        sink = Sink(self._planned, self._staged, span, whole=whole)
        self._source.read(self._planned, span, sink)
        part = sink.part()
        self._staged.record(part)
        self._arrived(sink.details if whole else None, part, sink.extra)

    def _arrived(self, details: ObjectDetails | None, part: Part | None, extra: dict[Proof, Hasher]) -> None:
        with self._lock:
            self._details = details or self._details
            if part is not None:
                self._parts[part.span] = part
            self._extra.update(extra)
            self._left -= 1
            complete = self._left == 0
        if complete:
            self._complete()

    def _complete(self) -> None:
        details = self._details
        if details is None:
            raise ObjectChanged(f"{self._planned.path}: S3 gave no answer to hold the bytes against")
        crc = self._combined_crc()
        held = [self._hold_against(demand, details, crc) for demand in demands_on(details, self._planned)]
        self._staged.finish()
        record = FileRecord(
            path=self._planned.path,
            size_bytes=self._planned.object.size_bytes,
            etag=self._planned.object.etag,
            version_id=details.version_id or self._planned.object.version_id,
            crc64nvme=f"{crc:016x}",
            proof=held[-1],
            sha256=self._planned.sha256,
        )
        context = self._context
        context.observe(
            FileVerified(
                context.model, self._build.revision, context.sync_id, record.path, record.size_bytes, record.proof
            )
        )
        self._record = record

    def _combined_crc(self) -> int:
        crc = 0
        for span in self._spans:
            crc = combine_crc64nvme(crc, self._parts[span].crc64nvme, span.size_bytes)
        return crc

    def _hold_against(self, demand: Expected, details: ObjectDetails, crc: int) -> str:
        """Prove the bytes; return by what."""
        if demand.parts:
            return self._hold_parts_against(demand, details, crc)
        match demand.proof:
            case Proof.CRC64NVME:
                actual = crc_base64(crc, 8)
            case Proof.SIZE:
                actual = str(sum(span.size_bytes for span in self._parts))
            case proof:
                actual = (self._extra.get(proof) or self._read_again(proof)).value()
        if actual != demand.value:
            raise self._refuted(demand, actual)
        return demand.label

    def _hold_parts_against(self, demand: Expected, details: ObjectDetails, crc: int) -> str:
        """The same for a value that is made of the uploaded parts' own checksums.

        Most uploads have parts of one size, which costs one request; only if that does not fit, each
        part is asked for.
        """
        actual = None
        for exactly in (False, True):
            sizes = self._source.part_sizes(self._planned, demand.parts, exactly=exactly)
            if sizes is not None and sum(sizes) == details.size_bytes:
                actual = composite(demand.proof, self._staged.read(), sizes, self._source.check)
                if actual == demand.value:
                    return demand.label
        if actual is not None:
            raise self._refuted(demand, actual)
        return self._hold_against(expected(details, parts_known=False), details, crc)

    def _refuted(self, demand: Expected, actual: str) -> VerificationFailed:
        self._staged.discard()
        return VerificationFailed(self._planned.path, proof=demand.label, expected=demand.value, actual=actual)

    def _read_again(self, proof: Proof) -> Hasher:
        """Compute a checksum that parts cannot be combined to, from the file."""
        again = hasher(proof)
        for chunk in self._staged.read():
            again.update(chunk)
            self._source.check()
        return again

    def result(self) -> FileRecord:
        """The file's record, once all its tasks have ended without an error."""
        if self._record is None:
            raise Stopped(f"{self._planned.path} was not completed")
        return self._record

    def close(self) -> None:
        """Release the staged file."""
        self._staged.close()
