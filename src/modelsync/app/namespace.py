"""Which model owns which name on the volume, where two could be taken for one."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace

from modelsync.core.names import ModelId, fold, parents
from modelsync.core.objects import Snapshot


@dataclass
class _Names:
    owners: dict[str, ModelId] = field(default_factory=dict)
    above: dict[str, ModelId] = field(default_factory=dict)

    def claim(self, model: ModelId, *, published: bool) -> ModelId | None:
        """Give the model its name, or return the one that is in its way."""
        folded = fold(model)
        ancestors = [fold(parent) for parent in parents(model)]
        rivals = [self.owners.get(folded), self.above.get(folded), *map(self.owners.get, ancestors)]
        rival = next((other for other in rivals if other is not None and other != model), None)
        if rival is None or published:
            self.owners[folded] = model
            self.above.update((ancestor, model) for ancestor in ancestors)
            return None
        return rival


class Namespace:
    """Remembers the models that are seen; the first of two that clash keeps the name.

    Thread-safe. `Alice` and `alice` are one directory on a volume that ignores case, and a model
    that is a file cannot have another one below it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._names = _Names()

    def judge(self, snapshot: Snapshot, *, published: bool) -> Snapshot:
        """Claim the model's name; if another model has it, return the snapshot as refused.

        A published model has its name whoever came first.
        """
        with self._lock:
            rival = self._names.claim(snapshot.model, published=published)
        if rival is None:
            return snapshot
        reason = f"model {rival!r} has this name already, but for case, Unicode normalisation or a directory"
        return replace(snapshot, refused="; ".join(filter(None, [snapshot.refused, reason])))

    def renew(self, other: Namespace) -> None:
        """Take over the names of a complete look at the bucket: those of vanished models become free."""
        with self._lock:
            self._names = other._names
