"""One span of an object on its way: read however often the network breaks off, written, summed up."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from modelsync.app.bandwidth import Bandwidth
from modelsync.app.checksums import Crc, Hasher, crc64nvme_hasher, hasher
from modelsync.app.progress import SyncContext
from modelsync.core.backoff import backoff_seconds
from modelsync.core.facts import BytesFetched, RequestRetried
from modelsync.core.parts import Span
from modelsync.core.plan import PlannedFile
from modelsync.core.proof import Expected, ObjectDetails, Proof, expected
from modelsync.errors import Stopped, StoreUnavailable
from modelsync.ports import ObjectStore, Part, StagedFile

Answer = TypeVar("Answer")
_BUFFER_BYTES = 1 << 20


@dataclass(frozen=True)
class FetchOptions:
    """Bounds of a download.

    Attributes:
        concurrency: requests at once, over all models.
        attempts: failures in a row without a byte in between, before a part is given up.
        backoff_base_seconds, backoff_cap_seconds: waits between attempts.
    """

    concurrency: int = 8
    attempts: int = 6
    backoff_base_seconds: float = 0.2
    backoff_cap_seconds: float = 10.0


@dataclass(frozen=True)
class Source:
    """Reads spans of objects, however often the network breaks off."""

    store: ObjectStore
    options: FetchOptions
    context: SyncContext
    cancel: threading.Event
    local: threading.local
    bandwidth: Bandwidth

    def head(self, planned: PlannedFile) -> ObjectDetails:
        """Ask for an object's details."""
        return self._patiently(planned, lambda: self.store.head(planned.object))

    def _patiently(self, planned: PlannedFile, ask: Callable[[], Answer]) -> Answer:
        attempt = 0
        while True:
            try:
                return ask()
            except StoreUnavailable as error:
                attempt += 1
                self._pause(planned, error, attempt)

    def part_sizes(self, planned: PlannedFile, count: int, *, exactly: bool) -> Sequence[int] | None:
        """Ask how an object was cut into parts."""
        return self._patiently(planned, lambda: self.store.part_sizes(planned.object, count, exactly=exactly))

    def read(self, planned: PlannedFile, span: Span, sink: Sink) -> None:
        """Pass a span's bytes to the sink, in order, each once."""
        buffer = self._buffer()
        attempt = 0
        while True:
            before = sink.offset
            if sink.details is not None and sink.offset == span.end:
                return  # it broke off behind the last byte
            try:
                self._read_on(planned, span, sink, buffer)
            except StoreUnavailable as error:
                attempt = 1 if sink.offset > before else attempt + 1
                self._pause(planned, error, attempt)
            else:
                return

    def _read_on(self, planned: PlannedFile, span: Span, sink: Sink, buffer: memoryview) -> None:
        context = self.context
        with self.store.open(planned.object, Span(sink.offset, span.end)) as body:
            sink.begin(body.details)
            buffer = buffer[: self.bandwidth.read_bytes(len(buffer))]
            while count := body.readinto(buffer):
                sink.take(buffer[:count])
                self.bandwidth.pay(count, self.cancel)
                context.observe(BytesFetched(context.model, context.sync_id, count))
                self.check()

    def check(self) -> None:
        """Beat, and raise if another part failed or the service stops."""
        self.context.beat()
        if self.cancel.is_set():
            raise Stopped("another part of the download failed")
        self.context.check()

    def _buffer(self) -> memoryview:
        if not hasattr(self.local, "buffer"):
            self.local.buffer = memoryview(bytearray(_BUFFER_BYTES))
        return self.local.buffer  # type: ignore[no-any-return]

    def _pause(self, planned: PlannedFile, error: StoreUnavailable, attempt: int) -> None:
        if attempt >= self.options.attempts:
            raise error
        wait_seconds = backoff_seconds(
            attempt,
            base_seconds=self.options.backoff_base_seconds,
            cap_seconds=self.options.backoff_cap_seconds,
            jitter=random.random(),  # noqa: S311 - no secret
        )
        context = self.context
        context.observe(RequestRetried(context.model, context.sync_id, planned.path, str(error), attempt, wait_seconds))
        context.clock.wait(self.cancel, wait_seconds)
        self.check()


class Sink:
    """Takes one span's bytes: to disk, into the CRC64NVME and, for a whole object, into its proof."""

    def __init__(self, planned: PlannedFile, staged: StagedFile, span: Span, *, whole: bool) -> None:
        self.offset = span.start
        self.details: ObjectDetails | None = None
        self._planned = planned
        self._staged = staged
        self._span = span
        self._whole = whole
        self._crc: Crc = crc64nvme_hasher()
        self.extra: dict[Proof, Hasher] = {}

    def begin(self, details: ObjectDetails) -> None:
        """See the answer's headers. Only those of the first answer can carry the checksum."""
        if self.details is not None:
            return
        self.details = details
        if self._whole:
            wanted = {demand.proof for demand in demands_on(details, self._planned) if not demand.parts}
            wanted.discard(Proof.CRC64NVME)
            self.extra = {proof: hasher(proof) for proof in wanted}

    def take(self, data: memoryview) -> None:
        """Write the next bytes and compute on."""
        self._staged.write(self.offset, data)
        self._crc.update(data)
        for extra in self.extra.values():
            extra.update(data)
        self.offset += len(data)

    def part(self) -> Part:
        """The span as a part, once all its bytes are here."""
        return Part(self._span, self._crc.crc)


def demands_on(details: ObjectDetails, planned: PlannedFile) -> list[Expected]:
    """Everything that a file is held against, in order.

    S3's own checksum comes first: only bytes that arrived as they were uploaded can say whether
    the upload is the one that the commit file means.
    """
    demands = [expected(details)]
    if planned.sha256 is not None:
        demands.append(Expected(Proof.COMMIT, planned.sha256))
    return demands
