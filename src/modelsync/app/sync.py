"""One model from the bucket to its readers: list, plan, fetch, verify, publish.

Whatever asks for a sync (an event, a timer, a command) comes through here.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

from modelsync import __version__
from modelsync.app.dirty import Work
from modelsync.app.fetch import Fetcher
from modelsync.app.namespace import Namespace
from modelsync.app.progress import Beat, SyncContext
from modelsync.app.reuse import Reuser
from modelsync.app.space import Reservation, SpaceLedger
from modelsync.core.commit import MAX_BYTES, CommittedFile, parse_commit
from modelsync.core.facts import Outcome, Published, RevisionRejected, SyncFinished, SyncStarted
from modelsync.core.manifest import Current, FileRecord, Manifest, Quarantine, Superseded
from modelsync.core.manifest import Published as OnVolume
from modelsync.core.names import ModelId, Naming, RelPath
from modelsync.core.objects import Digest, RemoteObject, Revision, Snapshot, gather, revision_of
from modelsync.core.parts import Span
from modelsync.core.plan import (
    INCOMPLETE_RECHECK_SECONDS,
    Build,
    Decision,
    Gone,
    Noop,
    Refuse,
    Switch,
    Wait,
    plan,
    triage,
    upload_in_progress,
)
from modelsync.core.proof import Proof
from modelsync.errors import (
    ConfigurationError,
    ModelBusy,
    ModelSyncError,
    ObjectChanged,
    Rejected,
    TryAgain,
    VerificationFailed,
)
from modelsync.ports import Clock, ObjectStore, Observer, Staging, Volume, Writer

_BUSY_RETRY_SECONDS = 3.0
_REPLANS = 5
_VERIFY_ATTEMPTS = 2
_NEXT_COMMIT = "a file is newer than the commit file and differs from it: waiting for the next commit"


@dataclass(frozen=True)
class SyncOptions:
    """What one sync goes by.

    Attributes:
        naming: which keys are which files.
        source: the bucket and prefix as a URL, for the manifest.
        settle_seconds: quiet time for models without a commit file.
        min_free_bytes: what downloads leave free on the volume.
    """

    naming: Naming
    source: str
    settle_seconds: float = 2.0
    min_free_bytes: int = 0


@dataclass(frozen=True)
class SyncResult:
    """How a sync ended. `wait_seconds`: a better guess than backoff of when to come back.

    `error` is what failed, for outcome `error`.
    """

    outcome: Outcome
    reason: str
    revision: Revision | None = None
    wait_seconds: float | None = None
    error: ModelSyncError | None = None


class ModelSync:
    """Syncs one model at a time per caller; any number of threads may call."""

    def __init__(
        self,
        *,
        store: ObjectStore,
        volume: Volume,
        fetcher: Fetcher,
        clock: Clock,
        observe: Observer,
        namespace: Namespace,
        options: SyncOptions,
    ) -> None:
        self._store = store
        self._volume = volume
        self._fetcher = fetcher
        self._clock = clock
        self._observe = observe
        self._namespace = namespace
        self._options = options
        self._reuser = Reuser(volume)
        self._space = SpaceLedger(volume, options.min_free_bytes)
        self._unlike_commit: dict[ModelId, Digest] = {}

    def sync(self, work: Work, *, stop: threading.Event, beat: Beat) -> SyncResult:
        """Bring one model up to date. Every error of ours becomes a result.

        Raises:
            Stopped: the service is ending; the work is parked and nothing is lost.
        """
        self._observe(SyncStarted(work.model, work.sync_id, work.why, work.event_at))
        context = SyncContext(work.model, work.sync_id, self._clock, self._observe, stop, beat)
        start = self._clock.monotonic()
        try:
            result = self._locked(work, context)
        except ModelBusy as error:
            result = SyncResult(Outcome.BUSY, str(error), wait_seconds=_BUSY_RETRY_SECONDS)
        except (TryAgain, ObjectChanged, ConfigurationError) as error:
            result = SyncResult(Outcome.ERROR, str(error), error=error)
        seconds = self._clock.monotonic() - start
        self._observe(
            SyncFinished(
                work.model, work.sync_id, result.outcome, result.reason, seconds, result.revision, context.stages
            )
        )
        return result

    def preview(self, model: ModelId, *, stop: threading.Event) -> Decision:
        """Say what a sync would do now, and do none of it.

        Raises:
            ModelSyncError: what it meets on its way.
        """
        context = SyncContext(model, "preview", self._clock, self._observe, stop, lambda: None)
        on_volume = self._volume.published(model)
        snapshot, listed_at = self._snapshot(model)
        return self._decide(snapshot, listed_at, on_volume, context)[0]

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
            snapshot, listed_at = self._snapshot(work.model)
        with context.stage("plan"):
            decision, commit_file = self._decide(snapshot, listed_at, on_volume, context)
        match decision:
            case Build() if snapshot is not None:
                return self._build(work, decision, snapshot, commit_file, on_volume, writer, context)
            case Switch(revision=revision, reason=reason) if snapshot is not None:
                return self._switch(work, revision, reason, snapshot, on_volume, writer, context)
            case Refuse(known=False) as refuse if snapshot is not None:
                return self._refuse(work, refuse, snapshot, writer)
            case Noop(relist=True) if snapshot is not None and on_volume.current is not None:
                writer.record(replace(on_volume.current, listing=snapshot.digest))
            case _:
                pass
        if on_volume.leftover and not isinstance(decision, Wait):
            writer.clear_staging()
        return _as_result(decision, on_volume)

    def _snapshot(self, model: ModelId) -> tuple[Snapshot | None, float]:
        naming = self._options.naming
        listing = self._store.list(naming.list_prefix(model))
        snapshot = gather(model, listing.objects, naming)
        return snapshot and self._namespace.judge(snapshot), listing.at

    def _decide(
        self, snapshot: Snapshot | None, listed_at: float, on_volume: OnVolume, context: SyncContext
    ) -> tuple[Decision, bool]:
        decision = triage(snapshot, on_volume, s3_now=listed_at, settle_seconds=self._options.settle_seconds)
        if decision is not None or snapshot is None:
            return decision or Gone("no such model"), False
        try:
            commit = self._commit(snapshot.commit, context) if snapshot.commit else None
        except Rejected as error:
            return Refuse(revision_of(snapshot.files), error.rule, error.reason), True
        if self._unlike_commit.get(snapshot.model) == snapshot.digest:
            return Wait(_NEXT_COMMIT, INCOMPLETE_RECHECK_SECONDS), True
        return plan(snapshot, commit, on_volume), commit is not None

    def _commit(self, remote: RemoteObject, context: SyncContext) -> tuple[CommittedFile, ...]:
        if remote.size_bytes > MAX_BYTES:
            raise Rejected("commit-file", f"the commit file is larger than {MAX_BYTES} bytes")
        data = bytearray(remote.size_bytes)
        with self._store.open(remote, Span(0, remote.size_bytes)) as body:
            offset = 0
            while count := body.readinto(memoryview(data)[offset:]):
                offset += count
                context.check()
        return parse_commit(bytes(data), self._options.naming)

    def _build(
        self,
        work: Work,
        build: Build,
        snapshot: Snapshot,
        commit_file: bool,  # noqa: FBT001
        on_volume: OnVolume,
        writer: Writer,
        context: SyncContext,
    ) -> SyncResult:
        staging = writer.stage(build.revision)
        try:
            with context.stage("reuse"):
                reused = self._reuser.adopt(build, staging, context)
            missing = replace(build, files=tuple(file for file in build.files if file.path not in reused))
            with context.stage("fetch"):
                fetched = self._fetch_all(missing, staging, context)
            records = tuple((reused | fetched)[file.path] for file in build.files)
        except VerificationFailed as error:
            planned = next(file for file in build.files if file.path == error.path)
            if error.proof == Proof.COMMIT and upload_in_progress(planned, snapshot):
                self._unlike_commit[work.model] = snapshot.digest
                return SyncResult(Outcome.WAITING, f"{error.path}: {_NEXT_COMMIT}")
            refuse = Refuse(build.revision, "checksum", str(error))
            return self._refuse(work, refuse, snapshot, writer)
        if not commit_file:
            # Nothing ties the files together but time: they must be the same before and after.
            with context.stage("list again"):
                again, _ = self._snapshot(work.model)
                if again is None or again.digest != snapshot.digest:
                    raise ObjectChanged("the bucket changed during the download")
        with context.stage("seal"):
            staging.seal(self._manifest(work, build.revision, snapshot, records))
        return self._switch(work, build.revision, build.reason, snapshot, on_volume, writer, context)

    def _fetch_all(self, build: Build, staging: Staging, context: SyncContext) -> dict[RelPath, FileRecord]:
        if not build.files:
            return {}
        with self._space.reserve(max(build.size_bytes - staging.staged_bytes(), 0)) as reservation:
            records = self._fetch(build, staging, context, reservation)
        return {record.path: record for record in records}

    def _fetch(
        self, build: Build, staging: Staging, context: SyncContext, reservation: Reservation
    ) -> tuple[FileRecord, ...]:
        for remaining in reversed(range(_VERIFY_ATTEMPTS)):
            try:
                return self._fetcher.fetch(build, staging, context, reservation)
            except VerificationFailed:
                if not remaining:
                    raise
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _manifest(
        self, work: Work, revision: Revision, snapshot: Snapshot, records: tuple[FileRecord, ...]
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
        )

    def _switch(
        self,
        work: Work,
        revision: Revision,
        reason: str,
        snapshot: Snapshot,
        on_volume: OnVolume,
        writer: Writer,
        context: SyncContext,
    ) -> SyncResult:
        manifest = self._volume.manifest(work.model, revision)
        if manifest is None:
            writer.drop(revision)
            raise ObjectChanged(f"the manifest of revision {revision} cannot be read: it is built anew")
        before = on_volume.current
        now = self._clock.now()
        superseded = (Superseded(before.revision, now),) if before and before.revision != revision else ()
        previous = tuple(old for old in (before.previous if before else ()) if old.revision != revision)
        current = Current(work.model, revision, snapshot.digest, now, superseded + previous)
        try:
            with context.stage("publish"):
                writer.publish(current, single=manifest.files[0].path if manifest.single else None)
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
                reason=reason,
            )
        )
        return SyncResult(Outcome.SUCCESS, reason, revision)

    def _refuse(self, work: Work, refuse: Refuse, snapshot: Snapshot, writer: Writer) -> SyncResult:
        writer.quarantine(
            Quarantine(work.model, refuse.revision, snapshot.digest, refuse.rule, refuse.reason, self._clock.now())
        )
        self._observe(RevisionRejected(work.model, refuse.revision, work.sync_id, refuse.rule, refuse.reason))
        return SyncResult(Outcome.REJECTED, refuse.reason, refuse.revision)


def _as_result(decision: Decision, on_volume: OnVolume | None = None) -> SyncResult:
    """A decision that asks for no work, or none that may be done, as a result."""
    match decision:
        case Wait(reason=reason, seconds=seconds):
            return SyncResult(Outcome.WAITING, reason, wait_seconds=seconds)
        case Refuse(revision=revision, reason=reason):
            return SyncResult(Outcome.REJECTED, reason, revision)
        case Build(revision=revision, reason=reason) | Switch(revision=revision, reason=reason):
            return SyncResult(Outcome.SUCCESS, reason, revision)
        case Noop(reason=reason) | Gone(reason=reason):
            current = on_volume.current if on_volume else None
            return SyncResult(Outcome.NOOP, reason, current.revision if current else None)
