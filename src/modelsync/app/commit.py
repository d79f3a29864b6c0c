"""Control files from S3, read whole: their bytes are held against S3's record like those of any file."""

from __future__ import annotations

from collections.abc import Callable

from modelsync.app.checksums import hasher
from modelsync.core.commit import MAX_BYTES, CommittedFile, parse_commit
from modelsync.core.names import Naming, RelPath
from modelsync.core.objects import RemoteObject
from modelsync.core.parts import Span
from modelsync.core.proof import expected
from modelsync.errors import Rejected, VerificationFailed
from modelsync.ports import ObjectStore


def read_commit(
    store: ObjectStore, remote: RemoteObject, naming: Naming, check: Callable[[], None]
) -> tuple[CommittedFile, ...]:
    """Read and parse a commit file.

    Args:
        store: the bucket.
        remote: the commit file there.
        naming: which files may be listed.
        check: called for every read; what it raises ends it.

    Raises:
        Rejected: rule `commit-file`; it is too large, or says what cannot be.
        VerificationFailed: its bytes are not what S3 has on record.
        StoreUnavailable, StoreDenied, ObjectChanged: S3 does not give it.
    """
    if remote.size_bytes > MAX_BYTES:
        raise Rejected("commit-file", f"the commit file is larger than {MAX_BYTES} bytes")
    return parse_commit(read_whole(store, remote, naming.commit_file, check), naming)


def read_whole(store: ObjectStore, remote: RemoteObject, name: str, check: Callable[[], None]) -> bytes:
    """Read an object of bounded size.

    Args:
        store: the bucket.
        remote: the object there.
        name: what it is called in errors.
        check: called for every read; what it raises ends it.

    Raises:
        VerificationFailed: its bytes are not what S3 has on record.
        StoreUnavailable, StoreDenied, ObjectChanged: S3 does not give it.
    """
    data = memoryview(bytearray(remote.size_bytes))
    with store.open(remote, Span(0, remote.size_bytes)) as body:
        offset = 0
        while count := body.readinto(data[offset:]):
            offset += count
            check()
        demand = expected(body.details, parts_known=False)
    found = hasher(demand.proof)
    found.update(data)
    if found.value() != demand.value:
        raise VerificationFailed(RelPath(name), proof=demand.label, expected=demand.value, actual=found.value())
    return bytes(data)
