"""Published files read once more and held against their manifests. Changes nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass

from modelsync.app.bandwidth import Bandwidth
from modelsync.app.checksums import crc64nvme_hasher
from modelsync.app.progress import Beat
from modelsync.core.damage import NO_MANIFEST, Finding, Kind
from modelsync.core.manifest import FileRecord
from modelsync.core.names import ModelId
from modelsync.core.objects import Revision
from modelsync.core.verify import check_bytes, check_link, check_manifest, check_names
from modelsync.errors import FileUnreadable, Stopped
from modelsync.ports import Volume

CHUNK_BYTES = 1 << 20

Check = Callable[[int], None]
"""Told how many bytes were just read; may wait, and what it raises ends the reading."""


def paced(bandwidth: Bandwidth, stop: threading.Event, beat: Beat) -> Check:
    """Make a check that keeps to a rate, beats, and raises `Stopped` when told to."""

    def check(count: int) -> None:
        beat()
        bandwidth.pay(count, stop)
        if stop.is_set():
            raise Stopped("interrupted")

    return check


@dataclass(frozen=True)
class Names:
    """A revision without its bytes: what is wrong with its names, and the files that are worth reading."""

    findings: tuple[Finding, ...]
    files: tuple[FileRecord, ...] = ()


@dataclass(frozen=True)
class Verified:
    """What was found of a model.

    Attributes:
        model: its name.
        revision: what readers see; None if they see nothing of ours.
        files, size_bytes: what was read, over all its revisions.
        findings: what is wrong, each with the revision that it belongs to.
    """

    model: ModelId
    revision: Revision | None
    files: int
    size_bytes: int
    findings: tuple[tuple[Revision | None, Finding], ...]


class Verifier:
    """Reads what is published. Any number of threads may call."""

    def __init__(self, volume: Volume, chunk_bytes: int = CHUNK_BYTES) -> None:
        self._volume = volume
        self._chunk_bytes = chunk_bytes

    def model(self, model: ModelId, check: Check) -> Verified:
        """Read all revisions of a model that readers see or can be switched to.

        Raises:
            VolumeFailed: the volume as a whole cannot be read.
        """
        published = self._volume.published(model)
        found: list[tuple[Revision | None, Finding]] = [(published.linked, finding) for finding in published.damage]
        files = size_bytes = 0
        for revision in sorted(published.kept):
            names = self.names(model, revision)
            found += [(revision, finding) for finding in names.findings]
            for record in names.files:
                finding = self.file(model, revision, record, check)
                found += [(revision, finding)] if finding else []
                files, size_bytes = files + 1, size_bytes + record.size_bytes
        link = check_link(published)
        if found or link is not None:
            # What was superseded and removed meanwhile is not missing, and a switch takes two steps.
            now = self._volume.published(model)
            found = [(revision, finding) for revision, finding in found if revision in {now.linked, *now.kept}]
            if link is not None and link == check_link(now):
                found.append((None, link))
        return Verified(model, published.linked, files, size_bytes, tuple(found))

    def revision(self, model: ModelId, revision: Revision, check: Check, paths: Collection[str]) -> tuple[Finding, ...]:
        """Look at one kept revision, and read those of its files that have these paths."""
        names = self.names(model, revision)
        read = [self.file(model, revision, record, check) for record in names.files if record.path in paths]
        return names.findings + tuple(finding for finding in read if finding is not None)

    def names(self, model: ModelId, revision: Revision) -> Names:
        """Look at a kept revision's manifest, and at its files without reading them."""
        manifest = self._volume.manifest(model, revision)
        if manifest is None:
            return Names((NO_MANIFEST,))
        if (wrong := check_manifest(manifest, model, revision)) is not None:
            return Names((wrong,))
        try:
            return Names(*check_names(manifest, self._volume.entries(model, revision)))
        except FileUnreadable as error:
            return Names((_unreadable("", error),))

    def file(self, model: ModelId, revision: Revision, record: FileRecord, check: Check) -> Finding | None:
        """Read one file of a kept revision and hold its bytes against its record."""
        crc, size_bytes = crc64nvme_hasher(), 0
        try:
            for chunk in self._volume.read(model, revision, record.path, self._chunk_bytes):
                crc.update(chunk)
                size_bytes += len(chunk)
                check(len(chunk))
                if size_bytes > record.size_bytes:
                    break
        except FileUnreadable as error:
            return _unreadable(record.path, error)
        return check_bytes(record, size_bytes, f"{crc.crc:016x}")


def _unreadable(path: str, error: FileUnreadable) -> Finding:
    return Finding(Kind.UNREADABLE, path, "readable", str(error))
