"""A file's bytes, held against everything that S3 and the commit file say of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Protocol

from modelsync.app.checksums import Composite, Hasher, hasher
from modelsync.app.cuts import cuts
from modelsync.app.spans import Source, demands_on
from modelsync.core.facts import FileVerified
from modelsync.core.manifest import FileRecord
from modelsync.core.objects import Revision
from modelsync.core.plan import PlannedFile
from modelsync.core.proof import Expected, ObjectDetails, Proof, expected
from modelsync.errors import VerificationFailed


class Arrived(Protocol):
    """A file's bytes, all of them here."""

    def value(self, demand: Expected) -> str | None:
        """A checksum, if it was computed as they passed."""
        ...

    def summed(self, by: Hasher) -> str:
        """A checksum of all bytes, gone through once more."""
        ...


class Proving:
    """What one file is held against."""

    def __init__(self, planned: PlannedFile, source: Source) -> None:
        self._planned = planned
        self._source = source
        self._tried: dict[Expected, Iterator[Sequence[int]]] = {}

    def cuts(self, demand: Expected) -> Iterator[Sequence[int]]:
        """How the object may have been cut into parts when it was uploaded, of those not tried yet."""
        ask = partial(self._source.part_size, self._planned, count=demand.parts)
        return self._tried.setdefault(demand, cuts(self._planned.object.size_bytes, demand.parts, ask))

    def prove(self, details: ObjectDetails, arrived: Arrived) -> str:
        """Hold the bytes against all demands; return by what they are proven, the last and so the strongest.

        Raises:
            VerificationFailed: they are others.
        """
        proof = Proof.SIZE.value
        for demand in demands_on(details, self._planned):
            proof = self._hold(demand, details, arrived, intact=proof != Proof.SIZE)
        return proof

    def _hold(self, demand: Expected, details: ObjectDetails, arrived: Arrived, *, intact: bool) -> str:
        """Hold them against one; `intact`: they are known to be the bucket's."""
        actual = arrived.value(demand)
        if demand.parts:
            while actual != demand.value and (sizes := next(self.cuts(demand), None)) is not None:
                actual = arrived.summed(Composite(demand.proof, sizes))
            if actual is None:
                return self._hold(expected(details, parts_known=False), details, arrived, intact=intact)
        elif actual is None:
            actual = arrived.summed(hasher(demand.proof))
        if actual != demand.value:
            raise VerificationFailed(
                self._planned.path, proof=demand.label, expected=demand.value, actual=actual, arrived=intact
            )
        return demand.label

    def record(self, details: ObjectDetails, crc64nvme: int, proof: str, revision: Revision) -> FileRecord:
        """Tell that the file is proven, and make the record of it."""
        planned, context = self._planned, self._source.context
        size_bytes = planned.object.size_bytes
        context.observe(FileVerified(context.model, revision, context.sync_id, planned.path, size_bytes, proof))
        return FileRecord(
            path=planned.path,
            size_bytes=size_bytes,
            etag=planned.object.etag,
            version_id=details.version_id or planned.object.version_id,
            crc64nvme=f"{crc64nvme:016x}",
            proof=proof,
            sha256=planned.sha256,
        )
