"""What is sent to the bucket: parts of local files, and the commit file."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from modelsync.app.checksums import crc64nvme_hasher, crc_base64
from modelsync.core.parts import Span
from modelsync.core.upload import LocalFile
from modelsync.errors import SourceChanged
from modelsync.ports.push import Folder


class FilePayload:
    """Implements `ports.push.Payload`: a span of a file, with the checksum that it had when it was read first.

    The last block is only handed out if all of them still have it: what changed is never uploaded.
    """

    def __init__(self, folder: Folder, file: LocalFile, span: Span, crc: int, sent: Callable[[int], None]) -> None:
        self.size_bytes = span.size_bytes
        self.crc64nvme = crc_base64(crc, 8)
        self._folder = folder
        self._file = file
        self._span = span
        self._crc = crc
        self._tell = sent
        self._sent = 0

    def __iter__(self) -> Iterator[memoryview]:
        """The bytes in order; each block is told when it is sent, and taken back when all is sent once more."""
        if self._sent:
            self._tell(-self._sent)
            self._sent = 0
        crc = crc64nvme_hasher()
        for block in self._folder.read(self._file, self._span):
            crc.update(block)
            if self._sent + len(block) == self.size_bytes and crc.crc != self._crc:
                raise SourceChanged(f"{self._file.path!r} changed while it was uploaded: push again")
            yield block
            self._sent += len(block)
            self._tell(len(block))


class BytesPayload:
    """Implements `ports.push.Payload`: bytes in memory."""

    def __init__(self, data: bytes) -> None:
        crc = crc64nvme_hasher()
        crc.update(memoryview(data))
        self.size_bytes = len(data)
        self.crc64nvme = crc.value()
        self._data = data

    def __iter__(self) -> Iterator[memoryview]:
        """All at once."""
        yield memoryview(self._data)
