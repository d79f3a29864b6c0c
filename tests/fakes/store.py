"""A bucket in memory, and one whose network misbehaves."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Literal

from awscrt.checksums import crc32, crc32c, crc64nvme

from modelsync.core.objects import RemoteObject, Upload
from modelsync.core.parts import Span
from modelsync.core.proof import ObjectDetails
from modelsync.errors import BucketMissing, ModelSyncError, NotOffered, ObjectChanged, Stopped, StoreUnavailable
from modelsync.ports import Body, Listing, ObjectStore, Patiently, at_once

_ALGORITHMS: dict[str, tuple[Callable[[bytes], int], int]] = {
    "crc64nvme": (crc64nvme, 8),
    "crc32c": (crc32c, 4),
    "crc32": (crc32, 4),
}


@dataclass
class FakeStore:
    """Implements `ports.ObjectStore`. `put` and `remove` change the bucket; `calls` counts requests.

    `keeps_versions`: from now on replaced and removed objects can be read by their version ids.
    """

    now: Callable[[], float] = lambda: 1_700_000_000.0
    page_size: int = 2
    checksums: bool = True
    algorithm: str = "crc64nvme"
    calls: Counter[str] = field(default_factory=Counter)
    missing: bool = False
    hides_uploads: bool = False
    keeps_versions: bool = False
    _versions: dict[tuple[str, str], tuple[RemoteObject, bytes, int]] = field(default_factory=dict)
    _latest: dict[str, str] = field(default_factory=dict)
    _uploads: dict[str, Upload] = field(default_factory=dict)
    _objects: dict[str, tuple[RemoteObject, bytes, int]] = field(default_factory=dict)
    _closed: bool = False
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def put(self, key: str, content: bytes, etag: str | None = None) -> RemoteObject:
        """Upload an object."""
        with self._lock:
            etag = etag or hashlib.md5(content, usedforsecurity=False).hexdigest()
            remote = RemoteObject(key, len(content), etag, self.now())
            self._objects[key] = (remote, content, _ALGORITHMS[self.algorithm][0](content))
            if self.keeps_versions:
                self._latest[key] = f"version-{len(self._versions)}"
                self._versions[key, self._latest[key]] = self._objects[key]
            return remote

    def forget_versions(self, key: str) -> None:
        """Delete all versions of an object but the one that a listing shows."""
        with self._lock:
            for name, version in list(self._versions):
                if name == key and version != self._latest.get(key):
                    del self._versions[name, version]

    def content(self, key: str) -> bytes:
        """An object's bytes, without a request."""
        return self._objects[key][1]

    def corrupt(self, key: str) -> None:
        """Flip a byte of an object behind its checksum."""
        remote, content, crc = self._objects[key]
        self._objects[key] = (remote, bytes([content[0] ^ 1]) + content[1:], crc)

    def remove(self, key: str) -> None:
        """Delete an object."""
        with self._lock:
            del self._objects[key]
            self._latest.pop(key, None)

    def begin_upload(self, key: str) -> None:
        """Begin a multipart upload; `end_upload` ends it, finished or not."""
        with self._lock:
            self._uploads[key] = Upload(key, self.now())

    def end_upload(self, key: str) -> None:
        with self._lock:
            del self._uploads[key]

    def _use(self, call: str) -> None:
        with self._lock:
            self.calls[call] += 1
        if self._closed:
            raise Stopped("closed")
        if self.missing:
            raise BucketMissing("no such bucket")

    def list(
        self,
        prefix: str,
        patiently: Patiently = at_once,
        wanted: Callable[[RemoteObject], bool] = lambda _: True,
    ) -> Listing:
        self._use("list")
        with self._lock:
            keys = sorted((key for key in self._objects if key.startswith(prefix)), key=str.encode)
            return Listing(tuple(filter(wanted, (self._objects[key][0] for key in keys))), self.now())

    def scan(self, prefix: str, patiently: Patiently = at_once) -> Iterator[RemoteObject]:
        objects = self.list(prefix).objects
        for start in range(0, len(objects), self.page_size):
            yield from objects[start : start + self.page_size]

    def uploads(self, prefix: str, patiently: Patiently = at_once) -> Iterator[Upload]:
        self._use("uploads")
        if self.hides_uploads:
            raise NotOffered("not allowed by the test")
        with self._lock:
            found = sorted((key for key in self._uploads if key.startswith(prefix)), key=str.encode)
            yield from [self._uploads[key] for key in found]

    def _find(self, remote: RemoteObject) -> tuple[ObjectDetails, bytes]:
        with self._lock:
            version = remote.version_id or self._latest.get(remote.key)
            stored = (
                self._versions.get((remote.key, remote.version_id))
                if remote.version_id
                else self._objects.get(remote.key)
            )
        found, content, crc = stored or (None, b"", 0)
        if found is None or found.etag != remote.etag:
            raise ObjectChanged(f"{remote.key} was replaced")
        details = ObjectDetails(found.size_bytes, found.etag, version_id=version)
        if self.checksums:
            value = base64.b64encode(crc.to_bytes(_ALGORITHMS[self.algorithm][1], "big")).decode()
            details = replace(details, checksums={self.algorithm: value})
        return details, content

    def head(self, remote: RemoteObject) -> ObjectDetails:
        self._use("head")
        return self._find(remote)[0]

    def part_size(self, remote: RemoteObject, number: int, count: int) -> int | None:
        self._use("parts")
        self._find(remote)
        return None

    @contextmanager
    def open(self, remote: RemoteObject, span: Span) -> Iterator[Body]:
        self._use("get")
        details, content = self._find(remote)
        if span != Span(0, remote.size_bytes):
            details = replace(details, checksums={})
        yield FakeBody(details, content[span.start : span.end])

    def renew(self) -> None:
        self._use("renew")

    def close(self) -> None:
        self._closed = True


@dataclass
class FakeBody:
    """Implements `ports.Body`."""

    details: ObjectDetails
    _left: bytes

    def readinto(self, buffer: memoryview, /) -> int:
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count


Fault = Literal["refuse", "break", "flip"]


class FaultyStore:
    """Decorator on an `ObjectStore`: the n-th call of a kind goes wrong as told.

    `refuse` fails the request, `break` cuts the body in the middle, `flip` changes a bit of it.
    Calls in `down` are refused until they are taken out of it.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self.down: set[str] = set()
        self._faults: dict[str, list[Fault | ModelSyncError | Callable[[], None] | None]] = {}

    def plan(self, call: str, *faults: Fault | ModelSyncError | Callable[[], None] | None) -> None:
        """Say what befalls the next calls, one after the other; None: nothing."""
        self._faults.setdefault(call, []).extend(faults)

    def _next(self, call: str) -> Fault | None:
        with self._lock:
            waiting = self._faults.get(call)
            fault = waiting.pop(0) if waiting else None
        if fault == "refuse" or call in self.down:
            raise StoreUnavailable("refused by the test")
        if isinstance(fault, ModelSyncError):
            raise fault
        if callable(fault):
            fault()
            return None
        return fault

    def list(
        self,
        prefix: str,
        patiently: Patiently = at_once,
        wanted: Callable[[RemoteObject], bool] = lambda _: True,
    ) -> Listing:
        patiently(lambda: self._next("list"))
        return self._store.list(prefix, patiently, wanted)

    def scan(self, prefix: str, patiently: Patiently = at_once) -> Iterator[RemoteObject]:
        for number, remote in enumerate(self._store.scan(prefix, patiently)):
            if number == 1:
                patiently(lambda: self._next("scan"))
            yield remote

    def uploads(self, prefix: str, patiently: Patiently = at_once) -> Iterator[Upload]:
        patiently(lambda: self._next("uploads"))
        return self._store.uploads(prefix, patiently)

    def head(self, remote: RemoteObject) -> ObjectDetails:
        self._next("head")
        return self._store.head(remote)

    def part_size(self, remote: RemoteObject, number: int, count: int) -> int | None:
        self._next("parts")
        return self._store.part_size(remote, number, count)

    @contextmanager
    def open(self, remote: RemoteObject, span: Span) -> Iterator[Body]:
        fault = self._next("get")
        with self._store.open(remote, span) as body:
            yield FaultyBody(body, fault, span)

    def renew(self) -> None:
        self._store.renew()

    def close(self) -> None:
        self._store.close()


class FaultyBody:
    """Implements `ports.Body`."""

    def __init__(self, body: Body, fault: Fault | None, span: Span) -> None:
        self._body = body
        self._fault = fault
        self._until_break = span.size_bytes // 2
        self.details = body.details

    def readinto(self, buffer: memoryview, /) -> int:
        if self._fault == "break":
            if self._until_break == 0:
                raise StoreUnavailable("broken off by the test")
            buffer = buffer[: self._until_break]
        count = self._body.readinto(buffer)
        self._until_break -= count
        if self._fault == "flip" and count:
            buffer[0] ^= 1
            self._fault = None
        return count
