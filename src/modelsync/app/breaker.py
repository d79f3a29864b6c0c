"""The breaker that all withdrawals pass, over what the whole volume says."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from modelsync.core.deletions import DeletionRules, Review, review
from modelsync.core.facts import DeletionsReviewed, HealthChanged
from modelsync.core.health import Status
from modelsync.core.manifest import Current
from modelsync.core.names import ModelId
from modelsync.ports import Clock, Observer, Volume

_FRESH_SECONDS = 5.0
"""Many models that are due together need not each read all records."""


class Breaker:
    """Judges all models that left the bucket together. Thread-safe.

    The volume is the state: a model is withdrawn only on records that were read after its
    tombstone was written, so tombstones of other replicas count too. Since each of them writes
    before it reads, no two can miss each other's.
    """

    def __init__(self, volume: Volume, clock: Clock, observe: Observer, rules: DeletionRules) -> None:
        self._volume = volume
        self._clock = clock
        self._observe = observe
        self._rules = rules
        self._lock = threading.Lock()
        self._records: dict[ModelId, Current] | None = None
        self._counted: set[ModelId] = set()  # with a tombstone that was there when the records were read
        self._read_at = 0.0
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
            self._counted = set()
            self._bucket_empty = bucket_empty
            return self._judge(self._records, now)

    def note(self, current: Current, now: float) -> None:
        """Judge anew after the record of one model changed.

        Raises:
            VolumeFailed: the records cannot be read.
        """
        with self._lock:
            records = self._read() if self._records is None else self._records
            records[current.model] = current
            self._counted.discard(current.model)
            if current.gone_since is None:
                self._bucket_empty = False
            self._judge(records, now)

    def refusal(self, model: ModelId, now: float) -> str | None:
        """Why a model with a tombstone may not be withdrawn now, or None.

        Raises:
            VolumeFailed: the records cannot be read.
        """
        with self._lock:
            fresh = self._clock.monotonic() - self._read_at < _FRESH_SECONDS
            if self._records and fresh and model in self._counted and self._judge(self._records, now).held is None:
                return None
            return self._judge(self._read(), now).held

    def _read(self) -> dict[ModelId, Current]:
        self._read_at = self._clock.monotonic()
        self._records = {current.model: current for current in self._volume.records()}
        self._counted = {model for model, current in self._records.items() if current.gone_since is not None}
        return self._records

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
