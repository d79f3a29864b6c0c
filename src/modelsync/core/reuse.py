"""Which files need no download because the volume has their bytes."""

from __future__ import annotations

import re
from collections.abc import Iterable

from modelsync.core.etags import is_weak
from modelsync.core.manifest import FileRecord
from modelsync.core.names import RelPath
from modelsync.core.plan import PlannedFile

_OF_BYTES = re.compile(r"[0-9a-f]{32}(-\d+)?")


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


def may_hard_link(path: RelPath, paths: Iterable[RelPath]) -> bool:
    """Whether a file of a model of these files may have a second hard link.

    onnx from 1.21 on refuses external data with more than one, so beside an `.onnx` file only
    `.onnx` files may.
    """
    beside_onnx = any(other.lower().endswith(".onnx") for other in paths)
    return not beside_onnx or path.lower().endswith(".onnx")
