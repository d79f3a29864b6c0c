"""The volume as a whole: its checks, its locks and what stands on it."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from modelsync.adapters.volume.files import (
    PASSING,
    disk_usage,
    make_directories,
    meaning,
    names_in,
    read_if_there,
    remove_tree,
    replace_file,
    temporary_name,
    volume_errors,
)
from modelsync.adapters.volume.history import recall, remembered
from modelsync.adapters.volume.holdings import changed_at, holdings_of, weighed
from modelsync.adapters.volume.index import ContentIndex
from modelsync.adapters.volume.paths import TEMPORARY, ModelPaths, files_of, manifest_of
from modelsync.adapters.volume.reading import chunks_of, entries_in
from modelsync.adapters.volume.reports import remove_reports, reports_in, write_report
from modelsync.adapters.volume.revisions import read_manifest, read_manifests, whole_directory
from modelsync.adapters.volume.survey import glance, linked_revision, read_current, survey
from modelsync.adapters.volume.trial import try_steps
from modelsync.adapters.volume.writer import LocalWriter
from modelsync.core.manifest import BadRecord, Current, Manifest, Published, Reconciled, Scrubbed
from modelsync.core.names import RESERVED, ModelId, RelPath, decode, unsafe, unsafe_model
from modelsync.core.objects import Revision
from modelsync.core.retention import Holding, Holdings
from modelsync.core.rollout import Consumer
from modelsync.core.verify import Entry
from modelsync.errors import FileUnreadable, ModelBusy, NotPossible, VolumeFailed, VolumeUnusable
from modelsync.ports import Held, Space

_LEFT_BEHIND_SECONDS = 300
_LOCK_ATTEMPTS = 50


class LocalVolume:
    """Implements `ports.Volume` on a directory: a local disk, a PVC, NFS."""

    def __init__(self, base: Path, *, keep_refused: bool = False) -> None:
        """Make it; `keep_refused`: the bytes of the last refused revision of a model are kept."""
        self._base = base
        self._text = str(base)
        self._keep_refused = keep_refused
        self._own = base / RESERVED
        self._models = self._own / "models"
        self._reconcile = self._own / "reconcile.json"
        self._scrub = self._own / "scrub.json"
        self._index = ContentIndex(self._manifests, self._is_there)

    def check(self) -> None:
        """Make a file, a link and a lock as the work will."""
        trial = self._own / temporary_name()
        try:
            if not self._base.is_dir():
                raise VolumeUnusable(
                    f"MODELS_BASE_PATH={self._base} is no directory: mount the volume there, or set the right path"
                )
            make_directories(self._models, below=self._base)
            trial.mkdir()
            try:
                try_steps(trial)
            finally:
                remove_tree(trial)
        except OSError as error:
            reason, advice = meaning(error)
            kind = VolumeFailed if reason in PASSING else VolumeUnusable
            raise kind(f"MODELS_BASE_PATH={self._base} cannot be used: {advice}", reason) from error

    def readable(self) -> bool:
        """Whether models can be read."""
        try:
            with os.scandir(self._base) as entries:
                next(entries, None)
        except OSError:
            return False
        return True

    def space(self) -> Space:
        """How large the volume is, and how much of it is free for us."""
        with volume_errors("measure the volume"):
            found = os.statvfs(self._base)
            return Space(found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize)

    def used_bytes(self) -> int:
        """What modelsync uses of the volume's disk."""
        with volume_errors("measure modelsync's files"):
            return disk_usage(self._own)

    def models(self) -> list[ModelId]:
        """All models that the volume knows."""
        with volume_errors("list the models on the volume"):
            found = [decode(name) for name in names_in(self._models)]
            return [model for model in found if unsafe(model) is None and unsafe_model(model) is None]

    def linked(self, model: ModelId) -> Revision | None:
        """The revision that the model's link points to, or None without a link of ours."""
        with volume_errors(f"read the link of {model}"):
            return linked_revision(self._text, model)

    def published(self, model: ModelId) -> Published:
        """What the volume says of a model."""
        with volume_errors(f"read the record of {model}"):
            return survey(self._text, model)

    def glance(self, model: ModelId) -> Published:
        """What readers see of a model."""
        with volume_errors(f"read the record of {model}"):
            return glance(self._text, model)

    def records(self) -> Iterator[Current]:
        """The record of each model that has one."""
        for model in self.models():
            with volume_errors(f"read the record of {model}"):
                current = read_current(self._text, model)
            if current is not None:
                yield current

    def manifest(self, model: ModelId, revision: Revision) -> Manifest | None:
        """The manifest of a kept revision."""
        with volume_errors(f"read the manifest of {model}"):
            return read_manifest(ModelPaths(self._base, model), revision)

    def history(self, model: ModelId) -> frozenset[Revision]:
        """Revisions whose manifests are kept beyond them."""
        with volume_errors(f"list the history of {model}"):
            return remembered(ModelPaths(self._base, model))

    def recall(self, model: ModelId, revision: Revision) -> Manifest | None:
        """A manifest that was kept beyond its revision."""
        with volume_errors(f"read the history of {model}"):
            return recall(ModelPaths(self._base, model), revision)

    def directory(self, model: ModelId, revision: Revision) -> str:
        """Where a kept revision's files are."""
        with volume_errors(f"find revision {revision} of {model}"):
            directory = whole_directory(ModelPaths(self._base, model), revision)
        if directory is None:
            raise VolumeFailed(f"revision {revision} of {model} is not on the volume any more")
        return str(files_of(directory))

    def entries(self, model: ModelId, revision: Revision) -> list[Entry]:
        """Every name below a kept revision's files but directories."""
        with volume_errors(f"list revision {revision} of {model}"):
            directory = whole_directory(ModelPaths(self._base, model), revision)
            return [] if directory is None else entries_in(files_of(directory))

    def read(self, model: ModelId, revision: Revision, path: RelPath, chunk_bytes: int) -> Iterator[memoryview]:
        """The bytes of a kept revision's file in order."""
        with volume_errors(f"read {path} of {model}"):
            directory = whole_directory(ModelPaths(self._base, model), revision)
            if directory is None:
                raise FileUnreadable(f"revision {revision} of {model} is not on the volume any more")
            yield from chunks_of(files_of(directory) / path, chunk_bytes)

    def holdings(self, model: ModelId) -> Holdings:
        """What the volume has of a model."""
        paths = ModelPaths(self._base, model)
        with volume_errors(f"look at the revisions of {model}"):
            return Holdings(read_current(self._text, model), holdings_of(paths), changed_at(paths))

    def weigh(self, held: Holding) -> Holding:
        """Fill in a directory's size and last use."""
        with volume_errors(f"measure {held.name} of {held.model}"):
            return weighed(ModelPaths(self._base, held.model), held)

    def consumers(self, model: ModelId) -> list[Consumer]:
        """What consumers of a model reported."""
        with volume_errors(f"read what consumers of {model} report"):
            return reports_in(ModelPaths(self._base, model))

    def report(self, model: ModelId, consumer: Consumer, most: int) -> bool:
        """Put a consumer's report in place of its last one."""
        with volume_errors(f"write what consumers of {model} report"):
            try:
                return write_report(ModelPaths(self._base, model), consumer, most=most)
            except FileNotFoundError as error:
                self._base.stat()
                raise NotPossible(f"{model} has no consumers: nothing of it is on the volume") from error

    def forget_consumers(self, model: ModelId, gone: Iterable[Consumer]) -> None:
        """Remove reports."""
        with volume_errors(f"remove what consumers of {model} reported"):
            remove_reports(ModelPaths(self._base, model), gone)

    def find(self, size_bytes: int, etag: str, sha256: str | None, tend: Callable[[], None]) -> list[Held]:
        """Published files of any model that have this size, and this ETag or SHA-256; some may be gone."""
        contents = [(size_bytes, value) for value in (sha256, etag) if value]
        with volume_errors("read the manifests"):
            return self._index.find(contents, tend)

    def _manifests(self) -> Iterator[Manifest]:
        return (manifest for model in self.models() for manifest in read_manifests(self._text, model))

    def _is_there(self, held: Held) -> bool:
        paths = ModelPaths(self._base, held.model)
        usual = manifest_of(paths.revisions / held.revision)
        return usual.exists() or whole_directory(paths, held.revision) is not None

    @contextmanager
    def writer(self, model: ModelId) -> Iterator[LocalWriter]:
        """Become the model's only writer, over all processes and replicas."""
        paths = ModelPaths(self._base, model)
        descriptor = self._lock(paths)
        try:
            writer = LocalWriter(paths, self._index, keep_refused=self._keep_refused)
            try:
                yield writer
            finally:
                writer.close()
                _forget_if_empty(paths)
        finally:
            with suppress(OSError):  # the lock is gone, whatever it says
                os.close(descriptor)

    def _lock(self, paths: ModelPaths) -> int:
        with volume_errors(f"lock {paths.model}"):
            for _ in range(_LOCK_ATTEMPTS):
                try:
                    make_directories(paths.home, below=self._base)
                    descriptor = os.open(paths.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
                except (FileNotFoundError, FileExistsError):
                    continue  # the last writer is just removing the empty directory
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if _is_at(paths.lock, descriptor):
                        return descriptor
                    os.close(descriptor)  # the file was removed meanwhile: its lock protects nothing
                except BlockingIOError:
                    os.close(descriptor)
                    break
                except OSError:
                    os.close(descriptor)
                    raise
            self._base.stat()
        raise ModelBusy(f"{paths.model} is being synced by another worker")

    def reconciled(self) -> Reconciled | None:
        """The record of the last complete comparison."""
        try:
            data = read_if_there(self._reconcile)
            return None if data is None else Reconciled.from_json(data)
        except (OSError, BadRecord):
            return None

    def record_reconciled(self, found: Reconciled) -> None:
        """Put a complete comparison on record."""
        with volume_errors("record the comparison"):
            replace_file(self._reconcile, found.to_json())

    @contextmanager
    def scrubbing(self) -> Iterator[bool]:
        """Become the only one who scrubs, over all processes and replicas; tell whether that came true."""
        with volume_errors("lock the scrub"):
            descriptor = os.open(self._own / "scrub.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            with volume_errors("lock the scrub"):
                alone = _try_lock(descriptor)
            yield alone
        finally:
            os.close(descriptor)

    def scrubbed(self) -> Scrubbed | None:
        """How far the scrub has come; None if that is not on record or cannot be read."""
        with volume_errors("read the record of the scrub"):
            data = read_if_there(self._scrub)
        try:
            return None if data is None else Scrubbed.from_json(data)
        except BadRecord:
            return None

    def record_scrubbed(self, found: Scrubbed) -> None:
        """Put on record how far the scrub has come."""
        with volume_errors("record the scrub"):
            replace_file(self._scrub, found.to_json())

    def sweep(self) -> None:
        """Remove temporary names that crashed workers left behind.

        Those of one model go when its lock is taken next; here only the volume's own, and only
        old ones: a replica may be using its own right now.
        """
        with volume_errors("sweep temporary names"):
            for name in os.listdir(self._own):
                if name.startswith(TEMPORARY) and _age_seconds(self._own / name) > _LEFT_BEHIND_SECONDS:
                    remove_tree(self._own / name)


def _age_seconds(path: Path) -> float:
    """Age of a name; 0 if another replica removed it meanwhile."""
    try:
        return time.time() - path.lstat().st_mtime
    except FileNotFoundError:
        return 0.0


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _forget_if_empty(paths: ModelPaths) -> None:
    """Remove a model's directory if nothing but the lock was ever made in it (a key that names no model)."""
    try:
        if os.listdir(paths.home) == [paths.lock.name]:
            paths.lock.unlink()
            paths.home.rmdir()
    except OSError:
        return
