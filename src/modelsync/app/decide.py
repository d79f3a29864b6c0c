"""What is to be done about one model: the bucket is listed, the commit file read, the core decides."""

from __future__ import annotations

from dataclasses import dataclass, field

from modelsync.app.commit import read_commit
from modelsync.app.mismatch import refuted, twice
from modelsync.app.namespace import Namespace
from modelsync.app.patience import LOOKS, Patience, Retries
from modelsync.app.progress import SyncContext
from modelsync.app.settling import SettleOptions, Settling
from modelsync.app.vetting import RulesInForce, no_rules
from modelsync.core.commit import CommittedFile
from modelsync.core.deletions import DeletionRules, depart
from modelsync.core.manifest import Published
from modelsync.core.names import ModelId, Naming, RelPath
from modelsync.core.objects import Digest, RemoteObject, Snapshot, Wanted, gather, revision_of
from modelsync.core.plan import Build, Decision, Gone, Refuse, Wait, await_files, plan, triage
from modelsync.errors import Rejected, VerificationFailed
from modelsync.ports import Clock, ObjectStore, Observer, Volume

_NEXT_COMMIT = "a file is newer than the commit file and differs from it: waiting for the next commit"


@dataclass(frozen=True)
class DecideOptions:
    """What decisions go by.

    Attributes:
        naming: which keys are which files.
        settle: models without a commit file.
        commit_timeout_seconds: how long a commit file may wait for its files.
        deletions: models that left the bucket.
        patience: with S3.
    """

    naming: Naming
    settle: SettleOptions = field(default_factory=SettleOptions)
    commit_timeout_seconds: float = 3600.0
    deletions: DeletionRules = field(default_factory=DeletionRules)
    patience: Patience = LOOKS


@dataclass(frozen=True)
class Look:
    """A model in the bucket, or None without it; `at`: seconds since the epoch by S3's clock."""

    snapshot: Snapshot | None
    at: float


class Decider:
    """Decides about any model. Thread-safe."""

    def __init__(
        self,
        *,
        store: ObjectStore,
        volume: Volume,
        namespace: Namespace,
        clock: Clock,
        observe: Observer,
        options: DecideOptions,
        in_force: RulesInForce = no_rules,
    ) -> None:
        self._store = store
        self._namespace = namespace
        self._options = options
        self._in_force = in_force
        self._settling = Settling(
            store=store, volume=volume, naming=options.naming, clock=clock, observe=observe, options=options.settle
        )
        self._unlike_commit: dict[ModelId, tuple[Digest, RelPath]] = {}

    def look(self, model: ModelId, context: SyncContext) -> Look:
        """List a model.

        Raises:
            StoreUnavailable, StoreDenied, BucketMissing: conclude nothing.
        """
        naming = self._options.naming
        wanted = Wanted(model, naming)
        listing = self._store.list(naming.list_prefix(model), self._retries(context), wanted)
        snapshot = gather(model, listing.objects, naming)
        return Look(snapshot and self._namespace.judge(snapshot), listing.at)

    def _retries(self, context: SyncContext) -> Retries:
        return context.retries(self._options.patience, "the listing")

    def bucket_is_empty(self, context: SyncContext) -> bool:
        """Whether the bucket has no object at all below its prefix.

        Raises:
            StoreUnavailable, StoreDenied, BucketMissing: conclude nothing.
        """
        return next(iter(self._store.scan(self._options.naming.prefix, self._retries(context))), None) is None

    def decide(
        self, look: Look, on_volume: Published, context: SyncContext, *, quiet_seconds: float, wanted: bool
    ) -> Decision:
        """Decide; `quiet_seconds`: since the last event of the model; `wanted`: it was asked for by its name.

        Raises:
            ModelSyncError: what the commit file or the uploads in progress met on their way.
        """
        snapshot, options = look.snapshot, self._options
        self._forget(context.model, None if snapshot is None else snapshot.digest)
        if snapshot is None:
            if not options.naming.covers(context.model):
                return Gone("MODEL_INCLUDE, MODEL_EXCLUDE or MODEL_DEPTH leave it out: what is published stays")
            return depart(on_volume, now=look.at, rules=options.deletions)
        answer = triage(
            snapshot,
            on_volume,
            s3_now=look.at,
            settle_seconds=options.settle.seconds,
            quiet_seconds=quiet_seconds,
            wanted=wanted,
            rules=self._in_force(),
        )
        if answer is not None:
            if not isinstance(answer, Wait):
                self._forget(snapshot.model, None)
            return answer
        try:
            commit = self._commit(snapshot.commit, context) if snapshot.commit else None
        except Rejected as error:
            return Refuse(revision_of(snapshot.files), error.rule, error.reason)
        except VerificationFailed as error:
            return refuted(revision_of(snapshot.files), error)
        digest, path = self._unlike_commit.get(snapshot.model, (None, RelPath("")))
        if digest == snapshot.digest:
            return self._await(look, snapshot, path)
        decision = plan(
            snapshot, commit, on_volume, s3_now=look.at, commit_timeout_seconds=options.commit_timeout_seconds
        )
        if commit is None and isinstance(decision, Build):
            patiently = self._retries(context)
            return self._settling.hold(decision, snapshot, on_volume, patiently, s3_now=look.at) or decision
        return decision

    def _forget(self, model: ModelId, listing: Digest | None) -> None:
        """Forget what was noted of a model, unless it is of this listing."""
        self._settling.forget(model, listing)
        if self._unlike_commit.get(model, (listing,))[0] != listing:
            self._unlike_commit.pop(model, None)

    def next_commit(self, look: Look, snapshot: Snapshot, path: RelPath) -> Wait:
        """Take note that a file differs from the commit file because the next commit is on its way."""
        self._unlike_commit[snapshot.model] = (snapshot.digest, path)
        return self._await(look, snapshot, path)

    def _await(self, look: Look, snapshot: Snapshot, path: RelPath) -> Wait:
        timeout_seconds = self._options.commit_timeout_seconds
        reason = f"{path}: {_NEXT_COMMIT}"
        return await_files(snapshot, reason, [path], s3_now=look.at, commit_timeout_seconds=timeout_seconds)

    def _commit(self, remote: RemoteObject, context: SyncContext) -> tuple[CommittedFile, ...]:
        store, naming = self._store, self._options.naming
        retries = context.retries(self._options.patience, naming.commit_file)
        return twice(store, lambda: retries(lambda: read_commit(store, remote, naming, context.check)))
