"""A revision that is not on the volume any more, fetched again by the versions on record."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from modelsync.app.progress import SyncContext
from modelsync.core.manifest import FileRecord, Manifest
from modelsync.core.names import Naming
from modelsync.core.plan import Build
from modelsync.core.rollback import Impossible, altered, rebuild
from modelsync.errors import NotPossible, ObjectChanged, Rejected, StoreDenied, VerificationFailed
from modelsync.ports import Clock, Observer, Staging, Writer

Bring = Callable[[Build, Staging, SyncContext], Sequence[FileRecord]]
"""As `ModelSync.bring`: it reuses what the volume has, and keeps to the process's bounds of space and requests."""


class Refetcher:
    """Brings remembered revisions back; they are proven as in any sync, and to be the bytes that were published."""

    def __init__(self, *, bring: Bring, naming: Naming, source: str, clock: Clock, observe: Observer) -> None:
        """Make it; `source`: the bucket and prefix, as manifests name them."""
        self._bring = bring
        self._naming = naming
        self._source = source
        self._clock = clock
        self._observe = observe

    def __call__(self, manifest: Manifest, writer: Writer, sync_id: str, stop: threading.Event) -> None:
        """Fetch and seal a revision, under its old manifest.

        Raises:
            NotPossible: S3 does not have it any more, or does not give it.
            StoreUnavailable, VolumeFailed: try again; what was fetched stays in staging.
            Stopped: `stop` was set.
        """
        away = f"revision {manifest.revision} is not on the volume any more and cannot be fetched again"
        build = rebuild(manifest, self._naming, source=self._source)
        if isinstance(build, Impossible):
            raise NotPossible(f"{away}: {build.reason}")
        context = SyncContext(manifest.model, sync_id, self._clock, self._observe, stop, lambda: None)
        staging = writer.stage(build.revision)
        try:
            fetched = self._bring(build, staging, context)
        except ObjectChanged as error:
            writer.clear_staging()
            kept = "the bucket keeps no versions, or this one was deleted"
            raise NotPossible(f"{away}: {kept} ({error})") from error
        except StoreDenied as error:
            raise NotPossible(f"{away}: old versions need s3:GetObjectVersion ({error})") from error
        except (Rejected, VerificationFailed) as error:
            writer.clear_staging()
            raise NotPossible(f"{away}: {error}") from error
        if (wrong := altered(manifest, fetched)) is not None:
            writer.clear_staging()
            raise NotPossible(f"{away}: {wrong}")
        staging.seal(manifest)
