"""What of a directory is uploaded, and why."""

from __future__ import annotations

from dataclasses import replace

import pytest

from modelsync.core.commit import MAX_BYTES, CommittedFile, parse_commit, render_commit
from modelsync.core.names import ModelId, Naming, RelPath
from modelsync.core.objects import RemoteObject
from modelsync.core.parts import Span
from modelsync.core.proof import Expected, Proof
from modelsync.core.upload import (
    Before,
    DigestedFile,
    LocalFile,
    OnRecord,
    Selection,
    Unfit,
    UploadPlan,
    beside,
    key_of,
    plan_upload,
    select,
)

ALICE = ModelId("alice")
NAMING = Naming(prefix="voices/")


def local(*paths: str) -> list[LocalFile]:
    return [LocalFile(path, 3, (1,)) for path in paths]


def refused(name: str, *paths: str, naming: Naming = NAMING) -> str:
    found = select(name, local(*paths), naming)
    assert isinstance(found, Unfit)
    return found.reason


def test_a_model_is_its_known_files_and_the_rest_is_skipped_with_a_reason() -> None:
    found = select("alice", local("README.md", "de/vocab.txt", "model.onnx", "model.sig", "modelsync.json"), NAMING)
    assert isinstance(found, Selection)
    assert [file.path for file in found.files] == ["de/vocab.txt", "model.onnx"]
    assert [(skipped.path, skipped.reason) for skipped in found.skipped] == [
        ("README.md", "files with this ending are never published"),
        ("model.sig", "a signature is made with --sign, and is no part of the model"),
        ("modelsync.json", "the commit file is written anew"),
    ]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("../alice", "'..' segment"),
        ("", "empty segment"),
        (".modelsync", "keeps its own files"),
        ("a/b", "MODEL_DEPTH=1 allows at most 1"),
        ("eve", "MODEL_INCLUDE or MODEL_EXCLUDE"),
    ],
)
def test_a_name_that_no_model_can_have_is_refused(name: str, why: str) -> None:
    assert why in refused(name, "model.onnx", naming=replace(NAMING, exclude=("eve",)))


def test_a_directory_is_as_deep_as_the_depth_says() -> None:
    deep = replace(NAMING, depth=2)
    assert "asks for 2 segments" in refused("alice", "model.onnx", naming=deep)
    found = select("de/alice", local("model.onnx"), deep)
    assert isinstance(found, Selection)


@pytest.mark.parametrize(
    ("paths", "why"),
    [
        ([], "no weight file: one ends in .pth, .bin, .onnx, .safetensors"),
        (["config.json"], "no weight file"),
        (["a\nb.onnx"], "U+000A"),
        (["a\udc80.onnx"], "U+DC80"),
        (["Model.onnx", "model.onnx"], "ignores case"),
        (["a.json", "a.json/model.onnx"], "a file and the directory"),
        (["model.onnx", f"{'x' * 256}.txt"], "longer than 255 bytes"),
        (["model.onnx", f"{'x' * 200}/" * 6 + "a.txt"], "a key of over 1024 bytes"),
    ],
)
def test_what_the_worker_would_refuse_is_refused(paths: list[str], why: str) -> None:
    assert why in refused("alice", *paths)


def test_everything_that_cannot_be_uploaded_is_told_but_not_without_end() -> None:
    found = select("alice", [LocalFile(f"{n}.onnx", problem="is no regular file") for n in range(7)], NAMING)
    assert isinstance(found, Unfit)
    assert found.reason.startswith("'0.onnx' is no regular file; '1.onnx' is")
    assert found.reason.endswith("; and 2 more")


def test_a_directory_that_cannot_be_gone_through_is_refused_an_odd_file_of_no_use_is_not() -> None:
    odd = LocalFile("notes.pdf", problem="is a symlink that leads nowhere")
    assert isinstance(select("alice", [odd, *local("m.onnx")], NAMING), Selection)
    link = LocalFile("de/", problem="is a symlink to a directory")
    found = select("alice", [link, *local("m.onnx")], NAMING)
    assert found == Unfit("'de/' is a symlink to a directory")


def test_files_must_not_join_what_the_worker_would_refuse_with_them() -> None:
    selection = Selection(ALICE, tuple(local("model.onnx")), ())

    def joining(*keys: str) -> Unfit | None:
        return beside(selection, [RemoteObject(key, 1, "e", 0.0) for key in keys], NAMING)

    assert joining() is None
    assert joining("voices/alice/model.onnx", "voices/alice/old.onnx", "voices/bob/x.onnx") is None
    clashing = joining("voices/alice/Model.onnx")
    assert clashing is not None
    assert "ignores case" in clashing.reason
    assert "(remove it from the bucket)" in clashing.reason
    assert joining("voices/alice/../x.onnx") is not None


def digested(path: str, content: str = "1", **proofs: str) -> DigestedFile:
    values = {Proof(name): value for name, value in proofs.items()}
    return DigestedFile(LocalFile(path, 3, (1,)), content * 64, "crc", ((Span(0, 3), 1),), values)


def there(path: str, size_bytes: int = 3, at: float = 10.0) -> RemoteObject:
    return RemoteObject(key_of(ALICE, path, NAMING), size_bytes, f"etag of {path}", at)


def before(
    *objects: RemoteObject,
    record: Expected | None = None,
    commit: list[CommittedFile] | None = None,
    committed_at: float | None = None,
) -> Before:
    paths = {remote.key.removeprefix("voices/alice/"): remote for remote in objects}
    records = {path: OnRecord(remote, record) for path, remote in paths.items() if record and remote.size_bytes == 3}
    return Before(paths, records, commit, committed_at)


def committed(path: str, content: str = "1") -> CommittedFile:
    return CommittedFile(RelPath(path), 3, content * 64)


CRC = Expected(Proof.CRC64NVME, "crc")
FILE = digested("m.onnx", crc64nvme="crc")


def plan(*files: DigestedFile, has: Before) -> UploadPlan:
    made = plan_upload(ALICE, files, has, NAMING)
    assert isinstance(made, UploadPlan)
    return made


def reasons(made: UploadPlan) -> dict[str, str]:
    return {upload.file.path: upload.reason for upload in made.uploads}


@pytest.mark.parametrize(
    ("has", "reason"),
    [
        (before(), "not in the bucket"),
        (before(there("m.onnx", 4)), "the bucket has 4 bytes of it, not 3"),
        (before(there("m.onnx"), record=Expected(Proof.CRC64NVME, "other")), "the bucket's crc64nvme differs"),
        (before(there("m.onnx"), record=Expected(Proof.SIZE, "3")), "S3 has no checksum of it to compare by"),
    ],
)
def test_a_file_that_differs_is_uploaded(has: Before, reason: str) -> None:
    made = plan(FILE, has=has)
    assert reasons(made) == {"m.onnx": reason}
    assert made.commit_reason == "not in the bucket"
    assert made.upload_bytes == 3


def test_what_the_bucket_has_is_kept_and_if_that_is_all_nothing_is_written() -> None:
    has = before(there("m.onnx"), record=CRC, commit=[committed("m.onnx")], committed_at=11.0)
    made = plan(FILE, has=has)
    assert (made.uploads, made.commit_reason) == ((), None)
    assert made.kept == ((FILE, "etag of m.onnx"),)


def test_a_file_that_an_interrupted_push_left_is_kept_though_the_commit_file_lists_the_one_before() -> None:
    has = before(there("m.onnx"), record=CRC, commit=[committed("m.onnx", "0")], committed_at=5.0)
    made = plan(FILE, has=has)
    assert (made.uploads, made.commit_reason) == ((), "it lists other files")


@pytest.mark.parametrize(
    ("listed", "committed_at", "kept"),
    [(committed("m.onnx"), 10.0, True), (committed("m.onnx"), 9.0, False), (committed("m.onnx", "0"), 10.0, False)],
    ids=["listed", "replaced since", "listed otherwise"],
)
def test_without_a_checksum_the_commit_file_is_believed_of_what_was_there_before_it(
    listed: CommittedFile,
    committed_at: float,
    kept: bool,  # noqa: FBT001
) -> None:
    record = Expected(Proof.SIZE, "3")
    made = plan(FILE, has=before(there("m.onnx"), record=record, commit=[listed], committed_at=committed_at))
    assert bool(made.kept) is kept


def test_a_commit_file_follows_every_upload_even_if_it_lists_the_same() -> None:
    made = plan(FILE, has=before(commit=[committed("m.onnx")], committed_at=1.0))
    assert made.commit_reason == "what it lists was uploaded anew"


def test_a_commit_file_that_cannot_be_used_is_replaced() -> None:
    made = plan(FILE, has=before(there("m.onnx"), record=CRC, committed_at=1.0))
    assert made.commit_reason == "the worker could not use the one in the bucket"


def test_companions_go_first_and_weights_are_held_until_there_is_a_commit_file() -> None:
    files = [digested("b.onnx"), digested("a.onnx"), digested("c.json")]
    first = plan(*files, has=before())
    assert [(upload.file.path, upload.held) for upload in first.uploads] == [
        ("c.json", False),
        ("a.onnx", True),
        ("b.onnx", True),
    ]
    update = plan(*files, has=before(commit=[committed("a.onnx")], committed_at=1.0))
    assert not any(upload.held for upload in update.uploads)


def test_the_commit_file_is_what_the_worker_reads() -> None:
    made = plan(digested("b.onnx", "2"), digested("a.json"), has=before())
    assert parse_commit(made.commit, NAMING) == (committed("a.json"), committed("b.onnx", "2"))
    assert made.commit == render_commit([committed("b.onnx", "2"), committed("a.json")])


def test_a_plan_that_the_worker_would_refuse_is_none() -> None:
    assert plan_upload(ALICE, [digested("c.json")], before(), NAMING) == Unfit(
        "the commit file cannot be used: it lists no weight file (see MODEL_FILE_EXTENSIONS)"
    )
    many = [digested(f"{'x' * 200}{n}.onnx") for n in range(MAX_BYTES // 250)]
    made = plan_upload(ALICE, many, before(), NAMING)
    assert isinstance(made, Unfit)
    assert "too many" in made.reason
