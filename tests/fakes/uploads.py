"""Uploads to a bucket in memory, with S3's rules."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from awscrt.checksums import crc64nvme

from fakes.store import FakeStore
from modelsync.errors import ModelSyncError, ObjectChanged, Stopped, StoreUnavailable
from modelsync.ports.push import Payload, UploadedPart

Fault = ModelSyncError | Callable[[], None]


@dataclass
class FakeUploads:
    """Implements `ports.Uploads`. `calls` tells what was asked, in order; `pending` are uploads in parts."""

    bucket: FakeStore
    calls: list[tuple[str, str]] = field(default_factory=list)
    pending: dict[str, dict[int, bytes]] = field(default_factory=dict)
    broken_off: int = 0
    _faults: dict[str, list[Fault | None]] = field(default_factory=dict)
    _lost: set[str] = field(default_factory=set)
    _closed: bool = False
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def plan(self, call: str, *faults: Fault | None) -> None:
        """Say what befalls the next calls of a kind, one after the other; None: nothing."""
        self._faults.setdefault(call, []).extend(faults)

    def lose(self, *calls: str) -> None:
        """Let the answers to the next call of each kind be lost, after its payload was taken."""
        self._lost.update(calls)

    def keys(self, call: str) -> list[str]:
        """The keys that a kind of call was made for."""
        return [key for kind, key in self.calls if kind == call]

    def _use(self, call: str, key: str) -> None:
        with self._lock:
            if self._closed:
                raise Stopped("closed")
            self.bucket.list("")  # a bucket that is missing says so
            self.calls.append((call, key))
            waiting = self._faults.get(call)
            fault = waiting.pop(0) if waiting else None
        if isinstance(fault, ModelSyncError):
            raise fault
        if fault is not None:
            fault()

    def _take(self, call: str, payload: Payload) -> bytes:
        data = b"".join(bytes(block) for block in payload)
        with self._lock:
            if call in self._lost:
                self._lost.remove(call)
                raise StoreUnavailable("reset")
        if len(data) != payload.size_bytes:
            raise StoreUnavailable("400 IncompleteBody")
        _same(data, payload.crc64nvme)
        return data

    def put(self, key: str, payload: Payload) -> str:
        self._use("put", key)
        return self.bucket.put(key, self._take("put", payload)).etag

    def begin(self, key: str) -> str:
        self._use("begin", key)
        with self._lock:
            upload_id = f"{key} {len(self.calls)}"
            self.pending[upload_id] = {}
            return upload_id

    def put_part(self, key: str, upload_id: str, number: int, payload: Payload) -> UploadedPart:
        self._use("part", key)
        data = self._take("part", payload)
        with self._lock:
            self._find(upload_id)[number] = data
            return UploadedPart(number, hashlib.md5(data).hexdigest(), payload.crc64nvme)

    def complete(
        self, key: str, upload_id: str, parts: Sequence[UploadedPart], *, size_bytes: int, crc64nvme: str
    ) -> str:
        self._use("complete", key)
        with self._lock:
            has = self._find(upload_id)
            data = b"".join(has[part.number] for part in parts)
            if len(data) != size_bytes:
                raise StoreUnavailable("400 InvalidRequest")
            _same(data, crc64nvme)
            del self.pending[upload_id]
            digests = b"".join(hashlib.md5(has[part.number]).digest() for part in parts)
            return self.bucket.put(key, data, etag=f"{hashlib.md5(digests).hexdigest()}-{len(parts)}").etag

    def abort(self, key: str, upload_id: str) -> None:
        self._use("abort", key)
        with self._lock:
            self.pending.pop(upload_id, None)

    def break_off(self) -> None:
        self.broken_off += 1

    def close(self) -> None:
        self._closed = True

    def _find(self, upload_id: str) -> dict[int, bytes]:
        if upload_id not in self.pending:
            raise ObjectChanged("404 NoSuchUpload")
        return self.pending[upload_id]


def _same(data: bytes, crc: str) -> None:
    if base64.b64encode(crc64nvme(data).to_bytes(8, "big")).decode() != crc:
        raise StoreUnavailable("400 BadDigest")
