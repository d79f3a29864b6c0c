"""What applications say that they run. It is kept on the volume, where every replica finds it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from modelsync.app.progress import Beat
from modelsync.core.names import ModelId
from modelsync.core.objects import Revision
from modelsync.core.rollout import Consumer, Rollout, fresh, rollout
from modelsync.core.status import ModelStatus
from modelsync.errors import VolumeFailed
from modelsync.ports import Clock, Volume

_LEAST_PAUSE_SECONDS = 15.0
_SHARE = 200
"""Reading everything takes at most one part in so many of the time."""
_BEAT_SECONDS = 1.0


_NEVER = Consumer("", Revision(""), float("-inf"))


@dataclass(frozen=True)
class ConsumerBounds:
    """`kept`: consumers of one model; `expiry_seconds`: one that has not reported for so long does not count."""

    kept: int = 1000
    expiry_seconds: float = 900.0


class Consumers:
    """Thread-safe. What is counted for metrics is in memory, and as old as the last `refresh`."""

    def __init__(
        self,
        volume: Volume,
        clock: Clock,
        known: Callable[[], Mapping[ModelId, ModelStatus]],
        bounds: ConsumerBounds | None = None,
    ) -> None:
        """Make it; `known` tells what readers see of each model."""
        self._volume = volume
        self._clock = clock
        self._known = known
        self._bounds = bounds or ConsumerBounds()
        self._lock = threading.Lock()
        self._models: dict[ModelId, dict[str, Consumer]] = {}

    def report(self, model: ModelId, name: str, revision: Revision) -> bool:
        """Take what a consumer says; return False if the model has too many.

        Raises:
            NotPossible: the volume has nothing of the model.
            VolumeFailed: the file system refused.
        """
        consumer = Consumer(name, revision, self._clock.now())
        if not self._volume.report(model, consumer, self._bounds.kept):
            self._refresh(model)  # those that are out of date make room
            if not self._volume.report(model, consumer, self._bounds.kept):
                return False
        with self._lock:
            self._models.setdefault(model, {})[name] = consumer
        return True

    def of(self, model: ModelId) -> tuple[Consumer, ...]:
        """Those of a model that have reported lately, to any replica, in order of their names.

        Raises:
            VolumeFailed: the volume cannot be read.
        """
        return tuple(self._fresh(self._volume.consumers(model)))

    def rollouts(self) -> dict[ModelId, Rollout]:
        """How far the revision that readers see has come, of each model that has consumers."""
        known = self._known()
        with self._lock:
            counted = {model: self._fresh(consumers.values()) for model, consumers in self._models.items()}
        return {
            model: rollout(consumers, known[model].revision)
            for model, consumers in counted.items()
            if consumers and model in known
        }

    def refresh(self, beat: Beat) -> None:
        """Take in what other replicas were told, and remove what is out of date.

        Raises:
            VolumeFailed: the volume failed.
        """
        models = list(self._volume.models())
        for model in models:
            beat()
            self._refresh(model)
        with self._lock:
            for model in self._models.keys() - models:
                del self._models[model]

    def run(self, stop: threading.Event, beat: Beat) -> None:
        """Refresh until `stop`."""
        while not stop.is_set():
            began = self._clock.monotonic()
            with suppress(VolumeFailed):  # whoever looks after the volume tells of that
                self.refresh(beat)
            now = self._clock.monotonic()
            until = now + max(_LEAST_PAUSE_SECONDS, (now - began) * _SHARE)
            while (left := until - self._clock.monotonic()) > 0:
                beat()
                if self._clock.wait(stop, min(left, _BEAT_SECONDS)):
                    return

    def _refresh(self, model: ModelId) -> None:
        began = self._clock.now()
        found = self._volume.consumers(model)
        kept = {one.name: one for one in self._fresh(found)}
        if gone := [one for one in found if one.name not in kept]:
            self._volume.forget_consumers(model, gone)
        with self._lock:
            for one in self._models.pop(model, {}).values():
                # What was reported here meanwhile may be newer than what was read.
                if one.reported_at >= began and one.reported_at > kept.get(one.name, _NEVER).reported_at:
                    kept[one.name] = one
            if kept:
                self._models[model] = kept

    def _fresh(self, consumers: Iterable[Consumer]) -> list[Consumer]:
        return fresh(consumers, now=self._clock.now(), expiry_seconds=self._bounds.expiry_seconds)
