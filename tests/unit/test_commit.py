"""The commit file is hostile input."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from modelsync.core.commit import CommittedFile, render_commit
from modelsync.core.commit import parse_commit as parse
from modelsync.core.names import Naming, RelPath
from modelsync.errors import Rejected

SHA256 = "a" * 64
SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "commit-file.schema.json").read_bytes())


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
        (document(path="model.sig"), "never published"),
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


def test_what_is_written_is_read_again_and_of_the_published_schema() -> None:
    files = (CommittedFile(RelPath("a b/ü.json"), 0, "b" * 64), CommittedFile(RelPath("m.onnx"), 1 << 40, SHA256))
    data = render_commit(reversed(files))
    assert parse_commit(data) == files
    jsonschema.validate(json.loads(data), SCHEMA)
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_the_schema_ignores_unknown_keys_as_the_worker_does() -> None:
    jsonschema.validate(json.loads(document()), SCHEMA)


@pytest.mark.parametrize(
    "bad",
    [
        {"path": ""},
        {"path": "/m.onnx"},
        {"path": "m.onnx/"},
        {"path": "a//m.onnx"},
        {"path": "./m.onnx"},
        {"path": "a/./m.onnx"},
        {"path": "../m.onnx"},
        {"path": "a/.."},
        {"path": "a\nb.onnx"},
        {"path": "a\u2028b.onnx"},
        {"path": 3},
        {"size_bytes": -1},
        {"size_bytes": "3"},
        {"size_bytes": True},
        {"sha256": "abc"},
        {"sha256": None},
    ],
    ids=str,
)
def test_the_schema_refuses_what_the_worker_refuses(bad: dict[str, object]) -> None:
    for data in (document(**bad), b'{"version": 2, "files": []}', b'{"version": 1, "files": []}', b"[]"):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(json.loads(data), SCHEMA)
        with pytest.raises(Rejected):
            parse_commit(data)


@pytest.mark.parametrize("path", ["...onnx", ".hidden/m.onnx", "a/..b/m.onnx", "a/.b.onnx"])
def test_dots_in_a_name_are_no_harm(path: str) -> None:
    assert parse_commit(document(path=path))[0].path == path
    jsonschema.validate(json.loads(document(path=path)), SCHEMA)
