"""Damage on a real volume: found, set aside, built anew; and never used again on the way."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from modelsync.core.facts import BytesFetched, BytesReused, DamageFound, Outcome, ReuseRefused
from modelsync.core.health import Status
from modelsync.core.names import ModelId
from modelsync.core.objects import Revision
from modelsync.demo.reader import Reader
from modelsync.errors import ModelBusy, Stopped, StoreUnavailable
from support.damage import HARMS, flip, open_up, remove, replace_by_link, replace_by_pipe
from support.world import World

WEIGHTS = os.urandom(100_000)
V1 = {"model.onnx": WEIGHTS, "config.json": b"{}", "de/vocab.txt": b"abc"}
V2 = V1 | {"config.json": b"{ }"}
ALICE = ModelId("alice")


def publish(world: World, *versions: dict[str, bytes], model: str = "alice") -> None:
    for files in versions:
        world.upload(model, files)
        assert world.sync(model).outcome is Outcome.SUCCESS


def published(world: World, model: str = "alice") -> Path:
    """The directory that readers of a model see."""
    return (world.base / model).resolve(strict=True)


def kinds(world: World, model: str = "alice") -> list[str]:
    return [finding.kind.value for _, finding in world.verify(model).findings]


def test_what_was_published_verifies(world: World) -> None:
    publish(world, V1, V2)
    found = world.verify("alice")
    assert found.findings == ()
    assert (found.files, found.size_bytes) == (6, 2 * 100_003 + 5)


@pytest.mark.parametrize("kind", HARMS)
def test_harm_is_found_and_mended_and_the_damaged_directory_is_left_alone(world: World, kind: str) -> None:
    publish(world, V1)
    before = published(world)
    HARMS[kind](before / "model.onnx")
    harmed = {path.name: path.stat().st_size for path in before.iterdir()}
    assert kinds(world) == [kind]
    world.repair("alice")
    assert world.read("alice") == V1
    assert kinds(world) == []
    assert {path.name: path.stat().st_size for path in before.iterdir()} == harmed, "readers may have it open"
    rebuilt = kind != "mode"
    assert (published(world) != before) is rebuilt
    assert bool(list(before.parent.glob("damage.json"))) is rebuilt
    assert world.compare()[0] == []


@pytest.mark.parametrize("replace", [replace_by_link, replace_by_pipe])
def test_something_that_is_no_file_is_not_followed_and_not_waited_for(
    world: World, replace: Callable[[Path], None]
) -> None:
    publish(world, V1)
    replace(published(world) / "model.onnx")
    assert kinds(world) == ["missing"]
    world.repair("alice")
    assert world.read("alice") == V1


def test_a_directory_that_is_a_link_out_of_the_volume_is_not_followed(world: World) -> None:
    publish(world, V1)
    shutil.rmtree(published(world) / "de")
    (published(world) / "de").symlink_to("/etc")
    assert kinds(world) == ["missing", "extra"]


def test_a_repaired_revision_has_its_name_still_and_stands_beside_the_damaged_one(world: World) -> None:
    publish(world, V1)
    revision = world.verify("alice").revision
    for number in (1, 2):
        flip(published(world) / "model.onnx")
        assert world.repair("alice").revision == revision
        assert os.readlink(world.base / "alice").endswith(f"/{revision}.{number}/files")
    assert world.verify("alice").revision == revision
    found = world.volume.published(ALICE)
    assert (found.kept, found.consistent) == ({revision}, True)
    current = world.volume.published(ALICE).current
    assert current is not None
    assert (current.revision, current.previous) == (revision, ()), "nothing else was ever published"
    assert World(world.base, store=world.bucket).compare()[0] == []


def test_a_model_of_one_file_is_repaired(world: World) -> None:
    world.bucket.put("solo.onnx", WEIGHTS)
    assert world.sync("solo.onnx").outcome is Outcome.SUCCESS
    flip(published(world, "solo.onnx"))
    assert kinds(world, "solo.onnx") == ["crc64nvme"]
    world.repair("solo.onnx")
    assert published(world, "solo.onnx").read_bytes() == WEIGHTS


def test_rot_in_shared_blocks_is_found_wherever_they_are_and_not_used_for_the_repair(world: World) -> None:
    publish(world, V1, V2)
    model = published(world) / "model.onnx"
    if model.stat().st_nlink == 1:
        pytest.skip("this file system does not share blocks by hard links")
    flip(model)
    assert kinds(world) == ["crc64nvme", "crc64nvme"]
    world.facts.clear()
    flawed = world.verify("alice").revision
    assert flawed is not None
    world.repairer.settle(ALICE, flawed, ["model.onnx"], lambda _count: None, stop=world.stop)
    world.sync("alice")
    assert world.read("alice") == V2
    assert sum(fact.count for fact in world.facts if isinstance(fact, BytesFetched)) >= len(WEIGHTS)
    assert len(world.told(ReuseRefused)) == 1, "the older revision, with the same inode, was asked and found out"
    world.settle("alice")
    assert kinds(world) == []
    assert world.volume.published(ALICE).kept == {flawed}


def test_rot_that_nobody_has_found_yet_does_not_spread(world: World) -> None:
    publish(world, V1)
    flip(published(world) / "model.onnx")
    publish(world, V2)
    assert world.read("alice") == V2
    assert world.told(BytesReused) == []
    [fact] = world.told(ReuseRefused)
    assert isinstance(fact, ReuseRefused)
    assert (fact.model, fact.finding.path) == ("alice", "model.onnx")


def test_a_file_that_may_be_written_is_copied_not_linked(world: World) -> None:
    publish(world, V1)
    open_up(published(world) / "model.onnx")
    publish(world, V2)
    [fact] = world.told(BytesReused)
    assert isinstance(fact, BytesReused)
    assert fact.how in {"clone", "copy"}
    assert (published(world) / "model.onnx").stat().st_mode & 0o777 == 0o444


def test_a_damaged_revision_that_was_kept_is_not_switched_back_to(world: World) -> None:
    publish(world, V1)
    first = published(world)
    publish(world, V2)
    flip(first / "config.json")
    world.settle("alice")
    assert kinds(world) == []
    world.upload("alice", V1)
    assert world.sync("alice").revision == first.parent.name
    assert world.read("alice") == V1
    assert published(world) != first


def test_damage_on_record_is_repaired_by_any_worker_at_its_next_comparison(world: World) -> None:
    publish(world, V1)
    flip(published(world) / "model.onnx")
    world.settle("alice")
    assert world.board.checks()["scrub"].status is Status.DEGRADED
    other = World(world.base, store=world.bucket)
    assert other.compare()[0] == ["alice"]
    check = other.board.checks()["scrub"]
    assert check.status is Status.DEGRADED
    assert "alice: model.onnx: crc64nvme is" in check.reason
    assert other.sync("alice").reason.startswith("the published revision is damaged: model.onnx: crc64nvme is")
    assert other.read("alice") == V1
    assert other.board.checks()["scrub"].status is Status.HEALTHY
    world.compare()
    assert world.board.checks()["scrub"].status is Status.HEALTHY, "another replica repaired it"


def test_a_pinned_model_is_repaired_and_stays_pinned(world: World) -> None:
    publish(world, V1)
    current = world.volume.published(ALICE).current
    assert current is not None
    with world.volume.writer(ALICE) as writer:
        writer.record(replace(current, pin="rollback"))
    assert world.compare()[0] == []
    flip(published(world) / "model.onnx")
    world.settle("alice")
    assert world.compare()[0] == ["alice"]
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.read("alice") == V1
    after = world.volume.published(ALICE).current
    assert after is not None
    assert (after.revision, after.pin) == (current.revision, "rollback")
    assert world.compare()[0] == []


def test_without_s3_readers_keep_what_they_have(world: World) -> None:
    publish(world, V1)
    before = published(world)
    flip(before / "config.json")
    world.store.plan("list", *[StoreUnavailable("S3 is down")] * 3)
    assert world.repair("alice").outcome is Outcome.ERROR
    assert published(world) == before
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.read("alice") == V1


def test_if_the_bucket_has_moved_on_the_new_revision_is_brought(world: World) -> None:
    publish(world, V1)
    flip(published(world) / "model.onnx")
    world.upload("alice", V2)
    world.repair("alice")
    assert world.read("alice") == V2


def test_a_model_that_left_the_bucket_stays_as_it_is_and_is_reported(world: World) -> None:
    publish(world, V1)
    before = published(world)
    flip(before / "model.onnx")
    for name in V1:
        world.bucket.remove(f"alice/{name}")
    assert world.repair("alice").outcome is Outcome.NOOP
    assert published(world) == before
    assert kinds(world) == ["crc64nvme"], "from the record: it is not read again"


@pytest.mark.parametrize("harm", ["torn", "removed", "altered", "of another model"])
def test_a_manifest_that_is_not_the_revisions_own_is_damage(world: World, harm: str) -> None:
    publish(world, V1)
    publish(world, V1, model="bob")
    manifest = published(world).parent / "manifest.json"
    text = manifest.read_bytes()
    manifest.chmod(0o644)
    match harm:
        case "torn":
            manifest.write_bytes(text[:50])
        case "removed":
            manifest.unlink()
        case "altered":
            manifest.write_bytes(text.replace(b'"size_bytes": 3', b'"size_bytes": 4'))
        case _:
            manifest.write_bytes((published(world, "bob").parent / "manifest.json").read_bytes())
    assert kinds(world) == ["manifest"]
    world.repair("alice")
    assert kinds(world) == []
    assert world.read("alice") == V1


def test_a_lost_record_beside_a_torn_manifest_is_no_dead_end(world: World) -> None:
    publish(world, V1)
    manifest = published(world).parent / "manifest.json"
    manifest.chmod(0o644)
    manifest.write_bytes(b"{")
    (world.home("alice") / "current.json").unlink()
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.read("alice") == V1
    assert kinds(world) == []


def test_a_damage_record_that_is_torn_counts_all_the_same(world: World) -> None:
    publish(world, V1)
    flip(published(world) / "model.onnx")
    world.settle("alice")
    (published(world).parent / "damage.json").write_bytes(b"{")
    assert kinds(world) == ["unreadable"]
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.read("alice") == V1


def test_a_link_that_was_moved_by_hand_is_a_finding_that_a_sync_mends(world: World) -> None:
    publish(world, V1, V2)
    link = world.base / "alice"
    target = os.readlink(link)
    for elsewhere in (None, target.replace(Path(target).parent.name, "0" * 32)):
        link.unlink()
        if elsewhere is not None:
            link.symlink_to(elsewhere)
        assert "link" in kinds(world)
        world.repair("alice")
        assert world.read("alice") == V2
        assert kinds(world) == []


def test_what_is_removed_while_it_is_read_is_no_damage(world: World) -> None:
    publish(world, V1)
    first = published(world).parent
    publish(world, V2)

    def retention(_count: int) -> None:
        shutil.rmtree(first, ignore_errors=True)

    assert world.verifier.model(ALICE, retention).findings == ()


def test_a_finding_that_does_not_hold_at_the_second_look_is_dropped(world: World) -> None:
    publish(world, V1)
    revision = Revision(published(world).parent.name)
    assert world.repairer.settle(ALICE, revision, ["model.onnx"], lambda _count: None, stop=world.stop) == ()
    gone = Revision("0" * 32)
    assert world.repairer.settle(ALICE, gone, ["model.onnx"], lambda _count: None, stop=world.stop) == ()
    assert world.told(DamageFound) == []
    assert world.volume.published(ALICE).consistent


def test_another_worker_of_the_model_is_waited_for_but_not_for_ever(world: World) -> None:
    publish(world, V1)
    flip(published(world) / "model.onnx")
    revision = Revision(published(world).parent.name)
    start = world.clock.now()
    with world.volume.writer(ALICE), pytest.raises(ModelBusy):
        world.repairer.settle(
            ALICE, revision, ["model.onnx"], lambda _count: None, stop=world.stop, patience_seconds=5.0
        )
    assert 5 <= world.clock.now() - start <= 7
    assert world.volume.published(ALICE).consistent

    def stopped(_count: int) -> None:
        raise Stopped("now")

    with world.volume.writer(ALICE), pytest.raises(Stopped):
        world.repairer.settle(ALICE, revision, ["model.onnx"], stopped, stop=world.stop)


def test_blocks_that_the_disk_has_lost_are_damage(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(world, V1)

    def fails(*_: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "readv", fails)
        assert kinds(world) == ["unreadable"] * 3
    with monkeypatch.context() as patch:
        patch.setattr(Path, "lstat", fails)
        assert kinds(world) == ["unreadable"], "a directory"


def test_a_file_that_grows_while_it_is_read_is_not_read_for_ever(world: World) -> None:
    publish(world, V1)
    revision = Revision(published(world).parent.name)
    path = published(world) / "config.json"
    path.chmod(0o644)

    def grow(_count: int) -> None:
        with path.open("ab") as file:
            file.write(b"more")

    record = next(file for file in world.verifier.names(ALICE, revision).files if file.path == "config.json")
    finding = world.verifier.file(ALICE, revision, record, grow)
    assert finding is not None
    assert finding.kind == "size"


def test_a_reader_in_a_tight_loop_never_sees_an_error_while_its_model_is_repaired(world: World) -> None:
    publish(world, V1)
    changed = bytes([V1["config.json"][0] ^ 1]) + V1["config.json"][1:]

    def whole(files: dict[str, bytes]) -> bool:
        return files in (V1, V1 | {"config.json": changed})  # the damage itself, before it is found

    reader = Reader(world.base / "alice", whole)
    reader.start()
    for _ in range(50):
        flip(published(world) / "config.json")
        world.repair("alice")
        assert world.read("alice") == V1
    seen = reader.stop()
    assert (seen.torn, seen.errors) == (0, 0)
    assert len(seen.revisions) > 10, "it was really reading while it changed"


def test_two_who_find_the_same_damage_repair_it_once(world: World) -> None:
    publish(world, V1)
    flip(published(world) / "model.onnx")
    others = [World(world.base, store=world.bucket) for _ in range(2)]
    found = [other.verify("alice").findings for other in others]
    barrier = threading.Barrier(2)

    def act(other: World, findings: tuple[tuple[Revision | None, object], ...]) -> None:
        [(revision, _)] = findings
        assert revision is not None
        barrier.wait()
        other.repairer.settle(ALICE, revision, ["model.onnx"], lambda _count: None, stop=other.stop)
        while other.sync("alice").outcome is Outcome.BUSY:
            pass

    threads = [threading.Thread(target=act, args=pair) for pair in zip(others, found, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert world.read("alice") == V1
    assert len(list((world.home("alice") / "revisions").iterdir())) == 2


def test_a_file_removed_from_a_revision_nobody_reads_needs_no_download(world: World) -> None:
    publish(world, V1)
    first = published(world)
    publish(world, V2)
    remove(first / "config.json")
    world.bucket.calls.clear()
    world.repair("alice")
    assert world.bucket.calls["get"] == 0
    assert kinds(world) == []
