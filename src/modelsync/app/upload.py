"""One file to the bucket: read and summed up, then sent whole or in parts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from functools import partial

from modelsync.app.checksums import combine, crc64nvme_hasher, crc_base64, hasher
from modelsync.app.outbound import Outbound
from modelsync.app.parallel import Step
from modelsync.app.payload import FilePayload
from modelsync.core.facts import BytesRead, BytesSent, FileUploaded
from modelsync.core.parts import Span, split
from modelsync.core.proof import Proof
from modelsync.core.upload import DigestedFile, LocalFile, PlannedUpload
from modelsync.errors import Stopped
from modelsync.ports.push import Folder, UploadedPart, Uploads


def digest(folder: Folder, file: LocalFile, proofs: AbstractSet[Proof], outbound: Outbound) -> DigestedFile:
    """Read a file once, for all checksums that it needs.

    Args:
        folder: where it is.
        file: the file.
        proofs: what it will be compared by.
        outbound: the push.

    Raises:
        SourceChanged, SourceUnreadable: it cannot be read as it was found.
        Stopped: the push is to end.
    """
    sha256 = hasher(Proof.COMMIT)
    others = {proof: hasher(proof) for proof in proofs}
    parts = []
    for span in split(file.size_bytes):
        crc = crc64nvme_hasher()
        for block in folder.read(file, span):
            for each in (crc, sha256, *others.values()):
                each.update(block)
            outbound.observe(BytesRead(outbound.model, len(block)))
            outbound.check()
        parts.append((span, crc.crc))
    values = {proof: other.value() for proof, other in others.items()}
    whole = combine(Proof.CRC64NVME, ((crc, span.size_bytes) for span, crc in parts))
    return DigestedFile(file, sha256.value(), crc_base64(whole, 8), tuple(parts), values)


class FileUpload:
    """One file on its way to the bucket: whole, or in parts of which the last makes it an object."""

    def __init__(self, planned: PlannedUpload, key: str, folder: Folder, uploads: Uploads, outbound: Outbound) -> None:
        self.file = planned.file
        self.held = planned.held
        self._reason = planned.reason
        self._key = key
        self._folder = folder
        self._uploads = uploads
        self._outbound = outbound
        self._lock = threading.Lock()
        self._upload_id: str | None = None
        self._parts: dict[int, UploadedPart] = {}
        self._etag: str | None = None

    def steps(self) -> Iterator[Step]:
        """What is to be done, in any order and side by side; for a file that is held without `finish`."""
        if len(self.file.parts) > 1:
            for number, (span, crc) in enumerate(self.file.parts, 1):
                yield partial(self._send, number, span, crc)
        elif not self.held:
            yield self.finish

    def finish(self) -> None:
        """Make the object appear: after its parts, or as a whole."""
        outbound, file = self._outbound, self.file
        if self._upload_id is None:
            [(span, crc)] = file.parts
            payload = self._payload(span, crc)
            etag = outbound.patiently(file.path, lambda: self._uploads.put(self._key, payload))
        else:
            parts = [self._parts[number] for number in sorted(self._parts)]
            complete = partial(
                self._uploads.complete, self._key, self._upload_id, parts,
                size_bytes=file.size_bytes, crc64nvme=file.crc64nvme,
            )  # fmt: skip
            etag = outbound.patiently(file.path, complete)
        self._etag = etag
        outbound.observe(FileUploaded(outbound.model, file.path, file.size_bytes, self._reason))

    def _send(self, number: int, span: Span, crc: int) -> None:
        upload_id = self._begun()
        payload = self._payload(span, crc)
        part = self._outbound.patiently(
            self.file.path, lambda: self._uploads.put_part(self._key, upload_id, number, payload)
        )
        with self._lock:
            self._parts[number] = part
            complete = len(self._parts) == len(self.file.parts)
        if complete and not self.held:
            self.finish()

    def _begun(self) -> str:
        with self._lock:
            if self._upload_id is None:
                self._upload_id = self._outbound.patiently(self.file.path, lambda: self._uploads.begin(self._key))
            return self._upload_id

    def _payload(self, span: Span, crc: int) -> FilePayload:
        outbound = self._outbound

        def sent(count: int) -> None:
            outbound.observe(BytesSent(outbound.model, count))
            outbound.check()

        return FilePayload(self._folder, self.file.file, span, crc, sent)

    def abort(self, outbound: Outbound) -> None:
        """Leave nothing behind that is not an object.

        Raises:
            ModelSyncError: the bucket did not hear of it.
        """
        if self._upload_id is not None and self._etag is None:
            upload_id = self._upload_id
            outbound.patiently(self.file.path, lambda: self._uploads.abort(self._key, upload_id))

    def etag(self) -> str:
        """The object's ETag, once all steps have ended without an error."""
        if self._etag is None:
            raise Stopped(f"{self.file.path} was not uploaded")
        return self._etag
