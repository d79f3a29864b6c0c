"""One file of a revision on its way: its spans, and the proof that they are what S3 has."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from modelsync.app.checksums import COMBINED, Composite, Crc, Hasher, combine, crc64nvme_hasher, crc_base64, hasher
from modelsync.app.cuts import cuts
from modelsync.app.in_order import InOrder
from modelsync.app.spans import Sink, Source, demands_on
from modelsync.core.facts import BytesResumed, FileVerified
from modelsync.core.manifest import FileRecord
from modelsync.core.parts import WHOLE_BYTES, Span, split
from modelsync.core.plan import Build, PlannedFile
from modelsync.core.proof import Expected, ObjectDetails, Proof, expected
from modelsync.errors import ObjectChanged, VerificationFailed
from modelsync.ports import Part, StagedFile

Extra = dict[Proof, Hasher]


@dataclass(frozen=True, slots=True)
class Step:
    """A piece of work on a file, to be done in any thread; the one that completes the file returns its record."""

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
        self._extra: dict[Span, Extra] = {}
        self._small = planned.object.size_bytes <= WHOLE_BYTES
        self._spans = split(planned.object.size_bytes)
        self._parts: dict[Span, Part] = {}
        self._left = 0
        self._tried: dict[Expected, Iterator[Sequence[int]]] = {}
        self._in_order = InOrder(staged, self._spans, source.check)
        if planned.sha256 is not None and not self._small:
            staged.keep_at_hand()

    def steps(self) -> list[Step]:
        """The file's steps: one for a small object; a HEAD and one for each part of another."""
        recorded = {part.span: part for part in self._staged.recorded()}
        steps = [Step(span.size_bytes, partial(self._bring, span, recorded.get(span))) for span in self._spans]
        if not self._small:
            steps.insert(0, Step(0, self._ask))
        self._left = len(steps)
        return steps

    def _ask(self) -> FileRecord | None:
        details = self._source.head(self._planned)
        self._begin_in_order(details)
        return self._arrived(details, None, {})

    def _begin_in_order(self, details: ObjectDetails) -> None:
        """Find out which checksums parts cannot be combined to: they need the file's bytes one after the other."""
        hashers: dict[Expected, Hasher] = {}
        for demand in demands_on(details, self._planned):
            if demand.parts:
                sizes = next(self._cuts(demand), None)
                hashers |= {demand: Composite(demand.proof, sizes)} if sizes else {}
            elif demand.proof not in COMBINED | {Proof.SIZE}:
                hashers[demand] = hasher(demand.proof)
        if hashers:
            self._staged.keep_at_hand()
        self._in_order.begin(hashers)

    def _cuts(self, demand: Expected) -> Iterator[Sequence[int]]:
        """How the object may have been cut into parts when it was uploaded, of those not tried yet."""
        ask = partial(self._source.part_size, self._planned, count=demand.parts)
        return self._tried.setdefault(demand, cuts(self._planned.object.size_bytes, demand.parts, ask))

    def _bring(self, span: Span, recorded: Part | None) -> FileRecord | None:
        """Take a part that is there already and still is what arrived, or fetch it."""
        if recorded is not None and (extra := self._holds(recorded)) is not None:
            self._context.observe(BytesResumed(self._context.model, self._context.sync_id, span.size_bytes))
            details = None
            if self._small:
                details = self._source.head(self._planned)
                self._begin_in_order(details)
            return self._arrived(details, recorded, extra)
        return self._read(span)

    def _holds(self, part: Part) -> Extra | None:
        """Read a part that is on record; None if it is not what arrived, else its further checksums."""
        crc = crc64nvme_hasher()
        extra: Extra = {proof: hasher(proof) for proof in COMBINED - {Proof.CRC64NVME}}
        for chunk in self._staged.read(part.span):
            self._source.check()
            for each in (crc, *extra.values()):
                each.update(chunk)
        return extra if crc.crc == part.crc64nvme else None

    def _read(self, span: Span) -> FileRecord | None:
        with self._in_order.passing(span) as in_order:
            sink = Sink(self._planned, self._staged, span, details=self._details, in_order=in_order)
            self._source.read(self._planned, span, sink)
        part = sink.part()
        self._staged.record(part)
        return self._arrived(sink.details if self._small else None, part, sink.extra)

    def _arrived(self, details: ObjectDetails | None, part: Part | None, extra: Extra) -> FileRecord | None:
        with self._lock:
            self._details = details or self._details
            if part is not None:
                self._parts[part.span] = part
                self._extra[part.span] = extra
            self._left -= 1
            all_there = self._left == 0
        # Who comes last completes the file: the last step, or the thread that is still behind with what is in order.
        complete = self._in_order.follow(None if part is None else part.span, all_there=all_there)
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
        passed = self._from_parts(demand.proof) or self._in_order.value(demand)
        actual = passed or self._read_again(hasher(demand.proof))
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
        actual = self._in_order.value(demand)
        while actual != demand.value and (sizes := next(self._cuts(demand), None)) is not None:
            actual = self._read_again(Composite(demand.proof, sizes))
        if actual is None:
            return self._hold_against(expected(details, parts_known=False), details)
        if actual != demand.value:
            raise self._refuted(demand, actual)
        return demand.label

    def _refuted(self, demand: Expected, actual: str, *, arrived: bool = False) -> VerificationFailed:
        self._staged.discard()
        return VerificationFailed(
            self._planned.path, proof=demand.label, expected=demand.value, actual=actual, arrived=arrived
        )

    def _read_again(self, again: Hasher) -> str:
        """Compute a checksum from the file."""
        for chunk in self._staged.read(Span(0, self._planned.object.size_bytes)):
            again.update(chunk)
            self._source.check()
        return again.value()

    def close(self) -> None:
        """Release the staged file."""
        self._staged.close()
