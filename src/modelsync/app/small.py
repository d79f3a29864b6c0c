"""Small files, each by one request and one write: a voice can be thousands of them."""

from __future__ import annotations

from dataclasses import dataclass

from modelsync.app.checksums import Hasher, crc64nvme, crc_base64
from modelsync.app.proving import Proving
from modelsync.app.spans import Answer, Source
from modelsync.core.manifest import FileRecord
from modelsync.core.objects import Revision
from modelsync.core.plan import PlannedFile
from modelsync.core.proof import Expected, Proof
from modelsync.ports import Staging

SMALL_BYTES = 256 << 10
"""At most; as many as there are threads lie in memory."""


@dataclass(frozen=True)
class SmallFiles:
    """Fetches the small files of a revision. Thread-safe."""

    source: Source
    staging: Staging
    revision: Revision

    def takes(self, planned: PlannedFile) -> bool:
        """Whether this is the way for a file: it is small, and nothing of it is staged."""
        size_bytes = planned.object.size_bytes
        fits = size_bytes <= self.source.bandwidth.read_bytes(SMALL_BYTES)
        return fits and not self.staging.begun(planned.path, planned.object.etag)

    def fetch(self, planned: PlannedFile) -> FileRecord | Answer:
        """Ask for a file once, prove it and put it into staging.

        Returns:
            Its record, or what came of it.

        Raises:
            VerificationFailed: it is not what S3 has on record; nothing is written.
            ObjectChanged, StoreDenied, VolumeFailed, Stopped: as from `Fetcher.fetch`.
        """
        answer = self.source.read_whole(planned)
        if answer.details is None or answer.failure is not None:
            return answer
        arrived = _InMemory(answer.data, crc64nvme(answer.data))
        proving = Proving(planned, self.source)
        proof = proving.prove(answer.details, arrived)
        self.staging.put(planned.path, planned.object.etag, arrived.data, arrived.crc64nvme)
        return proving.record(answer.details, arrived.crc64nvme, proof, self.revision)


@dataclass(frozen=True, slots=True)
class _InMemory:
    """Implements `Arrived`."""

    data: memoryview
    crc64nvme: int

    def value(self, demand: Expected) -> str | None:
        return crc_base64(self.crc64nvme, 8) if demand.proof is Proof.CRC64NVME and not demand.parts else None

    def summed(self, by: Hasher) -> str:
        by.update(self.data)
        return by.value()
