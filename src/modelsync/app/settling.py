"""What holds a model without a commit file back, beside the quiet time: somebody is still at it."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from modelsync.core.facts import HealthChanged
from modelsync.core.health import Status
from modelsync.core.manifest import Published
from modelsync.core.names import ModelId, Naming
from modelsync.core.objects import Digest, Snapshot
from modelsync.core.plan import INCOMPLETE_RECHECK_SECONDS, Build, Wait
from modelsync.core.uploads import uploading
from modelsync.core.words import some
from modelsync.errors import NotOffered
from modelsync.ports import Clock, ObjectStore, Observer, Patiently, Volume

_NOT_OFFERED_SECONDS = 600.0


@dataclass(frozen=True)
class SettleOptions:
    """How long models without a commit file are waited for.

    Attributes:
        seconds: quiet time.
        upload_stale_seconds: a multipart upload older than this was abandoned.
    """

    seconds: float = 2.0
    upload_stale_seconds: float = 86400.0


class Settling:
    """Asked once the quiet time is over and a revision is about to be built. Thread-safe."""

    def __init__(
        self,
        *,
        store: ObjectStore,
        volume: Volume,
        naming: Naming,
        clock: Clock,
        observe: Observer,
        options: SettleOptions,
    ) -> None:
        self._store = store
        self._volume = volume
        self._naming = naming
        self._clock = clock
        self._observe = observe
        self._options = options
        self._lock = threading.Lock()
        self._ask_after = float("-inf")
        self._shrunk: dict[ModelId, tuple[Digest, float]] = {}

    def forget(self, model: ModelId, listing: Digest | None = None) -> None:
        """Nothing is to be built of a model; `listing`: unless it is of this one."""
        with self._lock:
            if self._shrunk.get(model, (listing,))[0] != listing:
                del self._shrunk[model]

    def hold(
        self, build: Build, snapshot: Snapshot, on_volume: Published, patiently: Patiently, *, s3_now: float
    ) -> Wait | None:
        """Say why the revision must not be built yet, or None if it may.

        Raises:
            StoreUnavailable: S3 failed.
            VolumeFailed: the manifest of what readers see cannot be read.
        """
        return self._shrinking(build, snapshot, on_volume) or self._uploading(snapshot.model, patiently, s3_now)

    def _shrinking(self, build: Build, snapshot: Snapshot, on_volume: Published) -> Wait | None:
        """A model that lost files may be about to lose them all: no object is young to tell of it."""
        manifest = on_volume.linked and self._volume.manifest(snapshot.model, on_volume.linked)
        lost = {file.path for file in manifest.files} - {file.path for file in build.files} if manifest else set()
        if not lost:
            return None
        now = self._clock.monotonic()
        with self._lock:
            digest, since = self._shrunk.get(snapshot.model, (None, now))
            if digest != snapshot.digest:
                since = now
                self._shrunk[snapshot.model] = (snapshot.digest, now)
        left = self._options.seconds - (now - since)
        return Wait(f"{some(lost)} left the bucket: settling", left) if left > 0 else None

    def _uploading(self, model: ModelId, patiently: Patiently, s3_now: float) -> Wait | None:
        if self._clock.monotonic() < self._ask_after:
            return None
        try:
            reason = uploading(
                self._store.uploads(self._naming.list_prefix(model), patiently),
                model,
                self._naming,
                s3_now=s3_now,
                stale_seconds=self._options.upload_stale_seconds,
            )
        except NotOffered as error:
            self._ask_after = self._clock.monotonic() + _NOT_OFFERED_SECONDS
            advice = (
                f"{error}: models without a commit file are published after SETTLE_SECONDS alone, even while a file of"
                " theirs is uploaded; allow s3:ListBucketMultipartUploads, or upload commit files"
            )
            self._observe(HealthChanged("uploads", Status.HEALTHY, advice))
            return None
        if self._ask_after > float("-inf"):
            self._ask_after = float("-inf")
            self._observe(HealthChanged("uploads", Status.HEALTHY, "uploads in progress are seen"))
        return None if reason is None else Wait(reason, INCOMPLETE_RECHECK_SECONDS)
