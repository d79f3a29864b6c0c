"""One file of a revision on its way: its spans, and the proof that they are what S3 has."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from modelsync.app.checksums import COMBINED, Crc, Hasher, combine, composite, crc_base64, hasher
from modelsync.app.cuts import cuts
from modelsync.app.spans import Sink, Source, demands_on
from modelsync.core.facts import BytesResumed, FileVerified
from modelsync.core.manifest import FileRecord
from modelsync.core.parts import WHOLE_BYTES, Span, split
from modelsync.core.plan import Build, PlannedFile
from modelsync.core.proof import Expected, ObjectDetails, Proof, expected
from modelsync.errors import ObjectChanged, VerificationFailed
from modelsync.ports import Part, StagedFile


@dataclass(frozen=True, slots=True)
class Step:
    """One request of a file, to be made in any thread; the one that completes the file returns its record."""

    size_bytes: int
    run: Callable[[], FileRecord | None]


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
        self._extra: dict[Span, dict[Proof, Hasher]] = {}
        self._spans = split(planned.object.size_bytes)
        self._parts: dict[Span, Part] = {}
        self._left = 0

    def steps(self) -> list[Step]:
        """The file's requests: one for a small object; a HEAD and the missing parts for another."""
        self._parts = {part.span: part for part in self._staged.done(self._source.check) if part.span in self._spans}
        resumed_bytes = sum(span.size_bytes for span in self._parts)
        if resumed_bytes:
            self._context.observe(BytesResumed(self._context.model, self._context.sync_id, resumed_bytes))
        missing = [span for span in self._spans if span not in self._parts]
        small = self._planned.object.size_bytes <= WHOLE_BYTES
        steps = [Step(span.size_bytes, partial(self._read, span, whole=small)) for span in missing]
        if not (small and missing):
            steps.insert(0, Step(0, self._ask))
        self._left = len(steps)
        return steps

    def _ask(self) -> FileRecord | None:
        return self._arrived(self._source.head(self._planned), None, {})

    def _read(self, span: Span, *, whole: bool) -> FileRecord | None:
        sink = Sink(self._planned, self._staged, span, details=self._details)
        self._source.read(self._planned, span, sink)
        part = sink.part()
        self._staged.record(part)
        return self._arrived(sink.details if whole else None, part, sink.extra)

    def _arrived(
        self, details: ObjectDetails | None, part: Part | None, extra: dict[Proof, Hasher]
    ) -> FileRecord | None:
        with self._lock:
            self._details = details or self._details
            if part is not None:
                self._parts[part.span] = part
                self._extra[part.span] = extra
            self._left -= 1
            complete = self._left == 0
        return self._complete() if complete else None

    def _complete(self) -> FileRecord:
        details = self._details
        if details is None:
            raise ObjectChanged(f"{self._planned.path}: S3 gave no answer to hold the bytes against")
        proof = Proof.SIZE.value
        for demand in demands_on(details, self._planned):
            proof = self._hold_against(demand, details, arrived=proof != Proof.SIZE)
        self._staged.finish()
        record = FileRecord(
            path=self._planned.path,
            size_bytes=self._planned.object.size_bytes,
            etag=self._planned.object.etag,
            version_id=details.version_id or self._planned.object.version_id,
            crc64nvme=f"{self._crc64nvme():016x}",
            proof=proof,
            sha256=self._planned.sha256,
        )
        context = self._context
        context.observe(
            FileVerified(
                context.model, self._build.revision, context.sync_id, record.path, record.size_bytes, record.proof
            )
        )
        return record

    def _hold_against(self, demand: Expected, details: ObjectDetails, *, arrived: bool = False) -> str:
        """Prove the bytes; return by what. `arrived`: they are known to be the bucket's."""
        if demand.parts:
            return self._hold_parts_against(demand, details)
        actual = self._from_parts(demand.proof) or self._read_again(demand.proof).value()
        if actual != demand.value:
            raise self._refuted(demand, actual, arrived=arrived)
        return demand.label

    def _from_parts(self, proof: Proof) -> str | None:
        """What was computed as the bytes passed; None if that does not do."""
        if proof is Proof.SIZE:
            return str(sum(span.size_bytes for span in self._parts))
        if proof is Proof.CRC64NVME:
            return crc_base64(self._crc64nvme(), 8)
        computed = [(self._extra.get(span, {}).get(proof), span.size_bytes) for span in self._spans]
        if proof in COMBINED:
            crcs = [(found.crc, size_bytes) for found, size_bytes in computed if isinstance(found, Crc)]
            return crc_base64(combine(proof, crcs), 4) if len(crcs) == len(computed) else None
        (whole, _), *more = computed
        return whole.value() if whole is not None and not more else None

    def _crc64nvme(self) -> int:
        return combine(Proof.CRC64NVME, ((self._parts[span].crc64nvme, span.size_bytes) for span in self._spans))

    def _hold_parts_against(self, demand: Expected, details: ObjectDetails) -> str:
        """The same for a value that is made of the uploaded parts' own checksums."""
        actual = None
        ask = partial(self._source.part_size, self._planned, count=demand.parts)
        for sizes in cuts(details.size_bytes, demand.parts, ask):
            actual = composite(demand.proof, self._staged.read(), sizes, self._source.check)
            if actual == demand.value:
                return demand.label
        if actual is not None:
            raise self._refuted(demand, actual)
        return self._hold_against(expected(details, parts_known=False), details)

    def _refuted(self, demand: Expected, actual: str, *, arrived: bool = False) -> VerificationFailed:
        self._staged.discard()
        return VerificationFailed(
            self._planned.path, proof=demand.label, expected=demand.value, actual=actual, arrived=arrived
        )

    def _read_again(self, proof: Proof) -> Hasher:
        """Compute a checksum that parts cannot be combined to, from the file."""
        again = hasher(proof)
        for chunk in self._staged.read():
            again.update(chunk)
            self._source.check()
        return again

    def close(self) -> None:
        """Release the staged file."""
        self._staged.close()
