"""The full comparison of bucket and volume: what events missed is found here.

One streamed listing; no request per model.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import replace

from modelsync.app.breaker import Breaker
from modelsync.app.namespace import Namespace
from modelsync.app.patience import LOOKS, Patience, Retries
from modelsync.app.progress import Beat
from modelsync.app.vetting import RulesInForce, no_rules
from modelsync.core.deletions import DeletionRules, depart, lapsed
from modelsync.core.facts import KeyRefused, ModelAbsent, ModelGone, ModelKnown, RefusalKnown
from modelsync.core.manifest import Current, Reconciled
from modelsync.core.names import ModelId, Naming, Refused
from modelsync.core.objects import Gathered, gather_all
from modelsync.core.plan import Gone, InForce, Leave, Noop, Unpublish, in_step
from modelsync.errors import Stopped
from modelsync.ports import Clock, ObjectStore, Observer, Volume

Mark = Callable[[ModelId, float], None]
Departure = Noop | Leave | Unpublish


class Comparison:
    """Finds the models that need a look."""

    def __init__(
        self,
        *,
        store: ObjectStore,
        volume: Volume,
        namespace: Namespace,
        naming: Naming,
        breaker: Breaker,
        rules: DeletionRules,
        clock: Clock,
        observe: Observer,
        in_force: RulesInForce = no_rules,
        patience: Patience = LOOKS,
    ) -> None:
        self._store = store
        self._volume = volume
        self._namespace = namespace
        self._naming = naming
        self._breaker = breaker
        self._rules = rules
        self._clock = clock
        self._observe = observe
        self._in_force = in_force
        self._patience = patience
        self._seeded = False

    def _seed(self, known: AbstractSet[ModelId]) -> None:
        """Models that are published have their names, whatever order the bucket lists them in."""
        if not self._seeded:
            for model in sorted(known):
                if self._volume.linked(model) is not None:
                    self._namespace.claim(model)
            self._seeded = True

    def run(self, mark: Mark, stop: threading.Event, beat: Beat) -> Reconciled:
        """List the whole bucket and mark each model that is not in step, or left.

        Args:
            mark: takes each model that needs a look, and the seconds until it does.
            stop: ends the comparison.
            beat: called all along.

        Raises:
            StoreUnavailable, StoreDenied, BucketMissing: the listing is not complete: conclude nothing.
            VolumeFailed: the volume cannot be read.
            Stopped: the service ends.
        """
        known = set(self._volume.models())
        self._seed(known)
        records: dict[ModelId, Current] = {}
        seen: set[ModelId] = set()
        objects = changed = refused = 0
        rules = self._in_force()

        def check() -> None:
            beat()
            if stop.is_set():
                raise Stopped("shutting down")

        retries = Retries(self._patience, self._clock, self._observe, None, "comparison", "the listing", stop, check)
        for item in gather_all(self._store.scan(self._naming.prefix, retries), self._naming):
            check()
            if isinstance(item, Refused):
                refused += 1
                self._observe(KeyRefused(item.reason))
                continue
            objects += item.objects
            if self._differs(item, seen, records, rules):
                changed += 1
                mark(item.model, 0.0)
        departures, leaving = self._departures(known - seen, records, rules, beat)
        found = self._breaker.survey(records, bucket_empty=not seen, now=self._clock.now())
        for model in leaving if seen else ():
            mark(model, 0.0)
        for model, departure in departures.items():
            if seen:
                self._see_off(model, departure, found.held, mark)
            elif not isinstance(departure, Noop):
                self._observe(ModelGone(model, departure.since, found.summary))
        self._namespace.keep_only(seen | {model for model in known - seen if self._volume.linked(model) is not None})
        return Reconciled(
            finished_at=self._clock.now(),
            models=len(seen),
            objects=objects,
            changed=changed,
            absent=len(departures),
            refused=refused,
            missing=found.missing,
        )

    def _differs(self, found: Gathered, seen: set[ModelId], records: dict[ModelId, Current], rules: InForce) -> bool:
        model, snapshot = found.model, found.snapshot
        if snapshot is None:
            return False
        if model in seen:
            return True  # parted in the listing: its own sync lists it whole
        seen.add(model)
        listing = self._namespace.judge(snapshot).digest
        published = self._volume.glance(model)
        step = in_step(listing, published, rules)
        if not step:
            published = self._volume.published(model)
            step = in_step(listing, published, rules)
        if (current := published.current) is not None:
            records[model] = current if current.gone_since is None else replace(current, gone_since=None)
            damage = str(published.damage[0]) if published.damage else None
            pinned = current.pin is not None and published.consistent
            settled = pinned or (step and current.listing == listing)
            self._known(current, rules, damage, settled=settled)
            if pinned and not published.leftover:
                return False
        if not step:
            return True
        for record in published.quarantined:
            if record.listing == listing:
                self._observe(RefusalKnown(model, record.reason))
        return False

    def _known(self, current: Current, rules: InForce, damage: str | None = None, *, settled: bool = False) -> None:
        if current.unpublished_at is None:
            pinned = current.pin is not None
            self._observe(
                ModelKnown(
                    current.model,
                    current.revision,
                    current.published_at,
                    damage,
                    settled,
                    pinned=pinned,
                    unsigned=current.unsigned if rules.signers else None,
                    rolled_back=current.rolled_back,
                )
            )

    def _departures(
        self, absent: AbstractSet[ModelId], records: dict[ModelId, Current], rules: InForce, beat: Beat
    ) -> tuple[dict[ModelId, Departure], list[ModelId]]:
        """What becomes of the models that readers see and the listing does not have; and which leave what is no use.

        In `records` they count as gone from now on, before their tombstones are written.
        """
        departures: dict[ModelId, Departure] = {}
        leaving: list[ModelId] = []
        now = self._clock.now()
        for model in sorted(absent):
            beat()
            published = self._volume.published(model)
            departure = depart(published, now=now, rules=self._rules)
            if lapsed(published):
                leaving.append(model)
            if published.current is not None:
                self._known(published.current, rules)
                records[model] = published.current
            if isinstance(departure, Gone):
                self._observe(ModelAbsent(model))
            elif self._naming.covers(model):
                departures[model] = departure
                if isinstance(departure, Leave) and published.current is not None:
                    records[model] = replace(published.current, gone_since=departure.since)
        return departures, leaving

    def _see_off(self, model: ModelId, departure: Departure, held: str | None, mark: Mark) -> None:
        """Mark a model for its tombstone or its withdrawal; one that is held back is only told of."""
        match departure:
            case Leave(known=False):
                mark(model, 0.0)
            case Leave(since=since, reason=reason, seconds=seconds):
                self._observe(ModelGone(model, since, held or reason))
                if seconds is not None:
                    mark(model, seconds)
            case Unpublish(since=since, visible=True) if held is not None:
                self._observe(ModelGone(model, since, held))
            case Unpublish():
                mark(model, 0.0)
            case Noop():
                pass  # pinned
