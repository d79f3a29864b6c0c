"""A bucket of many small models that does not change, and what was fetched from it: a volume, and a plain tree."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from bench import standin
from bench.transfer.scenarios import UPLOADED, Bucket
from modelsync.adapters.volume.local import LocalVolume
from modelsync.adapters.volume.paths import ModelPaths, files_of, lease_of, manifest_of
from modelsync.core.manifest import Current, FileRecord, Manifest
from modelsync.core.names import ModelId, Naming
from modelsync.core.objects import ModelFile, RemoteObject, Snapshot, gather, revision_of

FILES = 10


@dataclass(frozen=True)
class Models(Bucket):
    """Objects of one size, `FILES` to a model."""

    @property
    def models(self) -> int:
        return self.objects // FILES

    @property
    def keys(self) -> Iterator[str]:
        """In the order of a listing."""
        for number in range(self.models):
            yield f"voice-{number:06}/config.json"
            for part in range(1, FILES):
                yield f"voice-{number:06}/model-{part:05}.safetensors"

    def write_pages(self, directory: Path) -> None:
        """Render the listing, a file for each page."""
        directory.mkdir(parents=True)
        keys = self.keys
        for start in range(0, self.objects, standin.PAGE):
            after = start + standin.PAGE
            shown = [(key, self.size_bytes, etag(key)) for key in islice(keys, standin.PAGE)]
            page = standin.render_page(shown, after if after < self.objects else None)
            (directory / str(start)).write_bytes(page)

    def write_tree(self, root: Path) -> None:
        """Make what a copying program would have made: a file for each key, as old as its object."""
        made = None
        for key in self.keys:
            path = root / key
            if path.parent != made:
                made = path.parent
                made.mkdir(parents=True)
            self._write_file(path)

    def write_volume(self, base: Path) -> None:
        """Make what modelsync would have made, by its own writer; only the bytes are not fetched."""
        volume = LocalVolume(base)
        volume.check()
        naming, keys = Naming(), self.keys
        for _ in range(self.models):
            objects = [RemoteObject(key, self.size_bytes, etag(key), UPLOADED) for key in islice(keys, FILES)]
            model = ModelId(objects[0].key.partition("/")[0])
            snapshot = gather(model, objects, naming)
            assert snapshot is not None
            self._publish(volume, ModelPaths(base, model), snapshot)

    def _publish(self, volume: LocalVolume, paths: ModelPaths, snapshot: Snapshot) -> None:
        revision = revision_of(snapshot.files)
        directory = paths.revisions / revision
        files_of(directory).mkdir(parents=True)
        for file in snapshot.files:
            self._write_file(files_of(directory) / file.path)
        manifest = Manifest(
            model=snapshot.model,
            revision=revision,
            listing=snapshot.digest,
            files=tuple(record(file) for file in snapshot.files),
            single=False,
            source="bench",
            created_at=UPLOADED,
            sync_id="bench",
        )
        manifest_of(directory).write_bytes(manifest.to_json())
        lease_of(directory).touch()
        with volume.writer(snapshot.model) as writer:
            writer.publish(Current(snapshot.model, revision, snapshot.digest, UPLOADED), manifest)

    def _write_file(self, path: Path) -> None:
        """A hole of the right size: nobody reads it."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        os.truncate(descriptor, self.size_bytes)
        os.utime(descriptor, (UPLOADED, UPLOADED))
        os.close(descriptor)


def etag(key: str) -> str:
    """An ETag for each object."""
    return hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()


def record(file: ModelFile) -> FileRecord:
    """A file as a manifest has it."""
    remote = file.object
    return FileRecord(file.path, remote.size_bytes, remote.etag, None, crc64nvme="0" * 16, proof="crc64nvme")
