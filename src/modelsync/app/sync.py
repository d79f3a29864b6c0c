"""One model from the bucket to its readers: list, plan, fetch, verify, publish.

Whatever asks for a sync (an event, a timer, a command) comes through here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from modelsync import __version__
from modelsync.app.breaker import Breaker
from modelsync.app.bring import Bringer
from modelsync.app.decide import Decider, Look
from modelsync.app.departures import Departures
from modelsync.app.dirty import Work
from modelsync.app.fetch import Fetcher
from modelsync.app.mismatch import refuted
from modelsync.app.progress import Beat, SyncContext
from modelsync.app.result import SyncResult, as_result
from modelsync.app.signatures import Signatures
from modelsync.app.vetting import Vetting
from modelsync.core.damage import NO_MANIFEST
from modelsync.core.facts import (
    Outcome,
    Published,
    RevisionRejected,
    SignatureJudged,
    SyncFinished,
    SyncStarted,
)
from modelsync.core.manifest import Current, Damage, FileRecord, Manifest, Quarantine, succeed
from modelsync.core.manifest import Published as OnVolume
from modelsync.core.names import ModelId
from modelsync.core.objects import Revision, Snapshot
from modelsync.core.plan import (
    Build,
    Decision,
    Gone,
    Leave,
    Noop,
    Refuse,
    Switch,
    Unpublish,
    Wait,
    upload_in_progress,
)
from modelsync.core.proof import Proof
from modelsync.core.signature import Verdict, judged
from modelsync.core.space import SpaceRules
from modelsync.errors import (
    ConfigurationError,
    ModelBusy,
    NoRoom,
    ObjectChanged,
    Rejected,
    TryAgain,
    VerificationFailed,
)
from modelsync.ports import Clock, ObjectStore, Observer, Staging, Volume, Writer

_BUSY_RETRY_SECONDS = 3.0
_REPLANS = 5
_ATTEND_SECONDS = 5.0


@dataclass(frozen=True)
class SyncOptions:
    """What one sync goes by.

    Attributes:
        source: the bucket and prefix as a URL, for the manifest.
        space: what downloads leave alone on the volume.
    """

    source: str
    space: SpaceRules = field(default_factory=SpaceRules)


@dataclass
class _Attention:
    """When a running download is next held against the bucket, on the clock's monotonic scale."""

    due: float


class ModelSync:
    """Syncs one model at a time per caller; any number of threads may call."""

    def __init__(
        self,
        *,
        store: ObjectStore,
        volume: Volume,
        fetcher: Fetcher,
        decider: Decider,
        breaker: Breaker,
        clock: Clock,
        observe: Observer,
        make_room: Callable[[int, Beat], bool],
        options: SyncOptions,
        vetting: Vetting,
        signatures: Signatures | None = None,
    ) -> None:
        self._store = store
        self._volume = volume
        self._decider = decider
        self._departures = Departures(decider, breaker, observe)
        self._clock = clock
        self._observe = observe
        self._make_room = make_room
        self._options = options
        self._vetting = vetting
        self._signatures = signatures
        self.bring = Bringer(store, volume, fetcher, options.space)

    def sync(self, work: Work, *, stop: threading.Event, beat: Beat) -> SyncResult:
        """Bring one model up to date. Every error of ours becomes a result.

        Raises:
            Stopped: the service is ending; the work is parked and nothing is lost.
        """
        self._observe(SyncStarted(work.model, work.sync_id, work.why, work.event_at))
        context = SyncContext(work.model, work.sync_id, self._clock, self._observe, stop, beat)
        start = self._clock.monotonic()
        try:
            result = self._with_room(work, context)
        except ModelBusy as error:
            result = SyncResult(Outcome.BUSY, str(error), wait_seconds=_BUSY_RETRY_SECONDS)
        except (TryAgain, ObjectChanged, ConfigurationError) as error:
            result = SyncResult(Outcome.ERROR, str(error), error=error)
        seconds = self._clock.monotonic() - start
        self._observe(
            SyncFinished(
                work.model,
                work.sync_id,
                result.outcome,
                result.reason,
                seconds,
                result.revision,
                context.stages,
                result.overdue,
            )
        )
        return result

    def preview(self, model: ModelId, *, stop: threading.Event, wanted: bool = False) -> Decision:
        """Say what a sync would do now, and do none of it; `wanted`: one that is asked for by the model's name.

        Raises:
            ModelSyncError: what it meets on its way.
        """
        context = SyncContext(model, "preview", self._clock, self._observe, stop, lambda: None)
        on_volume = self._volume.published(model)
        look = self._decider.look(model, context)
        decision = self._decider.decide(look, on_volume, context, quiet_seconds=float("inf"), wanted=wanted)
        if (
            isinstance(decision, Unpublish)
            and (held := self._departures.held_back(model, decision, look.at, context)) is not None
        ):
            return Leave(held, decision.since, known=True)
        return decision

    def _with_room(self, work: Work, context: SyncContext) -> SyncResult:
        try:
            return self._locked(work, context)
        except NoRoom as error:
            # Without the model's lock: older revisions of its own may have to go.
            if not self._make_room(error.bytes_short, context.beat):
                raise
            return self._locked(work, context)

    def _locked(self, work: Work, context: SyncContext) -> SyncResult:
        with self._volume.writer(work.model) as writer:
            writer.mend()
            for remaining in reversed(range(_REPLANS)):
                try:
                    return self._attempt(work, writer, context)
                except ObjectChanged:
                    if not remaining:
                        raise
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _attempt(self, work: Work, writer: Writer, context: SyncContext) -> SyncResult:
        on_volume = self._volume.published(work.model)
        with context.stage("list"):
            look = self._decider.look(work.model, context)
        on_volume = self._departures.back(on_volume, look, writer)
        with context.stage("plan"):
            quiet_seconds = self._clock.monotonic() - work.heard_at
            decision = self._decider.decide(look, on_volume, context, quiet_seconds=quiet_seconds, wanted=work.wanted)
        if on_volume.leftover and not isinstance(decision, Wait | Build):
            writer.clear_staging()
        match decision:
            case Build() if look.snapshot is not None:
                return self._build(work, decision, look, look.snapshot, on_volume, writer, context)
            case Switch(revision=revision, reason=reason) if look.snapshot is not None:
                manifest = self._kept(work.model, revision, writer)
                pinned = on_volume.current is not None and on_volume.current.pin is not None
                verdict = None if pinned else self._judge_kept(manifest, look.snapshot, context)
                if isinstance(verdict, Refuse):
                    return self._refuse(work, verdict, look.snapshot, writer)
                return self._switch(work, manifest, verdict, reason, look.snapshot, on_volume, writer, context)
            case Refuse(known=False) as refuse if look.snapshot is not None:
                return self._refuse(work, refuse, look.snapshot, writer)
            case Noop(relist=True) if look.snapshot is not None and on_volume.current is not None:
                self._relist(work, on_volume.current, look.snapshot, writer, context)
            case Leave() if on_volume.current is not None:
                return self._departures.leave(decision, on_volume.current, look, writer)
            case Unpublish() if on_volume.current is not None:
                return self._departures.unpublish(work, decision, on_volume.current, look, writer, context)
            case Gone():
                self._departures.lapse(on_volume, look, writer)
        return as_result(decision, on_volume)

    def _build(
        self,
        work: Work,
        build: Build,
        look: Look,
        snapshot: Snapshot,
        on_volume: OnVolume,
        writer: Writer,
        context: SyncContext,
    ) -> SyncResult:
        if (refuse := self._vetting.expect(build)) is not None:
            return self._refuse(work, refuse, snapshot, writer)
        staging = writer.stage(build.revision)
        attention = _Attention(self._clock.monotonic() + _ATTEND_SECONDS)
        context = replace(context, attend=lambda: self._attend(work, snapshot, attention))
        try:
            records = self.bring(build, staging, context)
        except VerificationFailed as error:
            planned = next(file for file in build.files if file.path == error.path)
            if error.proof == Proof.COMMIT and upload_in_progress(planned, snapshot):
                return as_result(self._decider.next_commit(look, snapshot, planned.path))
            return self._refuse(work, refuted(build.revision, error), snapshot, writer)
        except Rejected as error:
            return self._refuse(work, Refuse(build.revision, error.rule, error.reason), snapshot, writer)
        if snapshot.commit is None:
            # Nothing ties the files together but time: they must be the same before and after.
            with context.stage("list again"):
                again = self._decider.look(work.model, context).snapshot
                if again is None or again.digest != snapshot.digest:
                    raise ObjectChanged("the bucket changed during the download")
        verdict = self._judge(build.revision, snapshot, records, staging, context)
        if isinstance(verdict, Refuse):
            return self._refuse(work, verdict, snapshot, writer)
        with context.stage("seal"):
            manifest = self._manifest(work, build.revision, snapshot, records, verdict)
            staging.seal(manifest)
        return self._switch(work, manifest, verdict, build.reason, snapshot, on_volume, writer, context)

    def _judge(
        self,
        revision: Revision,
        snapshot: Snapshot,
        records: Sequence[FileRecord],
        staging: Staging,
        context: SyncContext,
    ) -> Verdict | Refuse | None:
        """Who signed what is staged, or why readers must not see it; None: nobody asks who signed."""
        judges = self._signatures
        verdict = None if judges is None else judges.judge(revision, snapshot, records, staging.read, context)
        if isinstance(verdict, Refuse):
            return verdict
        return self._vetting.staged(revision, records, staging, context) or verdict

    def _judge_kept(self, manifest: Manifest, snapshot: Snapshot, context: SyncContext) -> Verdict | Refuse | None:
        """The same of a revision that is on the volume."""
        judges = self._signatures
        verdict = None if judges is None else judges.judge_kept(manifest, snapshot, context)
        if isinstance(verdict, Refuse):
            return verdict
        return self._vetting.kept(manifest, context) or verdict

    def _relist(self, work: Work, current: Current, snapshot: Snapshot, writer: Writer, context: SyncContext) -> None:
        """Put the listing's name on record, and who signed what readers see, if there is news of that."""
        judges = self._signatures
        verdict = None if judges is None else judges.judge_again(current, snapshot, context)
        record = judged(replace(current, listing=snapshot.digest), verdict)
        writer.record(record)
        if (record.signer, record.unsigned) != (current.signer, current.unsigned):
            self._tell(work, current.revision, verdict)

    def _attend(self, work: Work, snapshot: Snapshot, attention: _Attention) -> None:
        """See, during a download, whether a new commit supersedes it.

        An event that tells of it may come to another replica, or to none: without one it is asked for now and then.

        Raises:
            ObjectChanged: it does; what was downloaded stays in staging.
        """
        told, now = work.new_commit.is_set(), self._clock.monotonic()
        if not told and (snapshot.commit is None or now < attention.due):
            return
        attention.due = now + _ATTEND_SECONDS
        work.new_commit.clear()
        if snapshot.commit is None:
            raise ObjectChanged("a commit file came during the download")
        with suppress(TryAgain):  # whatever it is, another look follows
            self._store.head(snapshot.commit)

    def _manifest(
        self,
        work: Work,
        revision: Revision,
        snapshot: Snapshot,
        records: tuple[FileRecord, ...],
        verdict: Verdict | None,
    ) -> Manifest:
        return Manifest(
            model=work.model,
            revision=revision,
            listing=snapshot.digest,
            files=records,
            single=snapshot.single,
            source=self._options.source,
            created_at=self._clock.now(),
            sync_id=work.sync_id,
            event_at=work.event_at,
            modelsync=__version__,
            gate=self._vetting.rules,
            signer=verdict.signer if verdict else None,
        )

    def _kept(self, model: ModelId, revision: Revision, writer: Writer) -> Manifest:
        manifest = self._volume.manifest(model, revision)
        if manifest is None:
            writer.set_aside(Damage(model, revision, self._clock.now(), (NO_MANIFEST,)))
            raise ObjectChanged(f"the manifest of revision {revision} cannot be read: it is built anew")
        return manifest

    def _switch(
        self,
        work: Work,
        manifest: Manifest,
        verdict: Verdict | None,
        reason: str,
        snapshot: Snapshot,
        on_volume: OnVolume,
        writer: Writer,
        context: SyncContext,
    ) -> SyncResult:
        revision, before = manifest.revision, on_volume.current
        now = self._clock.now()
        current = succeed(before, manifest, now=now, listing=snapshot.digest, pin=before.pin if before else None)
        current = judged(current, verdict)
        try:
            with context.stage("publish"):
                writer.publish(current, manifest)
        except Rejected as error:
            return self._refuse(work, Refuse(revision, error.rule, error.reason), snapshot, writer)
        self._observe(
            Published(
                model=work.model,
                revision=revision,
                sync_id=work.sync_id,
                previous=before.revision if before else None,
                files=len(manifest.files),
                size_bytes=sum(file.size_bytes for file in manifest.files),
                published_at=now,
                event_at=work.event_at,
                received_at=work.received_at,
                reason=reason,
                signer=current.signer,
                pinned=current.pin is not None,
            )
        )
        self._tell(work, revision, verdict)
        return SyncResult(Outcome.SUCCESS, reason, revision)

    def _tell(self, work: Work, revision: Revision, verdict: Verdict | None) -> None:
        if verdict is not None:
            self._observe(SignatureJudged(work.model, revision, work.sync_id, verdict.signer, verdict.unsigned))

    def _refuse(self, work: Work, refuse: Refuse, snapshot: Snapshot, writer: Writer) -> SyncResult:
        record = Quarantine(
            work.model,
            refuse.revision,
            snapshot.digest,
            refuse.rule,
            refuse.reason,
            self._clock.now(),
            refuse.mismatch,
            refuse.file,
            refuse.rules,
        )
        writer.quarantine(record)
        self._observe(RevisionRejected(work.model, refuse.revision, work.sync_id, refuse.rule, refuse.reason))
        return SyncResult(Outcome.REJECTED, refuse.reason, refuse.revision)
