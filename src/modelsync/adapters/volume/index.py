"""Which published file has which bytes, over all models: filled at its first use, then kept up to date."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from modelsync.core.manifest import Manifest
from modelsync.ports import Held

_KEPT_PER_CONTENT = 4
_LEAST_BYTES = 64 << 10  # what is smaller is fetched as fast as it is found, and there is much of it


class ContentIndex:
    """By size and ETag. A hint: whoever uses an entry looks whether the file is still there."""

    def __init__(self, manifests: Callable[[], Iterable[Manifest]]) -> None:
        self._manifests = manifests
        self._lock = threading.Lock()
        self._found: dict[tuple[int, str], list[Held]] | None = None

    def find(self, size_bytes: int, etag: str) -> list[Held]:
        """Published files of this size and ETag, the latest last."""
        with self._lock:
            if self._found is None:
                self._found = {}
                for manifest in self._manifests():
                    self._add(self._found, manifest)
            return list(self._found.get((size_bytes, etag), ()))

    def add(self, manifest: Manifest) -> None:
        """Take note of a new revision."""
        with self._lock:
            if self._found is not None:
                self._add(self._found, manifest)

    @staticmethod
    def _add(found: dict[tuple[int, str], list[Held]], manifest: Manifest) -> None:
        for record in manifest.files:
            if record.size_bytes >= _LEAST_BYTES:
                holders = found.setdefault((record.size_bytes, record.etag), [])
                holders.append(Held(manifest.model, manifest.revision, record))
                del holders[:-_KEPT_PER_CONTENT]
