"""Which published file has which bytes, over all models: filled at its first use, then kept up to date."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from modelsync.core.manifest import FileRecord, Manifest
from modelsync.core.names import ModelId
from modelsync.core.objects import Revision
from modelsync.core.reuse import hard_links
from modelsync.ports import Held

_KEPT_PER_CONTENT = 4
_LEAST_BYTES = 64 << 10  # what is smaller is fetched as fast as it is found, and there is much of it
_BEAT_SECONDS = 1.0

Content = tuple[int, str]
"""Size, and an ETag or a SHA-256: no value of the one is one of the other."""


class ContentIndex:
    """By size and ETag, and by size and SHA-256. Thread-safe."""

    def __init__(self, manifests: Callable[[], Iterable[Manifest]], is_there: Callable[[Held], bool]) -> None:
        """Make it.

        Args:
            manifests: all that are on the volume.
            is_there: whether the revision of a file is still on the volume: other replicas remove some too.
        """
        self._manifests = manifests
        self._is_there = is_there
        self._lock = threading.Lock()
        self._filling = threading.Lock()
        self._filled = False
        self._found: dict[Content, list[Held]] = {}
        self._contents: dict[tuple[ModelId, Revision], list[Content]] = {}

    def find(self, contents: Iterable[Content], tend: Callable[[], None]) -> list[Held]:
        """Published files of one of these contents, the latest last; `tend` is called all along."""
        self._fill(tend)
        with self._lock:
            found = [held for content in contents for held in self._found.get(content, ())]
        there = [held for held in dict.fromkeys(found) if self._is_there(held)]
        for held in found:
            if held not in there:
                self.drop(held.model, held.revision)
        return there

    def _fill(self, tend: Callable[[], None]) -> None:
        """Read all manifests, once; on a network's file system that can take minutes."""
        while not self._filling.acquire(timeout=_BEAT_SECONDS):
            tend()
        try:
            if not self._filled:
                for manifest in self._manifests():
                    tend()
                    self.add(manifest)
                self._filled = True
        finally:
            self._filling.release()

    def add(self, manifest: Manifest) -> None:
        """Take note of a revision."""
        may_link = hard_links(record.path for record in manifest.files)
        owner = (manifest.model, manifest.revision)
        with self._lock:
            if owner in self._contents:
                return  # published while the index was filled
            self._contents[owner] = []
            for record in manifest.files:
                if record.size_bytes >= _LEAST_BYTES:
                    self._hold(Held(*owner, record, linkable=may_link(record.path)))

    def _hold(self, held: Held) -> None:
        for content in _contents(held.record):
            holders = self._found.setdefault(content, [])
            holders.append(held)
            del holders[:-_KEPT_PER_CONTENT]
            self._contents[held.model, held.revision].append(content)

    def drop(self, model: ModelId, revision: Revision) -> None:
        """Take note that a revision is gone."""
        with self._lock:
            for content in self._contents.pop((model, revision), ()):
                left = [
                    held for held in self._found.pop(content, ()) if (held.model, held.revision) != (model, revision)
                ]
                if left:
                    self._found[content] = left


def _contents(record: FileRecord) -> list[Content]:
    return [(record.size_bytes, value) for value in (record.etag, record.sha256) if value]
