"""Files of a new revision whose bytes are on the volume already."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace

from modelsync.app.progress import SyncContext
from modelsync.app.space import Reservation
from modelsync.app.verify import Verifier
from modelsync.core.damage import Kind
from modelsync.core.facts import BytesReused, ReuseRefused
from modelsync.core.manifest import FileRecord
from modelsync.core.names import ModelId, RelPath
from modelsync.core.plan import Build, PlannedFile
from modelsync.core.proof import ObjectDetails
from modelsync.core.reuse import hard_links, same_bytes, vouched_for
from modelsync.errors import TryAgain
from modelsync.ports import Held, ObjectStore, Staging, Volume


@dataclass(frozen=True)
class Reused:
    """What the volume has of a revision.

    Attributes:
        records: of the files that were adopted without taking space.
        copies: by the paths of others, what they can be copied from, and their records then.
    """

    records: dict[RelPath, FileRecord] = field(default_factory=dict)
    copies: dict[RelPath, tuple[Held, FileRecord]] = field(default_factory=dict)


class Reuser:
    """Finds them, over all models, and gives them to the revision in staging."""

    def __init__(self, volume: Volume, store: ObjectStore) -> None:
        self._volume = volume
        self._store = store
        self._verifier = Verifier(volume)

    def share(self, build: Build, staging: Staging, context: SyncContext) -> Reused:
        """Adopt what takes no space, and tell what could be copied.

        A file is read first and held against its record: what rotted on the disk, or was changed by
        hand, must not get into another revision, least of all by a link that shares its blocks.

        Raises:
            ObjectChanged: plan again.
            VolumeFailed: the file system refused.
            Stopped: the work is parked.
        """
        may_link = hard_links(file.path for file in build.files)
        found = Reused()
        for planned in build.files:
            context.tend()
            for held, record in self._holders(planned, build, context):
                if not self._is_whole(held, context):
                    continue
                link = held.linkable and may_link(planned.path)
                how = staging.share(planned.path, held, link=link)
                if how is None:
                    found.copies[planned.path] = held, record
                else:
                    found.records[planned.path] = _told(record, how, context)
                break
        return found

    def copy(
        self, build: Build, found: Reused, staging: Staging, context: SyncContext, reservation: Reservation
    ) -> dict[RelPath, FileRecord]:
        """Copy what can be copied; return a record for each adopted file, by its path.

        It has the proof that was made when the bytes arrived.

        Raises:
            VolumeFailed: the file system refused.
            Stopped: the work is parked.
        """
        adopted = dict(found.records)
        for planned in build.files:
            context.tend()
            held, record = found.copies.get(planned.path, (None, None))
            if held is not None and record is not None and staging.copy(planned.path, held):
                reservation.allocated(planned.path)
                adopted[planned.path] = _told(record, "copy", context)
        return adopted

    def _is_whole(self, held: Held, context: SyncContext) -> bool:
        finding = self._verifier.file(held.model, held.revision, held.record, lambda _count: context.tend())
        if finding is not None and finding.kind is not Kind.UNREADABLE:  # what is gone was removed, most of the time
            context.observe(ReuseRefused(held.model, held.revision, context.sync_id, finding))
        return finding is None

    def _holders(self, planned: PlannedFile, build: Build, context: SyncContext) -> Iterator[tuple[Held, FileRecord]]:
        """Those with the same bytes, the latest first, and what the file's record will be."""
        remote = planned.object
        found = self._volume.find(remote.size_bytes, remote.etag, planned.sha256, context.tend)
        if not found:
            return
        others = [held for held in reversed(found) if (held.model, held.revision) != (context.model, build.revision)]
        alike = [held for held in others if same_bytes(planned, held.record, same_model=held.model == context.model)]
        for held in alike:
            yield held, replace(held.record, path=planned.path, version_id=_version(planned, held, context.model))
        wanted = [held for held in others if held not in alike and held.record.sha256 == planned.sha256 is not None]
        details = self._ask(planned) if wanted else None
        for held in wanted:
            if details is not None and vouched_for(planned, details, held.record):
                version = details.version_id or remote.version_id
                yield held, replace(held.record, path=planned.path, etag=remote.etag, version_id=version)

    def _ask(self, planned: PlannedFile) -> ObjectDetails | None:
        with suppress(TryAgain):  # it is fetched then, as patiently as any
            return self._store.head(planned.object)
        return None


def _told(record: FileRecord, how: str, context: SyncContext) -> FileRecord:
    context.observe(BytesReused(context.model, context.sync_id, record.path, record.size_bytes, how))
    return record


def _version(planned: PlannedFile, held: Held, model: ModelId) -> str | None:
    """A version of the object that has these bytes: listings tell none, the record of an earlier fetch may."""
    same_object = (held.model, held.record.path) == (model, planned.path)
    return planned.object.version_id or (held.record.version_id if same_object else None)
