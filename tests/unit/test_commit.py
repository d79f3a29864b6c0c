"""The commit file is hostile input."""

from __future__ import annotations

import json

import pytest

from modelsync.core.commit import CommittedFile
from modelsync.core.commit import parse_commit as parse
from modelsync.core.names import Naming
from modelsync.errors import Rejected

SHA256 = "a" * 64


def parse_commit(data: bytes) -> tuple[CommittedFile, ...]:
    return parse(data, Naming())


def document(**changes: object) -> bytes:
    entry = {"path": "m.onnx", "size_bytes": 3, "sha256": SHA256.upper(), "comment": "ignored"} | changes
    return json.dumps({"version": 1, "files": [entry], "made_by": "ignored"}).encode()


def test_a_commit_file_is_read_and_unknown_keys_ignored() -> None:
    assert parse_commit(document()) == (CommittedFile("m.onnx", 3, SHA256),)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\xff", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[]", "version is not 1"),
        (b'{"version": 2, "files": []}', "version is not 1"),
        (b'{"version": 1, "files": []}', "lists no files"),
        (b'{"version": 1, "files": [3]}', "no object"),
        (b'{"version": 1}', "lists no files"),
        (document(path="../m.onnx"), "'..' segment"),
        (document(path=3), "cannot be used"),
        (document(size_bytes=-1), "number of bytes"),
        (document(size_bytes=True), "number of bytes"),
        (document(size_bytes="3"), "number of bytes"),
        (document(sha256="abc"), "no SHA-256"),
        (document(path="LICENSE"), "never published"),
        (document(path="modelsync.json"), "never published"),
        (document(path="c.json"), "no weight file"),
        (document(sha256=None), "no SHA-256"),
    ],
)
def test_a_bad_commit_file_is_rejected_with_a_reason(data: bytes, why: str) -> None:
    with pytest.raises(Rejected, match=why) as caught:
        parse_commit(data)
    assert caught.value.rule == "commit-file"


def test_a_path_that_is_listed_twice_is_rejected() -> None:
    entry = json.loads(document())["files"][0]
    with pytest.raises(Rejected, match="twice"):
        parse_commit(json.dumps({"version": 1, "files": [entry, entry]}).encode())
