"""Which model owns which name on the volume, where two could be taken for one."""

from __future__ import annotations

import threading
from collections.abc import Set as AbstractSet
from dataclasses import replace

from modelsync.core.names import ModelId, fold, parents
from modelsync.core.objects import Snapshot


class Namespace:
    """Remembers the models that are seen; the first of two that clash keeps the name.

    Thread-safe. `Alice` and `alice` are one directory on a volume that ignores case, and a model
    that is a file cannot have another one below it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owners: dict[str, ModelId] = {}
        self._above: dict[str, ModelId] = {}

    def claim(self, model: ModelId) -> ModelId | None:
        """Give the model its name, or return the one that is in its way."""
        folded = fold(model)
        if self._owners.get(folded) == model:
            return None
        ancestors = [fold(parent) for parent in parents(model)]
        with self._lock:
            rivals = [self._owners.get(folded), self._above.get(folded), *map(self._owners.get, ancestors)]
            rival = next((other for other in rivals if other is not None and other != model), None)
            if rival is None:
                self._owners[folded] = model
                self._above.update((ancestor, model) for ancestor in ancestors)
            return rival

    def judge(self, snapshot: Snapshot) -> Snapshot:
        """Claim the model's name; if another model has it, return the snapshot as refused."""
        rival = self.claim(snapshot.model)
        if rival is None:
            return snapshot
        reason = f"model {rival!r} has this name already, but for case, Unicode normalisation or a directory"
        return replace(snapshot, refused="; ".join(filter(None, [snapshot.refused, reason])))

    def keep_only(self, models: AbstractSet[ModelId]) -> None:
        """Free the names of all other models."""
        with self._lock:
            self._owners = {folded: owner for folded, owner in self._owners.items() if owner in models}
            self._above = {folded: owner for folded, owner in self._above.items() if owner in models}
