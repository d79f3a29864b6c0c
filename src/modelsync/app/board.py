"""What the service knows of itself: a sink of facts that health, readiness and metrics read."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace

from modelsync.core import facts
from modelsync.core.facts import Fact, Outcome
from modelsync.core.health import Check, Status, move, sync_check
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

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._checks: dict[str, Check] = {}
        self._models: dict[ModelId, ModelStatus] = {}
        self._failing: dict[ModelId, str] = {}
        self._reconciled = False
        self._sync = Check(Status.HEALTHY, "nothing has been synced yet", clock.now())

    def __call__(self, fact: Fact, /) -> None:
        """Take a fact."""
        match fact:
            case facts.HealthChanged(check, status, reason):
                with self._lock:
                    self._checks[check] = move(self._checks.get(check), status, reason, self._clock.now())
            case facts.SyncStarted(model=model, event_at=event_at):
                heard = {} if event_at is None else {"event_at": event_at}
                self._change(model, state=State.SYNCING, **heard)
            case facts.ModelKnown():
                self._known(fact)
            case facts.Published(model=model, revision=revision, published_at=published_at):
                self._change(model, revision=revision, published_at=published_at)
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
            status = replace(before, revision=fact.revision, published_at=fact.published_at)
            if fact.in_step and before.state is not State.SYNCING:
                # Another replica may have mended what failed here.
                status = replace(status, state=State.PUBLISHED, reason=None, synced_at=self._clock.now())
            self._put(status)

    def _change(self, model: ModelId, **changes: object) -> None:
        with self._lock:
            before = self._models.get(model) or ModelStatus(model, State.SYNCING)
            self._put(replace(before, **changes))  # type: ignore[arg-type]

    def _absent(self, model: ModelId) -> None:
        with self._lock:
            before = self._models.get(model)
            if before is not None and before.state is not State.SYNCING:
                self._put(replace(before, state=_without_work(before.revision), reason=None))

    def _finished(self, fact: facts.SyncFinished) -> None:
        with self._lock:
            before = self._models.get(fact.model) or ModelStatus(fact.model, State.SYNCING)
            if fact.outcome in _STATES:
                self._put(replace(before, state=_STATES[fact.outcome], reason=fact.reason))
            else:
                revision = fact.revision or before.revision
                self._put(
                    replace(
                        before,
                        state=_without_work(revision),
                        reason=None,
                        revision=revision,
                        synced_at=self._clock.now(),
                    )
                )

    def _put(self, status: ModelStatus) -> None:
        """Take a model's new status; one that is neither published nor in the bucket is forgotten."""
        self._failing.pop(status.model, None)
        if status.state is State.ABSENT:
            self._models.pop(status.model, None)
        else:
            self._models[status.model] = status
            if status.state in {State.REJECTED, State.FAILING}:
                self._failing[status.model] = status.reason or status.state
        self._sync = move(self._sync, *sync_check(self._failing), self._clock.now())

    @property
    def reconciled(self) -> bool:
        """Whether a comparison with the bucket has ever finished on this volume."""
        return self._reconciled

    def failing(self) -> dict[ModelId, str]:
        """Models that are rejected or failed, and why."""
        with self._lock:
            return dict(self._failing)

    def checks(self) -> dict[str, Check]:
        """All health checks by name."""
        with self._lock:
            return {**self._checks, "sync": self._sync}

    def models(self) -> Mapping[ModelId, ModelStatus]:
        """All models that were seen."""
        with self._lock:
            return dict(self._models)


def _without_work(revision: Revision | None) -> State:
    return State.PUBLISHED if revision else State.ABSENT
