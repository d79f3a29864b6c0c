"""What others publish on the same volume: other replicas, and commands."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from modelsync.core.facts import Fact, ModelAbsent, ModelKnown, PublicationSeen, Published, ReconcileFinished
from modelsync.core.names import ModelId
from modelsync.core.objects import Revision
from modelsync.ports import Observer


@dataclass(frozen=True, slots=True)
class _Seen:
    revision: Revision
    published_at: float


class Sightings:
    """Implements `ports.Observer`: holds what comparisons find against what this process did. Thread-safe.

    What the first comparison finds was there before.
    """

    wants_frequent = False

    def __init__(self, observe: Observer) -> None:
        """Make it; `observe` is told of publications by others."""
        self._observe = observe
        self._lock = threading.Lock()
        self._models: dict[ModelId, _Seen] = {}
        self._compared = False

    def __call__(self, fact: Fact, /) -> None:
        """Take a fact."""
        match fact:
            case Published(model=model, revision=revision, published_at=published_at):
                with self._lock:
                    self._models[model] = _Seen(revision, published_at)
            case ModelKnown():
                self._see(fact)
            case ModelAbsent(model):
                with self._lock:
                    self._models.pop(model, None)
            case ReconcileFinished():
                self._compared = True
            case _:
                pass

    def _see(self, known: ModelKnown) -> None:
        with self._lock:
            before = self._models.get(known.model)
            # A comparison may have read the record before this process wrote another one.
            if before is not None and known.published_at <= before.published_at:
                return
            self._models[known.model] = _Seen(known.revision, known.published_at)
        if before is not None or self._compared:
            self._observe(
                PublicationSeen(
                    known.model,
                    known.revision,
                    before.revision if before else None,
                    known.published_at,
                    pinned=known.pinned,
                    rolled_back=known.rolled_back,
                )
            )
