"""Pushes from a real directory to a bucket in memory, and what a worker makes of them."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import jsonschema
import pytest

from fakes.gate import FakeGate
from fakes.uploads import FakeUploads
from modelsync.adapters.folder import LocalFolder
from modelsync.app.push import Push, PushOptions
from modelsync.core.facts import BytesRead, BytesSent, FileUploaded, Outcome, RequestRetried, UploadLeft
from modelsync.core.names import ModelId
from modelsync.core.objects import Revision
from modelsync.core.parts import MIB, Span
from modelsync.core.upload import UploadPlan
from modelsync.errors import (
    ObjectChanged,
    Rejected,
    SourceChanged,
    SourceUnreadable,
    Stopped,
    StoreDenied,
    StoreThrottled,
    StoreUnavailable,
)

from support.world import World  # isort: skip

LARGE = os.urandom(MIB) * 33  # three parts
ALICE = {"model.onnx": b"weights 1", "config.json": b"{}", "de/vocab.txt": b"a b"}
COMMIT = "alice/modelsync.json"
SCHEMA = Path(__file__).parents[2] / "docs" / "commit-file.schema.json"


class Publisher:
    """Somebody with a voice in a directory. `stop` is their Ctrl-C."""

    def __init__(self, world: World, directory: Path) -> None:
        directory.mkdir()
        self.directory = directory
        self.uploads = FakeUploads(world.bucket)
        self.gate = FakeGate()
        self.stop = threading.Event()
        self.push = Push(
            folder=LocalFolder(directory),
            store=world.store,
            uploads=self.uploads,
            clock=world.clock,
            observe=world.observe,
            naming=world.naming,
            options=PushOptions(concurrency=4, attempts=3),
            gate=self.gate,
        )

    def write(self, **files: bytes) -> None:
        self.write_all(files)

    def write_all(self, files: dict[str, bytes]) -> None:
        for path, content in files.items():
            (self.directory / path).parent.mkdir(parents=True, exist_ok=True)
            (self.directory / path).write_bytes(content)

    def plan(self, model: str = "alice") -> UploadPlan:
        return self.push.prepare(model, self.stop).plan

    def go(self, model: str = "alice") -> Revision:
        return self.push.carry_out(self.push.prepare(model, self.stop), self.stop)

    def uploaded(self) -> list[str]:
        """The keys that objects were made of since the last look, sorted but for the last one."""
        keys = [key for call, key in self.uploads.calls if call in {"put", "complete"}]
        self.uploads.calls.clear()
        return sorted(keys[:-1]) + keys[-1:]


@pytest.fixture
def publisher(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Publisher]:
    made = Publisher(world, tmp_path_factory.mktemp("publisher") / "voice")
    made.write_all(ALICE)
    yield made
    made.push.close()


def keys_in(world: World) -> list[str]:
    return [remote.key for remote in world.bucket.list("").objects]


def committed(world: World) -> bytes:
    """The commit file in the bucket."""
    [remote] = world.bucket.list(COMMIT).objects
    data = bytearray(remote.size_bytes)
    with world.bucket.open(remote, Span(0, remote.size_bytes)) as body:
        body.readinto(memoryview(data))
    return bytes(data)


def test_a_pushed_voice_is_published_under_the_revision_that_the_push_tells(world: World, publisher: Publisher) -> None:
    publisher.write(LICENSE=b"never published")
    revision = publisher.go()
    result = world.sync("alice")
    assert (result.outcome, result.revision) == (Outcome.SUCCESS, revision)
    assert world.read("alice") == ALICE
    assert publisher.uploaded()[-1] == COMMIT, "the commit file is the last"
    jsonschema.validate(json.loads(committed(world)), json.loads(SCHEMA.read_bytes()))


def test_a_large_file_goes_in_parts(world: World, publisher: Publisher) -> None:
    publisher.write_all({"model.onnx": LARGE})
    revision = publisher.go()
    assert publisher.uploads.keys("part") == ["alice/model.onnx"] * 3
    assert world.sync("alice").revision == revision
    assert world.read("alice")["model.onnx"] == LARGE


def test_an_unchanged_voice_is_not_uploaded_again(world: World, publisher: Publisher) -> None:
    first = publisher.go()
    publisher.uploaded()
    assert publisher.go() == first
    assert publisher.uploads.calls == []


def test_only_what_changed_is_uploaded(world: World, publisher: Publisher) -> None:
    publisher.write_all({"model.onnx": LARGE})
    first = publisher.go()
    publisher.uploaded()
    publisher.write_all({"config.json": b"[]"})
    second = publisher.go()
    assert publisher.uploaded() == ["alice/config.json", COMMIT]
    assert first != second == world.sync("alice").revision


def test_a_file_that_left_the_directory_leaves_the_voice_but_not_the_bucket(world: World, publisher: Publisher) -> None:
    publisher.go()
    (publisher.directory / "de/vocab.txt").unlink()
    publisher.uploaded()
    publisher.go()
    assert publisher.uploaded() == [COMMIT]
    assert "alice/de/vocab.txt" in keys_in(world)
    world.sync("alice")
    assert set(world.read("alice")) == {"model.onnx", "config.json"}


def test_what_others_uploaded_is_compared_by_whatever_checksum_s3_has(world: World, publisher: Publisher) -> None:
    world.bucket.checksums = False
    world.upload("alice", ALICE)
    publisher.go()
    assert publisher.uploaded() == [COMMIT], "the ETags are MD5s"


def test_an_object_that_nothing_can_be_compared_by_is_uploaded_once(world: World, publisher: Publisher) -> None:
    world.bucket.checksums = False
    publisher.write_all({"model.onnx": LARGE})
    publisher.go()
    publisher.uploaded()
    publisher.go()
    assert publisher.uploads.calls == [], "the commit file tells its SHA-256"
    world.bucket.put("alice/model.onnx", LARGE, etag=f"{'0' * 32}-2")
    world.clock.advance(1)
    world.bucket.put("alice/model.onnx", LARGE, etag=f"{'0' * 32}-3")
    publisher.go()
    assert publisher.uploaded() == ["alice/model.onnx", COMMIT]


def test_a_plan_says_what_and_why_and_does_nothing(world: World, publisher: Publisher) -> None:
    plan = publisher.plan()
    assert {upload.file.path: upload.reason for upload in plan.uploads} == dict.fromkeys(ALICE, "not in the bucket")
    assert publisher.uploads.calls == []
    assert keys_in(world) == []


def test_progress_adds_up_to_the_bytes_also_when_they_are_sent_again(world: World, publisher: Publisher) -> None:
    publisher.write_all({"model.onnx": LARGE})
    publisher.uploads.lose("part", "put")
    publisher.go()
    size = len(LARGE) + len(ALICE["config.json"]) + len(ALICE["de/vocab.txt"])
    assert sum(fact.count for fact in world.told(BytesSent)) == size
    assert sum(fact.count for fact in world.told(BytesRead)) == size
    assert {fact.path for fact in world.told(FileUploaded)} == set(ALICE)
    assert len(world.told(RequestRetried)) == 2


def test_a_store_that_is_busy_is_asked_again_and_no_more_often_than_bounded(world: World, publisher: Publisher) -> None:
    busy = StoreThrottled("503 SlowDown")
    publisher.uploads.plan("put", busy, busy)
    world.store.plan("list", busy)
    world.store.plan("head", busy)
    publisher.go()
    assert len(world.told(RequestRetried)) == 3
    world.sync("alice")
    assert world.read("alice") == ALICE
    publisher.write_all({"model.onnx": b"weights 2"})
    publisher.uploads.plan("put", *[busy] * 3)
    with pytest.raises(StoreThrottled):
        publisher.go()
    assert publisher.go() == world.sync("alice").revision


def test_a_failed_push_leaves_the_old_commit_file_and_no_parts(world: World, publisher: Publisher) -> None:
    publisher.go()
    world.sync("alice")
    before = committed(world)
    publisher.write_all({"model.onnx": LARGE, "config.json": b"[]"})
    publisher.uploads.plan("part", None, StoreDenied("403"))
    with pytest.raises(StoreDenied):
        publisher.go()
    assert publisher.uploads.pending == {}
    assert committed(world) == before
    assert publisher.uploads.broken_off == 1
    world.sync("alice")
    assert world.read("alice") == ALICE, "readers keep the version before"


def test_the_next_push_goes_on_with_what_is_missing(world: World, publisher: Publisher) -> None:
    publisher.write_all({"model.onnx": LARGE})
    publisher.uploads.plan("part", StoreDenied("403"))
    with pytest.raises(StoreDenied):
        publisher.go()
    publisher.uploaded()
    there = set(keys_in(world))
    assert COMMIT not in there
    publisher.go()
    assert set(publisher.uploaded()) == {f"alice/{path}" for path in ALICE} - there | {COMMIT}
    world.sync("alice")
    assert world.read("alice") == ALICE | {"model.onnx": LARGE}


@pytest.mark.parametrize("call", ["begin", "part", "complete", "put"])
def test_an_interrupted_push_ends_without_a_commit_file_or_parts(world: World, publisher: Publisher, call: str) -> None:
    publisher.write_all({"model.onnx": LARGE})
    publisher.uploads.plan(call, publisher.stop.set)
    with pytest.raises(Stopped, match="push again to go on"):
        publisher.go()
    assert publisher.uploads.pending == {}
    assert COMMIT not in keys_in(world)
    publisher.stop.clear()
    publisher.go()
    world.sync("alice")
    assert world.read("alice") == ALICE | {"model.onnx": LARGE}


def test_an_interruption_while_files_are_read_writes_nothing(world: World, publisher: Publisher) -> None:
    world.store.plan("list", publisher.stop.set)
    with pytest.raises(Stopped):
        publisher.go()
    assert keys_in(world) == []


def test_parts_that_cannot_be_aborted_are_told(world: World, publisher: Publisher) -> None:
    publisher.write_all({"model.onnx": LARGE})
    publisher.uploads.plan("part", StoreDenied("403"))
    publisher.uploads.plan("abort", *[StoreUnavailable("down")] * 3)
    with pytest.raises(StoreDenied):
        publisher.go()
    [left] = world.told(UploadLeft)
    assert left == UploadLeft(ModelId("alice"), "model.onnx", "down")


def touched_back(path: Path, content: bytes) -> None:
    """Overwrite a file in place and set its time back."""
    before = path.stat()
    with path.open("r+b") as file:
        file.write(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


CHANGES: dict[str, Callable[[Path], object]] = {
    "overwritten": lambda directory: (directory / "model.onnx").write_bytes(LARGE[::-1]),
    "cut": lambda directory: os.truncate(directory / "model.onnx", 20 * MIB),
    "grown": lambda directory: os.truncate(directory / "model.onnx", len(LARGE) + 1),
    "gone": lambda directory: (directory / "model.onnx").unlink(),
    "replaced": lambda directory: (directory / "new").rename(directory / "config.json"),
    "joined": lambda directory: (directory / "more.json").write_bytes(b"{}"),
    "overwritten with its time set back": lambda directory: touched_back(directory / "model.onnx", b"x" * 100),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_file_that_changes_while_it_is_uploaded_is_noticed(
    world: World, publisher: Publisher, change: Callable[[Path], object]
) -> None:
    publisher.write_all({"model.onnx": LARGE, "new": b"[]"})
    publisher.uploads.plan("begin", lambda: change(publisher.directory))
    with pytest.raises(SourceChanged, match="changed while it was uploaded"):
        publisher.go()
    assert COMMIT not in keys_in(world)
    assert publisher.uploads.pending == {}


def test_somebody_elses_upload_at_the_same_time_is_noticed(world: World, publisher: Publisher) -> None:
    publisher.write_all({"model.onnx": LARGE})
    publisher.uploads.plan("complete", lambda: world.bucket.put("alice/config.json", b"theirs"))
    with pytest.raises(ObjectChanged, match=r"'config.json' was replaced in the bucket meanwhile"):
        publisher.go()
    assert COMMIT not in keys_in(world)


def test_what_somebody_else_removes_meanwhile_is_noticed(world: World, publisher: Publisher) -> None:
    publisher.write_all({"model.onnx": LARGE})
    publisher.uploads.plan("complete", lambda: world.bucket.remove("alice/config.json"))
    with pytest.raises(ObjectChanged):
        publisher.go()


def test_the_first_version_of_a_voice_shows_no_weights_until_all_are_there(world: World, publisher: Publisher) -> None:
    publisher.write_all({"model.onnx": b"small", "vocoder.onnx": LARGE})
    seen: list[list[str]] = []
    publisher.uploads.plan("part", *[lambda: seen.append(keys_in(world))] * 3)
    publisher.go()
    assert len(seen) == 3
    assert not any(key.endswith(".onnx") for keys in seen for key in keys)


def test_a_directory_that_does_not_fit_what_the_bucket_has_is_refused(world: World, publisher: Publisher) -> None:
    world.bucket.put("alice/Model.onnx", b"x")
    with pytest.raises(Rejected, match="remove it from the bucket"):
        publisher.plan()
    assert publisher.uploads.calls == []


@pytest.mark.parametrize("content", [b"nonsense", b'{"version": 2}', b" " * (5 << 20)], ids=["no json", "v2", "huge"])
def test_a_commit_file_that_the_worker_would_refuse_is_replaced(
    world: World, publisher: Publisher, content: bytes
) -> None:
    world.bucket.put(COMMIT, content)
    publisher.go()
    world.sync("alice")
    assert world.read("alice") == ALICE


def test_an_empty_file_is_a_file(world: World, publisher: Publisher) -> None:
    publisher.write_all({"config.json": b""})
    publisher.go()
    world.sync("alice")
    assert world.read("alice")["config.json"] == b""


@pytest.mark.parametrize("name", ["..", "a/b", "", ".modelsync"])
def test_a_name_that_no_model_can_have_is_refused(publisher: Publisher, name: str) -> None:
    with pytest.raises(Rejected, match="is no model's name"):
        publisher.plan(name)


# The directory


def test_a_link_within_the_directory_is_the_file_that_it_leads_to(world: World, publisher: Publisher) -> None:
    (publisher.directory / "blobs").mkdir()
    (publisher.directory / "model.onnx").rename(publisher.directory / "blobs/x")
    (publisher.directory / "model.onnx").symlink_to("blobs/x")
    publisher.go()
    world.sync("alice")
    assert world.read("alice") == ALICE


def make_odd(directory: Path, kind: str) -> None:
    place = directory / "odd.json"
    match kind:
        case "out":
            (directory.parent / "secret").write_text("x")
            place.symlink_to("../secret")
        case "nowhere":
            place.symlink_to("nowhere")
        case "loop":
            place.symlink_to("odd.json")
        case "directory":
            (directory / "link").symlink_to("de")
        case "fifo":
            os.mkfifo(place)


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("out", "leads out of the directory"),
        ("nowhere", "leads nowhere"),
        ("loop", "leads nowhere"),
        ("directory", "symlink to a directory"),
        ("fifo", "no regular file"),
    ],
)
def test_what_is_no_file_of_the_directory_is_refused(publisher: Publisher, kind: str, why: str) -> None:
    make_odd(publisher.directory, kind)
    with pytest.raises(Rejected, match=why):
        publisher.plan()
    assert publisher.uploads.calls == []


def test_names_that_are_no_text_are_refused(publisher: Publisher) -> None:
    (publisher.directory / os.fsdecode(b"a\xff.json")).write_bytes(b"")
    with pytest.raises(Rejected, match=r"U\+DCFF"):
        publisher.plan()


def test_a_directory_that_goes_away_is_told(publisher: Publisher) -> None:
    publisher.directory.rename(publisher.directory.with_name("away"))
    with pytest.raises(SourceUnreadable, match="cannot be read: No such file"):
        publisher.plan()
