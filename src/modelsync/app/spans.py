"""One span of an object on its way: read however often the network breaks off, written, summed up."""

from __future__ import annotations

import mmap
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from modelsync.app.bandwidth import Bandwidth
from modelsync.app.checksums import COMBINED, Crc, Hasher, crc64nvme_hasher, hasher
from modelsync.app.patience import Patience, Retries
from modelsync.app.progress import SyncContext
from modelsync.core.facts import BytesFetched
from modelsync.core.parts import Span
from modelsync.core.plan import PlannedFile
from modelsync.core.proof import Expected, ObjectDetails, Proof, expected
from modelsync.errors import Stopped, StoreUnavailable
from modelsync.ports import Clock, ObjectStore, Part, StagedFile

_BUFFER_BYTES = 1 << 20


@dataclass(frozen=True)
class FetchOptions(Patience):
    """Bounds of a download.

    Attributes:
        concurrency: requests for parts at once, over all models.
        progress_bytes: what an answer must bring to be no failure in a row, or a server could string us
            along byte by byte.
        floor_bytes_per_second: what a request must bring over its whole time, interruptions and all.
        least_seconds: given to any request, however small.
    """

    concurrency: int = 8
    progress_bytes: int = 64 << 10
    floor_bytes_per_second: float = (1 << 20) / 30
    least_seconds: float = 300.0

    def seconds_for(self, size_bytes: int) -> float:
        """How long so many bytes may take."""
        return max(self.least_seconds, size_bytes / self.floor_bytes_per_second)


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
        return self._retries(planned)(lambda: self.store.head(planned.object))

    def part_size(self, planned: PlannedFile, number: int, count: int) -> int | None:
        """Ask how large a part was that an object was uploaded in."""
        return self._retries(planned)(lambda: self.store.part_size(planned.object, number, count))

    def _retries(self, planned: PlannedFile) -> Retries:
        context = self.context
        return Retries(
            self.options,
            context.clock,
            context.observe,
            context.model,
            context.sync_id,
            planned.path,
            self.cancel,
            self.check,
        )

    def read(self, planned: PlannedFile, span: Span, sink: Sink, failure: StoreUnavailable | None = None) -> None:
        """Pass a span's bytes to the sink, in order, each once.

        Args:
            planned: of which file.
            span: which bytes.
            sink: has what came before.
            failure: why no more came then.

        Raises:
            StoreUnavailable: they did not come, or not in time.
        """
        buffer = self._buffer()
        deadline = Deadline(self.context.clock, self.options.seconds_for(span.size_bytes))
        attempt, before = 0, span.start
        while True:
            if failure is not None:
                if deadline.over:
                    came = f"{sink.offset - span.start} of {span.size_bytes} bytes came in {deadline.seconds:.0f} s"
                    raise StoreUnavailable(f"S3 is too slow: {came}, the last time: {failure}") from failure
                progress = sink.offset - before >= self.options.progress_bytes
                attempt = 1 if progress else attempt + 1
                self._retries(planned).pause(failure, attempt)
            if sink.details is not None and sink.offset == span.end:
                return  # it broke off behind the last byte
            before = sink.offset
            try:
                self._read_on(planned, span, sink, buffer, deadline)
            except StoreUnavailable as error:
                failure = error
            else:
                return

    def _read_on(self, planned: PlannedFile, span: Span, sink: Sink, buffer: memoryview, deadline: Deadline) -> None:
        context = self.context
        with self.store.open(planned.object, Span(sink.offset, span.end)) as body:
            sink.begin(body.details)
            step = self.bandwidth.read_bytes(_BUFFER_BYTES)
            # To the next whole step: after an interruption too, writes begin where disks like them to.
            while count := body.readinto(buffer[: min(step, _BUFFER_BYTES - sink.offset % _BUFFER_BYTES)]):
                with deadline.suspended():
                    sink.take(buffer[:count])
                    self.bandwidth.pay(count, self.cancel)
                context.observe(BytesFetched(context.model, context.sync_id, count))
                self.check()

    def read_whole(self, planned: PlannedFile) -> Answer:
        """Ask once for an object that fits into the thread's buffer."""
        context, size_bytes, got = self.context, planned.object.size_bytes, 0
        data, details, failure = self._buffer()[:size_bytes], None, None
        try:
            with self.store.open(planned.object, Span(0, size_bytes)) as body:
                details = body.details
                while got < size_bytes:
                    got += body.readinto(data[got:])
        except StoreUnavailable as error:
            failure = error
        self.bandwidth.pay(got, self.cancel)
        if got:
            context.observe(BytesFetched(context.model, context.sync_id, got))
        return Answer(details, data[:got], failure)

    def check(self) -> None:
        """Beat, and raise if another part failed or the service stops."""
        self.context.beat()
        if self.cancel.is_set():
            raise Stopped("another part of the download failed")
        self.context.check()

    def _buffer(self) -> memoryview:
        if not hasattr(self.local, "buffer"):
            self.local.buffer = memoryview(mmap.mmap(-1, _BUFFER_BYTES))  # lies on a page's border
        return self.local.buffer  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Answer:
    """What one request brought.

    Attributes:
        details: of the object, if the answer's head came.
        data: as many bytes as came, until the thread reads again.
        failure: why no more came.
    """

    details: ObjectDetails | None
    data: memoryview
    failure: StoreUnavailable | None


class Deadline:
    """Of something that S3 is waited for; `seconds`: what it was given."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        """It runs from now on."""
        self.seconds = seconds
        self._clock = clock
        self._until = clock.monotonic() + seconds

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Let what is not S3's fault take its time."""
        start = self._clock.monotonic()
        yield
        self._until += self._clock.monotonic() - start

    @property
    def over(self) -> bool:
        """Whether the time is over."""
        return self._clock.monotonic() > self._until


class Sink:
    """Takes one span's bytes: to disk, into the CRC64NVME, and into what else may prove them."""

    def __init__(
        self,
        planned: PlannedFile,
        staged: StagedFile,
        span: Span,
        *,
        details: ObjectDetails | None,
        in_order: Collection[Hasher] = (),
    ) -> None:
        """Take nothing yet.

        Args:
            planned: the file.
            staged: where it goes.
            span: which bytes of it.
            details: of the whole object, where they are known already.
            in_order: take the bytes too: they have had all bytes before the span.
        """
        self.offset = span.start
        self.details: ObjectDetails | None = None
        self._known = details
        self._planned = planned
        self._staged = staged
        self._span = span
        self._in_order = in_order
        self._crc: Crc = crc64nvme_hasher()
        self.extra: dict[Proof, Hasher] = {}

    def begin(self, details: ObjectDetails) -> None:
        """See the answer's headers. Only those of the first answer can carry the checksum."""
        if self.details is not None:
            return
        self.details = details
        whole = self._span.size_bytes == self._planned.object.size_bytes
        self.extra = {proof: hasher(proof) for proof in self._useful(details if whole else self._known, whole=whole)}

    def _useful(self, details: ObjectDetails | None, *, whole: bool) -> frozenset[Proof]:
        """What to compute beside the CRC64NVME; for a part, what can be combined and may be asked for."""
        if details is None:
            return COMBINED - {Proof.CRC64NVME}
        wanted = frozenset(demand.proof for demand in demands_on(details, self._planned) if not demand.parts)
        return (wanted if whole else wanted & COMBINED) - {Proof.CRC64NVME}

    def take(self, data: memoryview) -> None:
        """Write the next bytes and compute on."""
        self._staged.write(self.offset, data, passing=bool(self._in_order))
        self._crc.update(data)
        for other in (*self.extra.values(), *self._in_order):
            other.update(data)
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
