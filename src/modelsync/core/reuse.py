"""Which files need no download because the volume has their bytes."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable

from modelsync.core.etags import is_weak
from modelsync.core.manifest import FileRecord
from modelsync.core.names import RelPath
from modelsync.core.plan import PlannedFile
from modelsync.core.proof import ObjectDetails, Proof, expected

_OF_BYTES = re.compile(r"[0-9a-f]{32}(-\d+)?")


def vouched_for(planned: PlannedFile, details: ObjectDetails, record: FileRecord) -> bool:
    """Whether S3 says of an object that it has the bytes of a published file, whatever their ETags.

    The SHA-256 that the commit file demands is what finds the file. That the object has it too is the uploader's
    claim: it counts if S3's own checksum of the object, of all its bytes, agrees.
    """
    if planned.sha256 is None or (planned.object.size_bytes, planned.sha256) != (record.size_bytes, record.sha256):
        return False
    values = {Proof.CRC64NVME: record.crc64nvme, Proof.SHA256: planned.sha256}
    demand = expected(details, parts_known=False)
    return demand.proof in values and demand.value == base64.b64encode(bytes.fromhex(values[demand.proof])).decode()


def same_bytes(planned: PlannedFile, record: FileRecord, *, same_model: bool) -> bool:
    """Whether a published file has the bytes that a planned one will have.

    Within a model, equal size and ETag say so: S3 changes the ETag with the object. Between
    models only an ETag that is made of the bytes (MD5, or the parts' MD5s) does. What a commit
    file demands must have been proven then; a weak ETag says nothing without that.
    """
    if (planned.object.size_bytes, planned.object.etag) != (record.size_bytes, record.etag):
        return False
    if planned.sha256 is not None and planned.sha256 != record.sha256:
        return False
    if is_weak(record.etag):
        return planned.sha256 is not None
    if same_model and planned.path == record.path:
        return True
    return _OF_BYTES.fullmatch(record.etag) is not None


def hard_links(paths: Iterable[RelPath]) -> Callable[[RelPath], bool]:
    """Tell which files of a model of these files may have a second hard link.

    onnx from 1.21 on refuses external data with more than one, so beside an `.onnx` file only
    `.onnx` files may.
    """
    beside_onnx = any(map(_is_onnx, paths))
    return lambda path: not beside_onnx or _is_onnx(path)


def _is_onnx(path: RelPath) -> bool:
    return path.lower().endswith(".onnx")
