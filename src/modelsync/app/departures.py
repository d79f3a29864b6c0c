"""Models that leave the bucket, and come back: tombstone, withdrawal, return."""

from __future__ import annotations

from dataclasses import replace

from modelsync.app.breaker import Breaker
from modelsync.app.decide import Decider, Look
from modelsync.app.dirty import Work
from modelsync.app.progress import SyncContext
from modelsync.app.result import SyncResult
from modelsync.core.deletions import lapsed
from modelsync.core.facts import ModelBack, ModelGone, Outcome, Unpublished
from modelsync.core.manifest import Current, Published
from modelsync.core.names import ModelId
from modelsync.core.plan import Leave, Unpublish
from modelsync.errors import ObjectChanged
from modelsync.ports import Observer, Writer


class Departures:
    """Carries out what was decided about a model that is not in the bucket. Its writer is held meanwhile."""

    def __init__(self, decider: Decider, breaker: Breaker, observe: Observer) -> None:
        self._decider = decider
        self._breaker = breaker
        self._observe = observe

    def back(self, on_volume: Published, look: Look, writer: Writer) -> Published:
        """Take the tombstone from a model that is in the bucket, withdrawn or not; return what the volume says then.

        Raises:
            VolumeFailed: the file system refused.
        """
        current = on_volume.current
        if look.snapshot is None or current is None or current.gone_since is None:
            return on_volume
        current = replace(current, gone_since=None)
        writer.record(current)
        if current.unpublished_at is None:
            self._observe(ModelBack(current.model))
            self._breaker.note(current, look.at)
        return replace(on_volume, current=current)

    def leave(self, leave: Leave, current: Current, look: Look, writer: Writer) -> SyncResult:
        """See that the model has its tombstone; readers keep it.

        Raises:
            VolumeFailed: the file system refused.
        """
        if not leave.known:
            current = replace(current, gone_since=leave.since)
            writer.record(current)
            self._breaker.note(current, look.at)
        self._observe(ModelGone(current.model, leave.since, leave.reason))
        return SyncResult(Outcome.NOOP, leave.reason, current.revision, leave.seconds)

    def unpublish(
        self, work: Work, end: Unpublish, current: Current, look: Look, writer: Writer, context: SyncContext
    ) -> SyncResult:
        """Withdraw the model from its readers, if the breaker lets it and one more listing confirms it.

        Raises:
            ObjectChanged: it is in the bucket again.
            StoreUnavailable, StoreDenied, BucketMissing: nothing is withdrawn.
            VolumeFailed: the file system refused.
        """
        if (held := self.held_back(work.model, end, look.at, context)) is not None:
            self._observe(ModelGone(work.model, end.since, held))
            return SyncResult(Outcome.NOOP, held, current.revision)
        with context.stage("list again"):
            if self._decider.look(work.model, context).snapshot is not None:
                raise ObjectChanged("the model is in the bucket again")
        gone = replace(current, gone_since=end.since, unpublished_at=look.at)
        with context.stage("unpublish"):
            writer.unpublish(gone)
        self._observe(Unpublished(work.model, end.revision, work.sync_id, end.reason))
        self._breaker.note(gone, look.at)
        return SyncResult(Outcome.SUCCESS, end.reason)

    def lapse(self, on_volume: Published, look: Look, writer: Writer) -> None:
        """Put on record of a withdrawn model that it is not in the bucket either, whatever it was withdrawn for.

        Raises:
            VolumeFailed: the file system refused.
        """
        if on_volume.current is not None and lapsed(replace(on_volume, leftover=False)):
            writer.record(replace(on_volume.current, evicted=False, gone_since=look.at))

    def held_back(self, model: ModelId, end: Unpublish, now: float, context: SyncContext) -> str | None:
        """Why the model may not be withdrawn at this time by S3's clock, or None.

        Raises:
            StoreUnavailable, StoreDenied, BucketMissing, VolumeFailed: nobody can say.
        """
        if not end.visible:
            return None
        if (held := self._breaker.refusal(model, now)) is not None:
            return held
        empty = "the bucket is empty below its prefix: that is never taken for a deletion"
        return empty if self._decider.bucket_is_empty(context) else None
