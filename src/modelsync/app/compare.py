"""The full comparison of bucket and volume: what events missed is found here.

One streamed listing; no request per model.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet

from modelsync.app.namespace import Namespace
from modelsync.app.progress import Beat
from modelsync.core.facts import KeyRefused, ModelAbsent, ModelKnown, RefusalKnown
from modelsync.core.manifest import Reconciled
from modelsync.core.names import ModelId, Naming, Refused
from modelsync.core.objects import RemoteObject, gather, gather_all
from modelsync.core.plan import in_step
from modelsync.errors import Stopped
from modelsync.ports import Clock, ObjectStore, Observer, Volume


class Comparison:
    """Finds the models that need a look."""

    def __init__(
        self,
        *,
        store: ObjectStore,
        volume: Volume,
        namespace: Namespace,
        naming: Naming,
        clock: Clock,
        observe: Observer,
    ) -> None:
        self._store = store
        self._volume = volume
        self._namespace = namespace
        self._naming = naming
        self._clock = clock
        self._observe = observe
        self._seeded = False

    def _seed(self, known: AbstractSet[ModelId]) -> None:
        """Models that are published have their names, whatever order the bucket lists them in."""
        if not self._seeded:
            for model in sorted(known):
                if self._volume.linked(model) is not None:
                    self._namespace.claim(model)
            self._seeded = True

    def run(self, mark: Callable[[ModelId], None], stop: threading.Event, beat: Beat) -> Reconciled:
        """List the whole bucket and mark each model that is not in step.

        Raises:
            StoreUnavailable, StoreDenied, BucketMissing: the listing is not complete: conclude nothing.
            VolumeFailed: the volume cannot be read.
            Stopped: the service ends.
        """
        known = set(self._volume.models())
        self._seed(known)
        seen: set[ModelId] = set()
        objects = changed = refused = 0
        for item in gather_all(self._store.scan(self._naming.prefix), self._naming):
            beat()
            if stop.is_set():
                raise Stopped("shutting down")
            if isinstance(item, Refused):
                refused += 1
                self._observe(KeyRefused(item.reason))
                continue
            model, group = item
            objects += len(group)
            if self._differs(model, group, seen):
                changed += 1
                mark(model)
        self._namespace.keep_only(seen | known)
        for model in known - seen:
            self._observe(ModelAbsent(model))
        return Reconciled(
            finished_at=self._clock.now(),
            models=len(seen),
            objects=objects,
            changed=changed,
            absent=len(known - seen),
            refused=refused,
        )

    def _differs(self, model: ModelId, group: Iterable[RemoteObject], seen: set[ModelId]) -> bool:
        snapshot = gather(model, group, self._naming)
        if snapshot is None:
            return False
        if model in seen:
            return True  # parted in the listing: its own sync lists it whole
        seen.add(model)
        published = self._volume.published(model)
        listing = self._namespace.judge(snapshot).digest
        if (current := published.current) is not None:
            pinned = current.pin is not None
            settled = pinned or (in_step(listing, published) and current.listing == listing)
            self._observe(ModelKnown(model, current.revision, current.published_at, settled))
            if pinned:
                return False
        if not in_step(listing, published):
            return True
        for record in published.quarantined:
            if record.listing == listing:
                self._observe(RefusalKnown(model, record.reason))
        return False
