"""What applications say that they run. Kept in memory only: after a restart they have to say it again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from modelsync.core.names import ModelId
from modelsync.core.objects import Revision
from modelsync.core.rollout import Consumer, Rollout, rollout
from modelsync.core.status import ModelStatus
from modelsync.ports import Clock


@dataclass(frozen=True)
class ConsumerBounds:
    """`kept`: consumers of one model; `expiry_seconds`: one that has not reported for so long does not count."""

    kept: int = 1000
    expiry_seconds: float = 900.0


class Consumers:
    """Thread-safe."""

    def __init__(
        self, clock: Clock, known: Callable[[], Mapping[ModelId, ModelStatus]], bounds: ConsumerBounds | None = None
    ) -> None:
        """Make it; `known` tells what readers see of each model."""
        self._clock = clock
        self._known = known
        self._bounds = bounds or ConsumerBounds()
        self._lock = threading.Lock()
        self._models: dict[ModelId, dict[str, Consumer]] = {}

    def report(self, model: ModelId, name: str, revision: Revision) -> bool:
        """Take what a consumer says; return False if the model has too many."""
        now = self._clock.now()
        with self._lock:
            fresh = self._fresh(model, now)
            if name not in fresh and len(fresh) >= self._bounds.kept:
                return False
            fresh[name] = Consumer(name, revision, now)
            self._models[model] = fresh
            return True

    def of(self, model: ModelId) -> tuple[Consumer, ...]:
        """Those of a model that have reported lately, in order of their names."""
        with self._lock:
            return tuple(sorted(self._fresh(model, self._clock.now()).values(), key=lambda one: one.name))

    def rollouts(self) -> dict[ModelId, Rollout]:
        """How far the revision that readers see has come, of each model that has consumers."""
        now, known = self._clock.now(), self._known()
        with self._lock:
            self._models = {model: fresh for model in self._models if (fresh := self._fresh(model, now))}
            return {
                model: rollout(consumers.values(), known[model].revision)
                for model, consumers in self._models.items()
                if model in known
            }

    def _fresh(self, model: ModelId, now: float) -> dict[str, Consumer]:
        since = now - self._bounds.expiry_seconds
        return {name: one for name, one in self._models.get(model, {}).items() if one.reported_at > since}
