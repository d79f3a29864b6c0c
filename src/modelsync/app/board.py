"""What the service knows of itself: a sink of facts that health, readiness and metrics read."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace

from modelsync.core import facts
from modelsync.core.facts import Fact, Outcome
from modelsync.core.health import Check, Status, move, sync_check
from modelsync.core.names import ModelId
from modelsync.core.objects import Revision
from modelsync.ports import Clock


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """One model: what readers see, and why that is not what the bucket has, if so.

    `state` is `current`, `syncing`, `waiting`, `rejected` or `failed`.
    """

    model: ModelId
    state: str
    revision: Revision | None = None
    published_at: float | None = None
    reason: str | None = None


_STATES = {
    Outcome.WAITING: "waiting",
    Outcome.REJECTED: "rejected",
    Outcome.ERROR: "failed",
    Outcome.BUSY: "waiting",
}


class Board:
    """Implements `ports.Observer`. Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._checks: dict[str, Check] = {}
        self._models: dict[ModelId, ModelStatus] = {}
        self._failing: dict[ModelId, str] = {}
        self._sync = Check(Status.HEALTHY, "nothing has been synced yet", clock.now())

    def __call__(self, fact: Fact, /) -> None:
        """Take a fact."""
        match fact:
            case facts.HealthChanged(check, status, reason):
                with self._lock:
                    self._checks[check] = move(self._checks.get(check), status, reason, self._clock.now())
            case facts.SyncStarted(model=model):
                self._change(model, state="syncing")
            case facts.ModelKnown(model, revision, published_at):
                self._known(model, revision, published_at)
            case facts.Published(model=model, revision=revision, published_at=published_at):
                self._change(model, revision=revision, published_at=published_at)
            case facts.SyncFinished():
                self._finished(fact)
            case _:
                pass

    def _known(self, model: ModelId, revision: Revision, published_at: float) -> None:
        with self._lock:
            before = self._models.get(model)
            if before is None or before.revision != revision:
                state = before.state if before else "current"
                self._models[model] = ModelStatus(
                    model, state, revision, published_at, before.reason if before else None
                )

    def _change(self, model: ModelId, **changes: object) -> None:
        with self._lock:
            before = self._models.get(model) or ModelStatus(model, "syncing")
            self._models[model] = replace(before, **changes)  # type: ignore[arg-type]

    def _finished(self, fact: facts.SyncFinished) -> None:
        with self._lock:
            before = self._models.get(fact.model) or ModelStatus(fact.model, "syncing")
            state = _STATES.get(fact.outcome, "current")
            if state == "current" and before.revision is None:
                self._models.pop(fact.model, None)  # a key that names no model
            else:
                reason = None if state == "current" else fact.reason
                self._models[fact.model] = replace(before, state=state, reason=reason)
            if state in {"rejected", "failed"}:
                self._failing[fact.model] = fact.reason
            else:
                self._failing.pop(fact.model, None)
            self._sync = move(self._sync, *sync_check(self._failing), self._clock.now())

    def checks(self) -> dict[str, Check]:
        """All health checks by name."""
        with self._lock:
            return {**self._checks, "sync": self._sync}

    def models(self) -> Mapping[ModelId, ModelStatus]:
        """All models that were seen."""
        with self._lock:
            return dict(self._models)
