"""The volume: what is published, and the one writer of each model."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from modelsync.core.manifest import (
    Current,
    Damage,
    Manifest,
    Published,
    Quarantine,
    Reconciled,
    Scrubbed,
)
from modelsync.core.names import ModelId, RelPath
from modelsync.core.objects import Revision
from modelsync.core.retention import Holding, Holdings
from modelsync.core.rollout import Consumer
from modelsync.core.verify import Entry
from modelsync.ports.staging import Held, Staging


@dataclass(frozen=True, slots=True)
class Space:
    """Size of a volume."""

    total_bytes: int
    free_bytes: int


class Volume(Protocol):
    """The shared volume: the only place where state is kept.

    Raises, from every method:
        VolumeFailed: the file system refused.
    """

    def check(self) -> None:
        """Try everything that the volume must be able to do.

        Raises:
            VolumeUnusable: it cannot, with a sentence on what to change.
            VolumeFailed: it cannot now: it is full, or its disk or server fails.
        """
        ...

    def readable(self) -> bool:
        """Whether models can be read. Never raises."""
        ...

    def space(self) -> Space:
        """How large the volume is, and how much of it is free for us."""
        ...

    def used_bytes(self) -> int:
        """What modelsync uses of the volume's disk; goes through all its files."""
        ...

    def models(self) -> Iterable[ModelId]:
        """All models that the volume knows."""
        ...

    def linked(self, model: ModelId) -> Revision | None:
        """The revision that the model's link points to, or None without a link of ours."""
        ...

    def published(self, model: ModelId) -> Published:
        """What the volume says of a model, known or not."""
        ...

    def glance(self, model: ModelId) -> Published:
        """The same by fewer calls: enough to find that a model is in step, not to find that it is not.

        Of the kept revisions it has only the one that readers see, of refusals none.
        """
        ...

    def records(self) -> Iterator[Current]:
        """The record of each model that has one, as it is right now."""
        ...

    def manifest(self, model: ModelId, revision: Revision) -> Manifest | None:
        """The manifest of a kept revision; None if it is not there or cannot be read."""
        ...

    def history(self, model: ModelId) -> Collection[Revision]:
        """Revisions whose manifests are kept, on the volume or not: those that the record names, some twenty."""
        ...

    def recall(self, model: ModelId, revision: Revision) -> Manifest | None:
        """A manifest of the history; None if it is not there or cannot be read."""
        ...

    def directory(self, model: ModelId, revision: Revision) -> str:
        """Where a kept revision's files are.

        Raises:
            VolumeFailed: it is not on the volume any more.
        """
        ...

    def entries(self, model: ModelId, revision: Revision) -> Sequence[Entry]:
        """Every name below a kept revision's files but directories; none if it is not there any more."""
        ...

    def read(self, model: ModelId, revision: Revision, path: RelPath, chunk_bytes: int) -> Iterator[memoryview]:
        """The bytes of a kept revision's file in order, without keeping more useful ones from the page cache.

        Raises:
            FileUnreadable: this file alone cannot be read.
        """
        ...

    def holdings(self, model: ModelId) -> Holdings:
        """What the volume has of a model. A lease that is seen counts as a use of its revision, for `weigh`.

        Looks at leases, and removals, wait for each other within a process: none takes another for a reader.
        """
        ...

    def weigh(self, held: Holding) -> Holding:
        """Fill in a directory's size and last use."""
        ...

    def consumers(self, model: ModelId) -> Sequence[Consumer]:
        """What consumers of a model reported, each the last time, however long ago."""
        ...

    def report(self, model: ModelId, consumer: Consumer, most: int) -> bool:
        """Put a consumer's report in place of its last one, atomically; needs no writer's lock.

        Args:
            model: what it uses.
            consumer: what it says.
            most: consumers that the model may have; replicas that count at the same moment may let in a few more.

        Returns:
            False if that many others are there.

        Raises:
            NotPossible: the volume has nothing of the model.
        """
        ...

    def forget_consumers(self, model: ModelId, gone: Iterable[Consumer]) -> None:
        """Remove reports; fine if they are not there."""
        ...

    def find(self, size_bytes: int, etag: str, sha256: str | None, tend: Callable[[], None]) -> Sequence[Held]:
        """Published files of any model that have this size, and this ETag or SHA-256; some may be gone.

        The first call reads all manifests.

        Args:
            size_bytes: of the file.
            etag: of the object.
            sha256: in hex, where it is known.
            tend: called every second or so; what it raises ends the search.
        """
        ...

    def writer(self, model: ModelId) -> AbstractContextManager[Writer]:
        """Become the model's only writer, over all processes and replicas.

        Raises:
            ModelBusy: somebody else is.
        """
        ...

    def reconciled(self) -> Reconciled | None:
        """The record of the last complete comparison."""
        ...

    def record_reconciled(self, found: Reconciled) -> None:
        """Put a complete comparison on record."""
        ...

    def scrubbing(self) -> AbstractContextManager[bool]:
        """Become the only one who scrubs, over all processes and replicas; tell whether that came true."""
        ...

    def scrubbed(self) -> Scrubbed | None:
        """How far the scrub has come."""
        ...

    def record_scrubbed(self, found: Scrubbed) -> None:
        """Put on record how far the scrub has come."""
        ...

    def sweep(self) -> None:
        """Remove temporary names that crashed workers left behind."""
        ...


class Writer(Protocol):
    """The right to change one model on the volume. Used by one thread at a time.

    Raises, from every method:
        VolumeFailed: the file system refused.
    """

    def mend(self) -> None:
        """Make the record say what the link says, after a crash between the two."""
        ...

    def stage(self, revision: Revision) -> Staging:
        """Start or resume a revision; bytes staged for another revision are taken over where they fit."""
        ...

    def publish(self, current: Current, manifest: Manifest) -> None:
        """Switch readers to a sealed revision, durably and at once, and put it on record and into the history.

        A crash leaves the old revision with the old record or, after `mend`, the new one with the new.

        Args:
            current: what the record will say.
            manifest: the sealed revision's.

        Raises:
            Rejected: rule `path-taken`; something that modelsync did not make is in the link's place.
        """
        ...

    def unpublish(self, current: Current) -> None:
        """Take the model's link away from readers, durably and at once, and put that on record; revisions stay.

        Args:
            current: what the record will say.
        """
        ...

    def set_aside(self, damage: Damage) -> None:
        """Put on record that a kept revision must not be used any more, durably; fine if it is not there.

        Nothing of it is moved or removed: readers may have its files open, or its path.
        """
        ...

    def protect(self, revision: Revision, path: RelPath) -> None:
        """Make a kept revision's file read-only again."""
        ...

    def remove(self, held: Holding) -> bool:
        """Remove a directory of a revision: renamed away first, durably, then deleted.

        Args:
            held: the directory, as `Volume.holdings` tells it.

        Returns:
            Whether it is gone. It is not if readers see it, lease it or, on NFS, have files of it open.
        """
        ...

    def forget(self) -> None:
        """Remove the records of a model that has left no revision; the one of what readers saw goes last."""
        ...

    def record(self, current: Current) -> None:
        """Write the record alone."""
        ...

    def quarantine(self, record: Quarantine) -> None:
        """Put a refusal on record, and remove the staged bytes, or keep them apart where that is asked for."""
        ...

    def pardon(self) -> None:
        """Forget all refusals, and the bytes that were kept of them."""
        ...

    def clear_staging(self) -> None:
        """Remove everything in staging."""
        ...
