"""One file of a revision on its way: its spans, and the proof that they are what S3 has."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

from modelsync.app.checksums import COMBINED, Composite, Crc, Hasher, combine, crc64nvme_hasher, crc_base64, hasher
from modelsync.app.in_order import InOrder
from modelsync.app.proving import Proving
from modelsync.app.spans import Answer, Sink, Source, demands_on
from modelsync.core.facts import BytesResumed
from modelsync.core.manifest import FileRecord
from modelsync.core.objects import Revision
from modelsync.core.parts import WHOLE_BYTES, Span, split
from modelsync.core.plan import PlannedFile
from modelsync.core.proof import Expected, ObjectDetails, Proof
from modelsync.errors import ObjectChanged, VerificationFailed
from modelsync.ports import Part, StagedFile

Extra = dict[Proof, Hasher]
Bring = Callable[[], FileRecord | None]


class FileFetch:
    """One file of a revision on its way. Implements `Arrived` once all of it is here."""

    def __init__(
        self, planned: PlannedFile, staged: StagedFile, source: Source, revision: Revision, answer: Answer | None = None
    ) -> None:
        """Make it.

        Args:
            planned: the file.
            staged: where it goes.
            source: where it comes from.
            revision: whose it is.
            answer: what this thread has of it already, of a small one that broke off.
        """
        self._planned = planned
        self._staged = staged
        self._source = source
        self._revision = revision
        self._proving = Proving(planned, source)
        self._answer = answer
        self._context = source.context
        self._lock = threading.Lock()
        self._details: ObjectDetails | None = None
        self._extra: dict[Span, Extra] = {}
        self._small = planned.object.size_bytes <= WHOLE_BYTES
        self._spans = split(planned.object.size_bytes)
        self._parts: dict[Span, Part] = {}
        self._left = 0
        self._in_order = InOrder(staged, self._spans, source.check)
        if planned.sha256 is not None and not self._small:
            staged.keep_at_hand()

    def steps(self) -> list[tuple[int, Bring]]:
        """The file's steps, each with its size: one for an object without parts, else a HEAD and one for each part.

        They can be done in any threads; the one that completes the file returns its record.
        """
        recorded = {part.span: part for part in self._staged.recorded()}
        steps: list[tuple[int, Bring]] = [
            (span.size_bytes, partial(self._bring, span, recorded.get(span))) for span in self._spans
        ]
        if not self._small:
            steps.insert(0, (0, self._ask))
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
                sizes = next(self._proving.cuts(demand), None)
                hashers |= {demand: Composite(demand.proof, sizes)} if sizes else {}
            elif demand.proof not in COMBINED | {Proof.SIZE}:
                hashers[demand] = hasher(demand.proof)
        if hashers:
            self._staged.keep_at_hand()
        self._in_order.begin(hashers)

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
            failure = None
            if self._answer is not None:
                failure = self._answer.failure
                if self._answer.details is not None:
                    sink.begin(self._answer.details)
                    sink.take(self._answer.data)
            self._source.read(self._planned, span, sink, failure)
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
        try:
            proof = self._proving.prove(details, self)
        except VerificationFailed:
            self._staged.discard()
            raise
        self._staged.finish()
        return self._proving.record(details, self._crc64nvme(), proof, self._revision)

    def value(self, demand: Expected) -> str | None:
        """A checksum that was computed as the bytes passed."""
        return (None if demand.parts else self._from_parts(demand.proof)) or self._in_order.value(demand)

    def summed(self, by: Hasher) -> str:
        """A checksum computed from the file."""
        for chunk in self._staged.read(Span(0, self._planned.object.size_bytes)):
            by.update(chunk)
            self._source.check()
        return by.value()

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

    def close(self) -> None:
        """Release the staged file."""
        self._staged.close()
