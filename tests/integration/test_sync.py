"""One model from the bucket to its readers, on a real volume."""

from __future__ import annotations

import json
import os
import resource
import stat
import threading
from pathlib import Path

import pytest

from fakes.store import FakeStore
from modelsync.adapters.volume.staging import LocalStagedFile
from modelsync.core.facts import (
    BytesFetched,
    FetchStarted,
    FileVerified,
    Outcome,
    Published,
    RequestRetried,
    RevisionRejected,
)
from modelsync.core.names import ModelId, Naming
from modelsync.core.parts import MIB
from modelsync.errors import ModelBusy, Stopped, StoreDenied, StoreUnavailable
from support.world import World

V1 = {"model.onnx": b"weights 1", "config.json": b"{}", "de/vocab.txt": b"abc"}
V2 = {"model.onnx": b"weights 2!", "config.json": b"{ }", "de/vocab.txt": b"abc"}


def test_a_model_is_published_behind_one_relative_link(world: World) -> None:
    world.upload("alice", V1)
    result = world.sync("alice")
    assert result.outcome is Outcome.SUCCESS
    assert world.read("alice") == V1
    target = os.readlink(world.base / "alice")
    assert target == f".modelsync/models/alice/revisions/{result.revision}/files"
    assert sorted(path.name for path in world.base.iterdir()) == [".modelsync", "alice"]


def test_published_files_are_read_only(world: World) -> None:
    world.upload("alice", V1)
    world.sync("alice")
    for path in (world.base / "alice").resolve().rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o755 if path.is_dir() else 0o444)


def test_the_records_say_what_was_published_and_how(world: World) -> None:
    world.upload("alice", V1)
    revision = world.sync("alice").revision
    current = json.loads((world.home("alice") / "current.json").read_bytes())
    assert (current["revision"], current["previous"], current["pin"]) == (revision, [], None)
    manifest = json.loads((world.home("alice") / "revisions" / str(revision) / "manifest.json").read_bytes())
    assert manifest["source"] == "s3://test/"
    by_path = {file["path"]: file for file in manifest["files"]}
    assert set(by_path) == set(V1)
    assert by_path["model.onnx"]["size_bytes"] == 9
    assert by_path["model.onnx"]["proof"] == "crc64nvme"
    assert len(by_path["model.onnx"]["crc64nvme"]) == 16
    assert (world.home("alice") / "revisions" / str(revision) / "lease.lock").exists()


def test_an_update_switches_and_keeps_the_old_revision(world: World) -> None:
    world.upload("alice", V1)
    first = world.sync("alice").revision
    before = (world.base / "alice").resolve()
    world.upload("alice", V2)
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.read("alice") == V2
    assert (before / "model.onnx").read_bytes() == V1["model.onnx"], "a reader that resolved before is not disturbed"
    current = json.loads((world.home("alice") / "current.json").read_bytes())
    assert [old["revision"] for old in current["previous"]] == [first]


def test_an_unchanged_model_costs_one_listing(world: World) -> None:
    world.upload("alice", V1)
    world.sync("alice")
    world.bucket.calls.clear()
    assert world.sync("alice").outcome is Outcome.NOOP
    assert world.bucket.calls == {"list": 1}


def test_content_that_comes_back_is_not_downloaded_again(world: World) -> None:
    for files in (V1, V2):
        world.upload("alice", files)
        world.sync("alice")
    world.bucket.calls.clear()
    world.upload("alice", V1)
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.read("alice") == V1
    assert world.bucket.calls["get"] == 0


def test_a_lone_object_is_published_as_a_file(world: World) -> None:
    world.bucket.put("solo.onnx", b"weights")
    assert world.sync("solo.onnx").outcome is Outcome.SUCCESS
    assert (world.base / "solo.onnx").read_bytes() == b"weights"
    assert (world.base / "solo.onnx").is_symlink()


def test_a_model_of_two_segments_has_a_link_in_a_directory(tmp_path: Path) -> None:
    world = World(tmp_path, naming=Naming(prefix="voices/", depth=2))
    world.upload("en/alice", V1)
    assert world.sync("en/alice").outcome is Outcome.SUCCESS
    assert world.read("en/alice") == V1
    assert os.readlink(tmp_path / "en/alice").startswith("../.modelsync/models/en%2Falice/")


def test_a_moved_volume_still_works(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    world = World(tmp_path / "one")
    world.upload("alice", V1)
    world.sync("alice")
    (tmp_path / "one").rename(tmp_path / "two")
    assert (tmp_path / "two" / "alice" / "model.onnx").read_bytes() == V1["model.onnx"]


def test_a_model_that_is_not_in_the_bucket_leaves_no_trace(world: World) -> None:
    assert world.sync("ghost").outcome is Outcome.NOOP
    assert list((world.base / ".modelsync" / "models").iterdir()) == []


def test_a_model_that_left_the_bucket_stays_published(world: World) -> None:
    world.upload("alice", V1)
    world.sync("alice")
    for name in V1:
        world.bucket.remove(f"alice/{name}")
    assert world.sync("alice").outcome is Outcome.NOOP
    assert world.read("alice") == V1


# What changes under way


def test_an_object_replaced_before_its_download_is_planned_anew(world: World) -> None:
    world.upload("alice", V1)
    world.store.plan("get", lambda: world.upload("alice", V2))
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.read("alice") == V2


def test_a_listing_that_changed_meanwhile_is_not_published(world: World) -> None:
    world.upload("alice", V1)
    world.store.plan("list", None, lambda: world.upload("alice", {"extra.json": b"{}"}))
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.read("alice") == V1 | {"extra.json": b"{}"}
    assert len(world.told(Published)) == 1, "the half that was seen first was never published"


def test_a_bucket_that_never_stands_still_is_given_up_for_now(world: World) -> None:
    world.upload("alice", V1)
    changes = iter(range(100))
    for _ in range(20):
        world.store.plan("list", None, lambda: world.upload("alice", {"c.json": str(next(changes)).encode()}))
    result = world.sync("alice")
    assert result.outcome is Outcome.ERROR
    assert "changed during the download" in result.reason
    assert not (world.base / "alice").exists()


# What goes wrong on the way


def test_a_body_that_breaks_off_is_continued_where_it_broke(world: World) -> None:
    content = os.urandom(400_000)
    world.upload("alice", {"model.onnx": content})
    world.store.plan("get", "break", "refuse", "break")
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.read("alice")["model.onnx"] == content
    assert len(world.told(RequestRetried)) == 3
    assert sum(fact.count for fact in world.facts if isinstance(fact, BytesFetched)) == len(content)


def test_a_request_that_goes_on_failing_is_given_up_and_the_published_revision_stays(world: World) -> None:
    world.upload("alice", V1)
    world.sync("alice")
    world.upload("alice", V2)
    world.store.plan("get", *["refuse"] * 50)
    result = world.sync("alice")
    assert result.outcome is Outcome.ERROR
    assert isinstance(result.error, StoreUnavailable)
    assert world.read("alice") == V1


def test_a_denied_request_is_not_repeated(world: World) -> None:
    world.upload("alice", V1)
    world.store.plan("get", *[StoreDenied("no permission")] * 3)
    result = world.sync("alice")
    assert result.outcome is Outcome.ERROR
    assert result.reason == "no permission"
    assert world.told(RequestRetried) == []


@pytest.mark.parametrize("checksums", [True, False], ids=["crc64nvme", "etag-md5"])
def test_a_flipped_bit_is_found_and_fetched_again(tmp_path: Path, checksums: bool) -> None:  # noqa: FBT001
    world = World(tmp_path, store=FakeStore(checksums=checksums))
    world.upload("alice", {"model.onnx": b"weights"})
    world.store.plan("get", "flip")
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.read("alice") == {"model.onnx": b"weights"}


def test_a_mismatch_beside_a_finished_file_is_overcome_by_any_user(one_by_one: World) -> None:
    """The second attempt opens the finished file, which is read-only, once more."""
    world = one_by_one
    (world.base / "read-only").touch(0o444)
    with pytest.raises(PermissionError):
        (world.base / "read-only").open("r+b")
    world.upload("alice", V1)
    world.store.plan("get", None, None, "flip")
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.read("alice") == V1
    assert world.bucket.calls["get"] == 4, "what was right is not fetched again"


def test_bytes_that_stay_wrong_are_quarantined_with_both_values(world: World) -> None:
    world.upload("alice", V1)
    world.sync("alice")
    world.upload("alice", V2)
    world.bucket.corrupt("alice/model.onnx")
    result = world.sync("alice")
    assert result.outcome is Outcome.REJECTED
    assert world.read("alice") == V1
    [record] = (world.home("alice") / "quarantine").iterdir()
    told = json.loads(record.read_bytes())
    assert (told["revision"], told["rule"]) == (result.revision, "checksum")
    assert "crc64nvme is " in told["reason"]
    assert "S3 has " in told["reason"]
    assert not (world.home("alice") / "staging").exists(), "bad bytes are not kept"


@pytest.mark.parametrize("later_seconds", [0, 10])
def test_a_flipped_bit_in_a_committed_file_is_no_fault_of_the_commit(world: World, later_seconds: int) -> None:
    world.upload("alice", V1)
    world.clock.advance(later_seconds)
    world.commit("alice", V1)
    world.store.plan("get", None, "flip")  # the commit file, then a file
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.read("alice") == V1


def test_the_same_bytes_uploaded_once_more_mend_a_refusal(world: World) -> None:
    world.upload("alice", V1)
    world.bucket.corrupt("alice/model.onnx")
    assert world.sync("alice").outcome is Outcome.REJECTED
    world.clock.advance(10)
    world.upload("alice", V1)
    assert world.compare()[0] == ["alice"]
    assert world.sync("alice").outcome is Outcome.SUCCESS


def test_what_was_refused_is_not_downloaded_again_until_the_bucket_changes(world: World) -> None:
    world.upload("alice", V1)
    world.bucket.corrupt("alice/model.onnx")
    world.sync("alice")
    world.bucket.calls.clear()
    assert world.sync("alice").outcome is Outcome.REJECTED
    assert world.bucket.calls == {"list": 1}
    assert len(world.told(RevisionRejected)) == 1, "it is told once"
    world.upload("alice", V2)
    assert world.sync("alice").outcome is Outcome.SUCCESS


def test_a_full_disk_leaves_the_published_revision_and_says_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.upload("alice", V1)
    world.sync("alice")
    world.upload("alice", V2)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        result = world.sync("alice")
    assert result.outcome is Outcome.ERROR
    assert "the volume is full" in result.reason
    assert world.read("alice") == V1
    assert world.sync("alice").outcome is Outcome.SUCCESS


def test_a_disk_too_full_for_the_manifest_costs_no_second_download(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.upload("alice", V1)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("modelsync.adapters.volume.staging.write_new", full)
        assert world.sync("alice").outcome is Outcome.ERROR
    world.bucket.calls.clear()
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.bucket.calls["get"] == 0


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_many_files_need_few_descriptors_and_none_is_leaked(tmp_path: Path) -> None:
    world = World(tmp_path)
    files = {f"{number:04}.json": b"{}" for number in range(500)} | {"model.onnx": b"w"}
    world.upload("alice", files)
    before = open_files()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before + 100, hard))
    try:
        assert world.sync("alice").outcome is Outcome.SUCCESS
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert world.read("alice") == files
    assert open_files() <= before + 1


def test_failed_attempts_leak_no_descriptor(world: World) -> None:
    world.upload("alice", V1)
    before = open_files()
    for attempt in range(20):
        world.upload("alice", {"config.json": str(attempt).encode()})
        world.store.plan("list", None, lambda: world.upload("alice", {"x.json": os.urandom(8)}))
        world.store.plan("get", *[StoreDenied("no")] * (attempt % 3))
        world.sync("alice")
    assert open_files() <= before + 1


def test_a_large_model_does_not_starve_a_small_one(tmp_path: Path) -> None:
    world = World(tmp_path, concurrency=2)
    world.upload("big", {f"{number:03}.json": b"x" for number in range(200)} | {"model.onnx": b"x"})
    world.upload("small", V1)
    order: list[str] = []
    gate = threading.Event()
    world.store.plan("get", gate.wait, gate.wait)  # the big model has all threads, and is slow
    observe = world.observe

    def note(fact: object, /) -> None:
        if isinstance(fact, FetchStarted) and fact.model == "small":
            gate.set()
        if isinstance(fact, Published):
            order.append(fact.model)
        observe(fact)  # type: ignore[arg-type]

    world.sync_models._observe = note
    threads = [threading.Thread(target=world.sync, args=(model,)) for model in ("big", "small")]
    threads[0].start()
    while not world.told(FetchStarted):
        pass
    threads[1].start()
    for thread in threads:
        thread.join(60)
    assert order == ["small", "big"]


# Large objects and resuming

LARGE = os.urandom(1 << 20) * 40 + b"end"  # three parts


@pytest.fixture
def one_by_one(tmp_path: Path) -> World:
    """A world with one connection, so that requests come in the plan's order."""
    return World(tmp_path, concurrency=1)


def test_a_large_object_is_fetched_in_parts_and_proven_whole(world: World) -> None:
    world.upload("alice", {"model.onnx": LARGE})
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.read("alice")["model.onnx"] == LARGE
    assert world.bucket.calls["get"] == 3
    assert world.bucket.calls["head"] == 1


@pytest.mark.parametrize("algorithm", ["crc32", "crc32c", "crc64nvme"])
def test_a_large_object_is_proven_by_what_passed_without_a_second_read(
    world: World, algorithm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.bucket.algorithm = algorithm
    world.upload("alice", {"model.onnx": LARGE})
    with monkeypatch.context() as patch:
        patch.setattr(LocalStagedFile, "read", None)
        assert world.sync("alice").outcome is Outcome.SUCCESS
    assert [fact.proof for fact in world.told(FileVerified)] == [algorithm]
    assert world.read("alice") == {"model.onnx": LARGE}


@pytest.mark.parametrize("checksums", [True, False], ids=["crc64nvme", "etag-md5"])
def test_a_flipped_bit_in_one_part_is_found(tmp_path: Path, checksums: bool) -> None:  # noqa: FBT001
    world = World(tmp_path, store=FakeStore(checksums=checksums))
    world.upload("alice", {"model.onnx": LARGE})
    world.store.plan("get", None, "flip")
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.read("alice")["model.onnx"] == LARGE
    assert world.bucket.calls["get"] == 6, "nothing of a file that fails its proof is trusted"


def test_parts_that_are_there_are_not_fetched_again(one_by_one: World) -> None:
    world = one_by_one
    world.upload("alice", {"model.onnx": LARGE, "config.json": b"{}"})
    # The small file and two parts arrive, the third part never does.
    world.store.plan("get", None, None, None, StoreDenied("for now"))
    assert world.sync("alice").outcome is Outcome.ERROR
    world.bucket.calls.clear()
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.read("alice") == {"model.onnx": LARGE, "config.json": b"{}"}
    assert world.bucket.calls["get"] == 1


def test_a_staged_part_whose_bytes_changed_is_not_trusted(one_by_one: World) -> None:
    world = one_by_one
    world.upload("alice", {"model.onnx": LARGE})
    world.store.plan("get", None, None, StoreDenied("for now"))
    world.sync("alice")
    [staged] = (world.home("alice") / "staging").glob("*/files/model.onnx")
    with staged.open("r+b") as file:
        file.seek(5)
        file.write(b"rot")
    world.bucket.calls.clear()
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.read("alice")["model.onnx"] == LARGE
    assert world.bucket.calls["get"] == 2


def test_a_superseded_download_hands_its_unchanged_files_on(one_by_one: World) -> None:
    world = one_by_one
    world.upload("alice", {"model.onnx": LARGE, "config.json": b"{}"})
    world.store.plan("get", None, None, None, StoreDenied("for now"))
    world.sync("alice")
    world.upload("alice", {"config.json": b"{ }"})
    world.bucket.calls.clear()
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.read("alice") == {"model.onnx": LARGE, "config.json": b"{ }"}
    assert world.bucket.calls["get"] == 2, "the missing part and the new config"


def test_files_of_a_superseded_download_are_not_published(world: World) -> None:
    world.upload("alice", V1)
    world.store.plan("list", None, *[StoreUnavailable("for now")] * 3)  # everything is there but not published
    assert world.sync("alice").outcome is Outcome.ERROR
    world.bucket.remove("alice/de/vocab.txt")
    world.bucket.put("alice/de", b"not a known ending")
    world.bucket.put("alice/config.json/inner.json", b"{}")
    world.bucket.remove("alice/config.json")
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.read("alice") == {"model.onnx": V1["model.onnx"], "config.json/inner.json": b"{}"}


def test_parking_keeps_what_is_there(one_by_one: World) -> None:
    world = one_by_one
    world.upload("alice", {"model.onnx": LARGE})
    world.store.plan("get", None, world.stop.set)
    with pytest.raises(Stopped):
        world.sync("alice")
    world.stop.clear()
    world.bucket.calls.clear()
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.bucket.calls["get"] < 3
    assert world.read("alice")["model.onnx"] == LARGE


# Commit files and settling


def test_a_commit_waits_for_every_file_it_lists(world: World) -> None:
    world.upload("alice", V1)
    world.commit("alice", V1)
    world.sync("alice")
    world.commit("alice", V2)
    result = world.sync("alice")
    assert result.outcome is Outcome.WAITING
    assert "1 of 3 files are there" in result.reason
    assert world.read("alice") == V1
    world.upload("alice", V2)
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.read("alice") == V2


def test_unlisted_objects_are_not_published(world: World) -> None:
    world.upload("alice", V1 | {"notes.txt": b"private"})
    world.commit("alice", V1)
    world.sync("alice")
    assert world.read("alice") == V1


def test_a_file_that_is_ahead_of_its_commit_holds_the_model_back_without_downloads(world: World) -> None:
    world.upload("alice", V1)
    world.commit("alice", V1)
    world.sync("alice")
    world.clock.advance(10)
    same_size = V1 | {"model.onnx": b"weights 9"}
    world.upload("alice", same_size)
    result = world.sync("alice")
    assert result.outcome is Outcome.WAITING
    assert "newer than the commit file" in result.reason
    world.bucket.calls.clear()
    assert world.sync("alice").outcome is Outcome.WAITING
    assert world.bucket.calls["get"] == 1, "the commit file alone"
    assert world.read("alice") == V1
    world.commit("alice", same_size)
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.read("alice") == same_size


def test_a_file_that_differs_from_a_later_commit_is_rejected(world: World) -> None:
    world.upload("alice", V1)
    world.clock.advance(10)
    world.commit("alice", V1 | {"model.onnx": b"weights X"})
    result = world.sync("alice")
    assert result.outcome is Outcome.REJECTED
    assert "commit-sha256" in result.reason
    assert not (world.base / "alice").exists()


def test_a_commit_file_that_cannot_be_read_is_rejected(world: World) -> None:
    world.upload("alice", V1 | {"modelsync.json": b"{"})
    result = world.sync("alice")
    assert result.outcome is Outcome.REJECTED
    assert "no JSON" in result.reason


def test_a_commit_file_of_absurd_size_is_not_even_read(world: World) -> None:
    world.upload("alice", V1 | {"modelsync.json": b" " * (5 * MIB)})
    assert world.sync("alice").outcome is Outcome.REJECTED
    assert world.bucket.calls["get"] == 0


def test_a_model_without_a_commit_file_settles_first(tmp_path: Path) -> None:
    world = World(tmp_path, settle_seconds=2.0)
    world.upload("alice", V1)
    result = world.sync("alice")
    assert (result.outcome, result.wait_seconds) == (Outcome.WAITING, 2.0)
    assert world.bucket.calls["get"] == 0
    world.clock.advance(2)
    assert world.sync("alice").outcome is Outcome.SUCCESS


# Names that clash, places that are taken, writers that meet


def test_two_models_that_differ_only_in_case_are_not_both_published(world: World) -> None:
    world.upload("alice", V1)
    world.upload("Alice", V2)
    assert world.sync("alice").outcome is Outcome.SUCCESS
    result = world.sync("Alice")
    assert result.outcome is Outcome.REJECTED
    assert "'alice' has this name already" in result.reason
    assert world.read("alice") == V1


def test_a_refused_key_does_not_stop_other_models(world: World) -> None:
    world.upload("alice", V1)
    world.upload("mallory", {"model.onnx": b"x", "../../evil.onnx": b"x"})
    marked, found = world.compare()
    assert marked == ["alice", "mallory"]
    assert found.models == 2
    assert [world.sync(model).outcome for model in marked] == [Outcome.SUCCESS, Outcome.REJECTED]
    assert world.compare()[0] == [], "a refusal on record asks for no more work"
    assert not (world.base.parent / "evil.onnx").exists()


@pytest.mark.parametrize("kind", ["directory", "file", "foreign link"])
def test_what_is_not_ours_is_not_replaced(world: World, kind: str) -> None:
    place = world.base / "alice"
    match kind:
        case "directory":
            place.mkdir()
            (place / "model.onnx").write_bytes(b"from another tool")
        case "file":
            place.write_bytes(b"from another tool")
        case _:
            place.symlink_to("/etc/passwd")
    world.upload("alice", V1)
    result = world.sync("alice")
    assert result.outcome is Outcome.REJECTED
    assert "move it away" in result.reason
    assert os.path.lexists(place)
    assert world.board.models()[ModelId("alice")].state == "rejected"
    place.rename(world.base / "moved away")
    assert world.compare()[0] == ["alice"]
    world.bucket.calls.clear()
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.read("alice") == V1
    assert world.bucket.calls["get"] == 0, "it was downloaded before"


def test_a_volume_may_be_reached_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "base").symlink_to("real")
    world = World(tmp_path / "base")
    world.upload("alice", V1)
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.read("alice") == V1


def test_a_directory_above_a_link_that_is_not_ours_is_not_followed(tmp_path: Path) -> None:
    base, elsewhere = tmp_path / "base", tmp_path / "elsewhere"
    base.mkdir()
    elsewhere.mkdir()
    (base / "en").symlink_to(elsewhere)
    world = World(base, naming=Naming(depth=2))
    world.upload("en/alice", V1)
    assert world.sync("en/alice").outcome is Outcome.REJECTED
    assert list(elsewhere.iterdir()) == []


def test_a_model_that_another_worker_syncs_is_busy(world: World) -> None:
    world.upload("alice", V1)
    with world.volume.writer(ModelId("alice")):
        assert world.sync("alice").outcome is Outcome.BUSY
    assert world.sync("alice").outcome is Outcome.SUCCESS


def test_only_one_of_many_writers_gets_the_lock_even_while_directories_vanish(world: World) -> None:
    """A writer of a model that does not exist removes the lock file it held; nobody may hold an orphan."""
    inside = []
    together = []
    start = threading.Barrier(4)

    def contend() -> None:
        start.wait()
        for _ in range(200):
            try:
                with world.volume.writer(ModelId("ghost")):
                    inside.append(1)
                    together.append(len(inside))
                    inside.pop()
            except ModelBusy:
                continue

    threads = [threading.Thread(target=contend) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together
    assert max(together) == 1


def test_a_model_of_too_many_objects_is_refused_once_and_holds_up_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelsync.core.objects.MOST_OBJECTS", 3)
    world.upload("alice", V1 | {"a.json": b"", "b.json": b"", "notes.md": b""})
    world.upload("bob", V1)
    assert world.compare()[0] == ["alice", "bob"]
    result = world.sync("alice")
    assert (result.outcome, result.reason) == (
        Outcome.REJECTED,
        "it has more than 3 objects: exclude it, or make several models of it",
    )
    assert world.sync("bob").outcome is Outcome.SUCCESS
    assert world.compare()[0] == [], "a refusal on record asks for no more work"
    for name in ("a.json", "b.json"):
        world.bucket.remove(f"alice/{name}")
    assert world.compare()[0] == ["alice"]
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.read("alice") == V1
