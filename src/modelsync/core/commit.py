"""The commit file: an uploader's word on which files make a complete version.

Format, version 1, written after everything that it lists:
`{"version": 1, "files": [{"path": "model.onnx", "size_bytes": 123, "sha256": "…hex…"}, …]}`.
Unknown keys are ignored. docs/commit-file.schema.json describes it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from modelsync.core.names import Naming, RelPath, unsafe
from modelsync.errors import Rejected

MAX_BYTES = 4 << 20
"""A larger commit file is refused unread."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class CommittedFile:
    """One file as the uploader lists it; `sha256` in lower-case hex."""

    path: RelPath
    size_bytes: int
    sha256: str


def parse_commit(data: bytes, naming: Naming) -> tuple[CommittedFile, ...]:
    """Read a commit file.

    Raises:
        Rejected: rule `commit-file`; it is malformed, of another version, lists a path that is unsafe
            or never published, or no weight file.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _bad(f"it is no JSON: {error}") from error
    if not isinstance(document, dict) or document.get("version") != 1:
        raise _bad("its version is not 1")
    entries = document.get("files")
    if not isinstance(entries, list) or not entries:
        raise _bad("it lists no files")
    files = tuple(_entry(entry) for entry in entries)
    if len({file.path for file in files}) != len(files):
        raise _bad("it lists a path twice")
    for file in files:
        if file.path in naming.control_files or not naming.is_known(file.path):
            raise _bad(f"it lists {file.path!r}, which is never published (see COMPANION_FILE_EXTENSIONS)")
    if not any(naming.is_weight(file.path) for file in files):
        raise _bad("it lists no weight file (see MODEL_FILE_EXTENSIONS)")
    return files


def render_commit(files: Iterable[CommittedFile]) -> bytes:
    """Write a commit file; equal files give equal bytes."""
    entries = [asdict(file) for file in sorted(files, key=lambda file: file.path)]
    return json.dumps({"version": 1, "files": entries}, indent=1, ensure_ascii=False).encode() + b"\n"


def _entry(entry: Any) -> CommittedFile:
    if not isinstance(entry, dict):
        raise _bad("an entry is no object")
    path, size_bytes, sha256 = entry.get("path"), entry.get("size_bytes"), entry.get("sha256")
    if not isinstance(path, str) or (reason := unsafe(path)) is not None:
        raise _bad(f"path {path!r} cannot be used" + (f": {reason}" if isinstance(path, str) else ""))
    if not isinstance(size_bytes, int) or isinstance(size_bytes, bool) or size_bytes < 0:
        raise _bad(f"size_bytes of {path!r} is no number of bytes")
    if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256.lower()):
        raise _bad(f"sha256 of {path!r} is no SHA-256 in hex")
    return CommittedFile(RelPath(path), size_bytes, sha256.lower())


def _bad(what: str) -> Rejected:
    return Rejected("commit-file", f"the commit file cannot be used: {what[:300]}")
