"""The breaker that all withdrawals pass, over what the whole volume says."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from modelsync.core.deletions import DeletionRules, Review, review
from modelsync.core.facts import DeletionsReviewed, HealthChanged
from modelsync.core.health import Status
from modelsync.core.manifest import Current
from modelsync.core.names import ModelId
from modelsync.ports import Observer, Volume


class Breaker:
    """Judges all models that left the bucket together. Thread-safe.

    The volume is the state: before a model is withdrawn, all records are read anew, so that
    tombstones of other replicas count too. Since each worker writes its tombstone before it
    reads, no two of them can miss each other's.
    """

    def __init__(self, volume: Volume, observe: Observer, rules: DeletionRules) -> None:
        self._volume = volume
        self._observe = observe
        self._rules = rules
        self._lock = threading.Lock()
        self._records: dict[ModelId, Current] | None = None
        self._bucket_empty = False
        self._missing: int | None = None

    def survey(self, records: Mapping[ModelId, Current], *, bucket_empty: bool, now: float) -> Review:
        """Judge after a complete comparison.

        Args:
            records: of all models on the volume; one that left has a tombstone here, though it may not be written
                yet: all that one comparison finds count together.
            bucket_empty: the bucket has no model.
            now: seconds since the epoch.
        """
        with self._lock:
            self._records = dict(records)
            self._bucket_empty = bucket_empty
            return self._judge(self._records, now)

    def note(self, current: Current, now: float) -> None:
        """Judge anew after the record of one model changed.

        Raises:
            VolumeFailed: the records cannot be read.
        """
        with self._lock:
            if self._records is None:
                self._records = self._read()
            self._records[current.model] = current
            if current.gone_since is None:
                self._bucket_empty = False
            self._judge(self._records, now)

    def refusal(self, now: float) -> str | None:
        """Why no model may be withdrawn now, or None.

        Raises:
            VolumeFailed: the records cannot be read.
        """
        with self._lock:
            self._records = self._read()
            return self._judge(self._records, now).held

    def _read(self) -> dict[ModelId, Current]:
        return {current.model: current for current in self._volume.records()}

    def _judge(self, records: Mapping[ModelId, Current], now: float) -> Review:
        if self._missing is None:
            before = self._volume.reconciled()
            self._missing = before.missing if before else 0
        found = review(
            records.values(), now=now, rules=self._rules, missing=self._missing, bucket_empty=self._bucket_empty
        )
        self._missing = found.missing
        self._observe(DeletionsReviewed(found.gone, held=found.held is not None))
        status = Status.HEALTHY if found.held is None else Status.DEGRADED
        self._observe(HealthChanged("deletions", status, found.summary))
        return found
