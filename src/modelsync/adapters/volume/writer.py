"""The steps by which one model changes on the volume, each atomic, in an order that survives a crash."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from modelsync.adapters.volume.files import (
    make_directories,
    make_read_only,
    names_in,
    remove_tree,
    replace_file,
    replace_link,
    sync_directory,
    volume_errors,
)
from modelsync.adapters.volume.history import newest_first, remember
from modelsync.adapters.volume.holdings import remove_holding
from modelsync.adapters.volume.index import ContentIndex
from modelsync.adapters.volume.paths import TEMPORARY, ModelPaths, damage_of, files_of
from modelsync.adapters.volume.revisions import free_directory, read_manifest, whole_directory
from modelsync.adapters.volume.staging import LocalStaging
from modelsync.adapters.volume.survey import linked_revision, read_current
from modelsync.core.manifest import BadRecord, Current, Damage, Manifest, Quarantine, Superseded
from modelsync.core.names import RelPath
from modelsync.core.objects import Revision
from modelsync.core.retention import Holding
from modelsync.errors import Rejected, VolumeFailed

KEEP_QUARANTINE_RECORDS = 20
KEEP_PREVIOUS = 20


class LocalWriter:
    """Implements `ports.Writer`. Made by `LocalVolume.writer`, which holds the lock meanwhile."""

    def __init__(self, paths: ModelPaths, index: ContentIndex, *, keep_refused: bool = False) -> None:
        self._paths = paths
        self._where = str(paths.base), paths.model
        self._index = index
        self._keep_refused = keep_refused
        self._staging: LocalStaging | None = None
        with volume_errors("sweep temporary names"):
            # Under the lock nobody else's temporary name can stand here.
            for name in os.listdir(paths.home):
                if name.startswith(TEMPORARY):
                    remove_tree(paths.home / name)

    def mend(self) -> None:
        """Make the record say what the link says, after a crash between the two."""
        with volume_errors(f"mend the record of {self._paths.model}"):
            linked = linked_revision(*self._where)
            if self._finish_switch(linked):
                return
            current = read_current(*self._where)
            if linked is None or (current is not None and current.revision == linked):
                return
            manifest = read_manifest(self._paths, linked)
            if manifest is None:
                return
            switched_at = self._paths.link.lstat().st_mtime
            if current is None:  # lost: of the others nothing is known but that readers saw them, and not when
                seen = newest_first(self._paths)
                previous = tuple(Superseded(revision, switched_at) for revision in seen if revision != linked)
            else:
                previous = (Superseded(current.revision, switched_at), *current.previous)
            self.record(
                Current(self._paths.model, linked, manifest.listing, switched_at, previous, signer=manifest.signer)
            )

    def _finish_switch(self, linked: Revision | None) -> bool:
        """Make the record of a switch that a crash cut short the valid one, if readers were switched."""
        if not self._paths.next.exists():
            return False
        prepared = _prepared(self._paths.next)
        if prepared is None or prepared.revision != linked:
            self._paths.next.unlink()
            return False
        self._paths.next.rename(self._paths.current)
        sync_directory(self._paths.home)
        return True

    def stage(self, revision: Revision) -> LocalStaging:
        """Start or resume a revision."""
        self.close()
        with volume_errors("make room in staging"):
            make_directories(self._paths.staging, below=self._paths.home)
            mine = self._paths.staging / revision
            for other in names_in(self._paths.staging):
                if other != revision and not mine.exists():
                    (self._paths.staging / other).rename(mine)
                elif other != revision:
                    remove_tree(self._paths.staging / other)
        sealed = free_directory(self._paths, revision)
        self._staging = LocalStaging(self._paths.staging / revision, sealed, self._paths.base)
        return self._staging

    def publish(self, current: Current, manifest: Manifest) -> None:
        """Switch readers to a sealed revision, then put it on record: `mend` repairs a crash between."""
        link = self._paths.link
        with volume_errors(f"publish {self._paths.model}"):
            self._claim(link)
            directory = whole_directory(self._paths, current.revision)
            if directory is None:
                raise VolumeFailed(f"revision {current.revision} of {self._paths.model} is not on the volume any more")
            single = manifest.files[0].path if manifest.single else None
            if current.pin is not None:  # which the link does not tell, as it tells all else that counts
                replace_file(self._paths.next, _bounded(current).to_json())
            remember(self._paths, current.revision, [old.revision for old in _bounded(current).previous])
            replace_link(link, self._paths.target(directory, single), self._paths.home)
            self.record(current)
            self._paths.next.unlink(missing_ok=True)
            self.clear_staging()
            self._index.add(manifest)

    def _claim(self, link: Path) -> None:
        """See that the link's place is ours, and make the directories above it."""
        for parent in reversed(link.relative_to(self._paths.base).parents[:-1]):
            directory = self._paths.base / parent
            if directory.is_symlink() or (directory.exists() and not directory.is_dir()):
                raise _taken(directory)
        make_directories(link.parent, below=self._paths.base)
        if link.is_symlink():
            if self._paths.directory_of(os.readlink(link)) is None:
                raise _taken(link)
        elif link.exists():
            raise _taken(link)

    def unpublish(self, current: Current) -> None:
        """Take the link away from readers, then put that on record: the next sync mends a crash between."""
        link = self._paths.link
        with volume_errors(f"unpublish {self._paths.model}"):
            if linked_revision(*self._where) is not None:
                link.unlink()
            if link.parent.is_dir():
                sync_directory(link.parent)  # also for a link that went before a crash
            self.record(current)

    def set_aside(self, damage: Damage) -> None:
        """Put on record that a kept revision must not be used any more."""
        with volume_errors(f"record the damage of revision {damage.revision}"):
            directory = whole_directory(self._paths, damage.revision)
            if directory is not None:
                replace_file(damage_of(directory), damage.to_json(), self._paths.home)
        self._index.drop(damage.model, damage.revision)

    def protect(self, revision: Revision, path: RelPath) -> None:
        """Make a kept revision's file read-only again."""
        with volume_errors(f"make {path} of revision {revision} read-only"):
            directory = whole_directory(self._paths, revision)
            if directory is not None:
                make_read_only(files_of(directory) / path)

    def remove(self, held: Holding) -> bool:
        """Remove a directory of a revision that nobody sees or leases; tell whether it is gone."""
        with volume_errors(f"remove {held.place} of {self._paths.model}"):
            gone = remove_holding(self._paths, held)
            if gone and whole_directory(self._paths, held.revision) is None:
                self._index.drop(self._paths.model, held.revision)
            return gone

    def forget(self) -> None:
        """Remove the records of a model that has left no revision; after a crash the record tells that it is to go."""
        with volume_errors(f"forget {self._paths.model}"):
            last = [self._paths.current.name, self._paths.lock.name]
            for name in [*(name for name in names_in(self._paths.home) if name not in last), self._paths.current.name]:
                remove_tree(self._paths.home / name)

    def record(self, current: Current) -> None:
        """Write the record alone."""
        with volume_errors(f"record {current.revision} of {current.model}"):
            replace_file(self._paths.current, _bounded(current).to_json())

    def quarantine(self, record: Quarantine) -> None:
        """Put a refusal on record, and remove the staged bytes or keep them apart."""
        with volume_errors(f"quarantine {record.revision} of {record.model}"):
            make_directories(self._paths.quarantine, below=self._paths.home)
            replace_file(self._paths.quarantine / f"{record.revision}.json", record.to_json(), self._paths.home)
            self.close()
            staged = self._paths.staging / record.revision
            if self._keep_refused and staged.is_dir():
                self._keep(staged)
            self.clear_staging()
            records = list(self._paths.quarantine.glob("*.json"))
            records.sort(key=lambda path: path.stat().st_mtime, reverse=True)
            for path in records[KEEP_QUARANTINE_RECORDS:]:
                path.unlink()

    def _keep(self, staged: Path) -> None:
        """Keep a refused revision for whoever looks into it, in place of the one before; readers cannot enter it."""
        for other in self._paths.quarantine.iterdir():
            if other.is_dir():
                remove_tree(other)
        staged.chmod(0o700)
        staged.rename(self._paths.quarantine / staged.name)

    def pardon(self) -> None:
        """Forget all refusals, and the bytes that were kept of them."""
        with volume_errors(f"forget the refusals of {self._paths.model}"):
            remove_tree(self._paths.quarantine)
            sync_directory(self._paths.home)

    def clear_staging(self) -> None:
        """Remove everything in staging."""
        with volume_errors("clear staging"):
            self.close()
            remove_tree(self._paths.staging)

    def close(self) -> None:
        """Release what is open in staging."""
        if self._staging is not None:
            self._staging.close()
            self._staging = None


def _bounded(current: Current) -> Current:
    return replace(current, previous=current.previous[:KEEP_PREVIOUS])


def _prepared(path: Path) -> Current | None:
    try:
        return Current.from_json(path.read_bytes())
    except BadRecord:
        return None


def _taken(path: Path) -> Rejected:
    return Rejected("path-taken", f"{path} is not modelsync's: move it away, or exclude the model with MODEL_EXCLUDE")
