"""Uploads a voice as a careful publisher does: the commit file last."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from modelsync.core.commit import CommittedFile, render_commit
from modelsync.core.names import RelPath

COMMIT_FILE = "modelsync.json"


def upload(s3: Any, bucket: str, model: str, files: Mapping[str, bytes]) -> None:
    """Put a model's files, then the commit file that lists them."""
    for name, content in files.items():
        put(s3, bucket, f"{model}/{name}", content)
    put(s3, bucket, f"{model}/{COMMIT_FILE}", commit_file(files))


def put(s3: Any, bucket: str, key: str, content: bytes) -> None:
    """Put one object, with the checksum that S3 keeps and the worker holds the bytes against."""
    s3.put_object(Bucket=bucket, Key=key, Body=content, ChecksumAlgorithm="CRC64NVME")


def commit_file(files: Mapping[str, bytes]) -> bytes:
    """The commit file of a set of files."""
    return render_commit(
        CommittedFile(RelPath(name), len(content), hashlib.sha256(content).hexdigest())
        for name, content in files.items()
    )
