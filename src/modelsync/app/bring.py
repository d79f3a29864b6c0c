"""All files of a revision into staging: from the volume where it has their bytes, else from S3."""

from __future__ import annotations

from dataclasses import replace

from modelsync.app.fetch import Fetcher
from modelsync.app.mismatch import twice
from modelsync.app.progress import SyncContext
from modelsync.app.reuse import Reuser
from modelsync.app.space import SpaceLedger
from modelsync.core.manifest import FileRecord
from modelsync.core.names import RelPath
from modelsync.core.plan import Build
from modelsync.core.space import SpaceRules
from modelsync.ports import ObjectStore, Staging, Volume


class Bringer:
    """Thread-safe. Keeps to the process's bounds of space and requests."""

    def __init__(self, store: ObjectStore, volume: Volume, fetcher: Fetcher, rules: SpaceRules) -> None:
        self._store = store
        self._fetcher = fetcher
        self._reuser = Reuser(volume, store)
        self._space = SpaceLedger(volume, rules)

    def __call__(self, build: Build, staging: Staging, context: SyncContext) -> tuple[FileRecord, ...]:
        """Bring them; return a record for each.

        What takes no space comes first: the rest must fit on the volume, whether it is copied or fetched.

        Raises:
            NoRoom: it does not.
            ModelSyncError: as `Fetcher.fetch` says.
        """
        staging.reduce([file.path for file in build.files])
        with context.stage("reuse"):
            shared = self._reuser.share(build, staging, context)
        needed = {
            file.path: max(file.object.size_bytes - staging.staged_bytes(file.path), 0)
            for file in build.files
            if file.path not in shared.records
        }
        with self._space.reserve(needed) as reservation:
            with context.stage("reuse"):
                arrived = self._reuser.copy(build, shared, staging, context, reservation)
            missing = replace(build, files=tuple(file for file in build.files if file.path not in arrived))
            with context.stage("fetch"):
                if missing.files:
                    fetched: dict[RelPath, FileRecord] = {}
                    fetch = self._fetcher.fetch
                    twice(self._store, lambda: fetch(missing, staging, context, reservation, fetched))
                    arrived |= fetched
        return tuple(arrived[file.path] for file in build.files)
