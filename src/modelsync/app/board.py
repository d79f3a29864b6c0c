"""What the service knows of itself: a sink of facts that health, readiness and metrics read."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from modelsync.core import facts
from modelsync.core.damage import damaging
from modelsync.core.facts import Fact, Outcome
from modelsync.core.health import Check, Status, damage_check, move, signatures_check, sync_check
from modelsync.core.names import ModelId
from modelsync.core.objects import Revision
from modelsync.core.status import ModelStatus, State
from modelsync.ports import Clock

_STATES = {
    Outcome.WAITING: State.WAITING,
    Outcome.REJECTED: State.REJECTED,
    Outcome.ERROR: State.FAILING,
    Outcome.BUSY: State.WAITING,
}


class Board:
    """Implements `ports.Observer`. Thread-safe."""

    wants_frequent = False

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._checks: dict[str, Check] = {}
        self._models: dict[ModelId, ModelStatus] = {}
        self._failing: dict[ModelId, str] = {}
        self._damaged: dict[ModelId, str] = {}
        self._gone: dict[ModelId, str] = {}
        self._unsigned: dict[ModelId, str] = {}
        self._signatures: Check | None = None
        self._reconciled = False
        self._sync = Check(Status.HEALTHY, "nothing has been synced yet", clock.now())
        self._scrub = Check(*damage_check(self._damaged), clock.now())

    def __call__(self, fact: Fact, /) -> None:  # noqa: C901, PLR0912 - one case for each kind of fact
        """Take a fact."""
        match fact:
            case facts.HealthChanged(check, status, reason):
                with self._lock:
                    self._checks[check] = move(self._checks.get(check), status, reason, self._clock.now())
            case facts.SyncStarted(model=model, event_at=event_at):
                heard = {} if event_at is None else {"event_at": event_at}
                self._change(model, state=State.SYNCING, **heard)
            case facts.ModelKnown(model=model, damage=damage):
                self._known(fact)
                self._damage(model, damage)
                self._sign(model, fact.unsigned)
            case facts.Published(model=model, revision=revision, published_at=published_at, event_at=event_at):
                self._back(model)
                lag = {} if event_at is None else {"lag_seconds": max(published_at - event_at, 0.0)}
                self._change(model, revision=revision, published_at=published_at, **lag)
                self._damage(model, None)
                self._sign(model, None)
            case facts.SignatureJudged(model=model, unsigned=unsigned):
                self._sign(model, unsigned)
            case facts.Pinned(model=model):
                self._pinned(model)
            case facts.Unpinned(model=model):
                self._change(model, pinned=False)
            case facts.DamageFound(model=model, revision=revision, finding=finding, seen=True) if damaging((finding,)):
                self._damage(model, f"{finding} in revision {revision}")
            case facts.ModelGone(model=model, reason=reason):
                self._leaving(model, reason)
            case facts.ModelBack(model=model):
                self._back(model)
            case facts.ModelEvicted(model=model, reason=reason):
                self._damage(model, None)
                self._sign(model, None)
                self._change(model, state=State.EVICTED, reason=reason, revision=None, published_at=None)
            case facts.Unpublished(model=model):
                self._back(model)
                self._damage(model, None)
                self._sign(model, None)
                self._change(model, revision=None, published_at=None)
            case facts.RefusalKnown(model, reason):
                self._change(model, state=State.REJECTED, reason=reason)
            case facts.ModelAbsent(model=model):
                self._absent(model)
            case facts.SyncFinished():
                self._finished(fact)
            case facts.VolumeMeasured(reconciled=True) | facts.ReconcileFinished():
                self._reconciled = True
            case _:
                pass

    def _known(self, fact: facts.ModelKnown) -> None:
        with self._lock:
            before = self._models.get(fact.model) or ModelStatus(fact.model, State.PUBLISHED)
            if self._gone.pop(fact.model, None) is not None and before.state is State.GONE:
                before = replace(before, state=State.PUBLISHED, reason=None)
            changes: dict[str, Any] = {
                "revision": fact.revision,
                "published_at": fact.published_at,
                "pinned": fact.pinned,
            }
            if fact.in_step and before.state is not State.SYNCING:
                # Another replica may have mended what failed here.
                changes |= {"state": State.PUBLISHED, "reason": None, "synced_at": self._clock.now()}
            self._put(replace(before, **changes))

    def _pinned(self, model: ModelId) -> None:
        """What the bucket has is of no matter now: neither that it is gone nor that it cannot be had."""
        with self._lock:
            self._gone.pop(model, None)
            before = self._models.get(model) or ModelStatus(model, State.PUBLISHED)
            told = {} if before.state is State.SYNCING else {"state": State.PUBLISHED, "reason": None}
            self._put(replace(before, pinned=True, **told))  # type: ignore[arg-type]

    def _change(self, model: ModelId, **changes: object) -> None:
        with self._lock:
            before = self._models.get(model) or ModelStatus(model, State.SYNCING)
            self._put(replace(before, **changes))  # type: ignore[arg-type]

    def _leaving(self, model: ModelId, reason: str) -> None:
        with self._lock:
            self._gone[model] = reason
            before = self._models.get(model)
            if before is not None and before.state is not State.SYNCING:
                self._put(replace(before, state=State.GONE, reason=reason))

    def _back(self, model: ModelId) -> None:
        with self._lock:
            self._gone.pop(model, None)

    def _absent(self, model: ModelId) -> None:
        with self._lock:
            self._gone.pop(model, None)
            before = self._models.get(model)
            if before is not None and before.state is not State.SYNCING:
                self._put(replace(before, state=State.ABSENT))

    def _finished(self, fact: facts.SyncFinished) -> None:
        with self._lock:
            before = self._models.get(fact.model) or ModelStatus(fact.model, State.SYNCING)
            if fact.outcome in _STATES:
                status = replace(before, state=_STATES[fact.outcome], reason=fact.reason)
                self._put(status, overdue=fact.overdue)
                return
            revision, reason = fact.revision or before.revision, self._gone.get(fact.model)
            state = State.ABSENT if revision is None else State.GONE if reason else State.PUBLISHED
            now = self._clock.now()
            self._put(replace(before, state=state, reason=reason, revision=revision, synced_at=now))

    def _damage(self, model: ModelId, wrong: str | None) -> None:
        """Take what readers of a model see damaged; None: nothing."""
        with self._lock:
            if self._damaged.pop(model, None) == wrong is None:
                return
            if wrong is not None:
                self._damaged[model] = wrong
            self._scrub = move(self._scrub, *damage_check(self._damaged), self._clock.now())

    def _sign(self, model: ModelId, unsigned: str | None) -> None:
        """Take why what readers of a model see counts as signed by nobody; None: it does not."""
        with self._lock:
            if self._unsigned.pop(model, None) == unsigned is None:
                return
            if unsigned is not None:
                self._unsigned[model] = unsigned
            self._signatures = move(self._signatures, *signatures_check(self._unsigned), self._clock.now())

    def _put(self, status: ModelStatus, *, overdue: bool = False) -> None:
        """Take a model's new status; one that is neither published nor in the bucket is forgotten."""
        if status.state is State.ABSENT:
            self._models.pop(status.model, None)
        else:
            self._models[status.model] = status
        if status.state is State.SYNCING:
            return  # what was wrong with it is so until the sync ends
        if overdue or status.state in {State.REJECTED, State.FAILING}:
            self._failing[status.model] = status.reason or status.state
        else:
            self._failing.pop(status.model, None)
        self._sync = move(self._sync, *sync_check(self._failing), self._clock.now())

    @property
    def reconciled(self) -> bool:
        """Whether a comparison with the bucket has ever finished on this volume."""
        return self._reconciled

    def failing(self) -> dict[ModelId, str]:
        """Models that are rejected, failed, or wait for too long, and why."""
        with self._lock:
            return dict(self._failing)

    def gone(self) -> dict[ModelId, str]:
        """Models that readers see and the bucket has no more, and what becomes of them."""
        with self._lock:
            return dict(self._gone)

    def checks(self) -> dict[str, Check]:
        """All health checks by name."""
        with self._lock:
            own = {"sync": self._sync, "scrub": self._scrub, "signatures": self._signatures}
            return self._checks | {name: check for name, check in own.items() if check is not None}

    def models(self) -> Mapping[ModelId, ModelStatus]:
        """All models that were seen."""
        with self._lock:
            return dict(self._models)


def _without_work(revision: Revision | None) -> State:
    return State.PUBLISHED if revision else State.ABSENT
