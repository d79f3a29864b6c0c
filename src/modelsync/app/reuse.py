"""Files of a new revision whose bytes are on the volume already."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from modelsync.app.progress import SyncContext
from modelsync.app.space import Reservation
from modelsync.app.verify import Verifier
from modelsync.core.damage import Kind
from modelsync.core.facts import BytesReused, ReuseRefused
from modelsync.core.manifest import FileRecord
from modelsync.core.names import ModelId, RelPath
from modelsync.core.plan import Build, PlannedFile
from modelsync.core.reuse import may_hard_link, same_bytes
from modelsync.ports import Held, Staging, Volume


@dataclass(frozen=True)
class Reused:
    """What the volume has of a revision.

    Attributes:
        records: of the files that were adopted without taking space.
        copies: by the paths of others, what they can be copied from.
    """

    records: dict[RelPath, FileRecord] = field(default_factory=dict)
    copies: dict[RelPath, Held] = field(default_factory=dict)


class Reuser:
    """Finds them, over all models, and gives them to the revision in staging."""

    def __init__(self, volume: Volume) -> None:
        self._volume = volume
        self._verifier = Verifier(volume)

    def share(self, build: Build, staging: Staging, context: SyncContext) -> Reused:
        """Adopt what takes no space, and tell what could be copied.

        A file is read first and held against its record: what rotted on the disk, or was changed by
        hand, must not get into another revision, least of all by a link that shares its blocks.

        Raises:
            VolumeFailed: the file system refused.
            Stopped: the work is parked.
        """
        paths = [file.path for file in build.files]
        found = Reused()
        for planned in build.files:
            context.tend()
            held = next(
                (held for held in self._holders(planned, build, context) if self._is_whole(held, context)), None
            )
            if held is None:
                continue
            how = staging.share(planned.path, held, link=may_hard_link(planned.path, paths))
            if how is None:
                found.copies[planned.path] = held
            else:
                found.records[planned.path] = self._adopted(planned, held, how, context)
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
            held = found.copies.get(planned.path)
            if held is not None and staging.copy(planned.path, held):
                reservation.allocated(planned.path)
                adopted[planned.path] = self._adopted(planned, held, "copy", context)
        return adopted

    @staticmethod
    def _adopted(planned: PlannedFile, held: Held, how: str, context: SyncContext) -> FileRecord:
        context.observe(BytesReused(context.model, context.sync_id, planned.path, held.record.size_bytes, how))
        return replace(held.record, path=planned.path, version_id=_version(planned, held, context.model))

    def _is_whole(self, held: Held, context: SyncContext) -> bool:
        def check(_count: int) -> None:
            context.beat()
            context.check()

        finding = self._verifier.file(held.model, held.revision, held.record, check)
        if finding is not None and finding.kind is not Kind.UNREADABLE:  # what is gone was removed, most of the time
            context.observe(ReuseRefused(held.model, held.revision, context.sync_id, finding))
        return finding is None

    def _holders(self, planned: PlannedFile, build: Build, context: SyncContext) -> list[Held]:
        """Those with the same bytes, the latest first."""
        found = self._volume.find(planned.object.size_bytes, planned.object.etag)
        return [
            held
            for held in reversed(found)
            if (held.model, held.revision) != (context.model, build.revision)
            and same_bytes(planned, held.record, same_model=held.model == context.model)
        ]


def _version(planned: PlannedFile, held: Held, model: ModelId) -> str | None:
    """A version of the object that has these bytes: listings tell none, the record of an earlier fetch may."""
    same_object = (held.model, held.record.path) == (model, planned.path)
    return planned.object.version_id or (held.record.version_id if same_object else None)
