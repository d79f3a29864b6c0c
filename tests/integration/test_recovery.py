"""What a crash can leave behind, and how the next sync mends it."""

from __future__ import annotations

import json
import os
import shutil
import threading

import pytest

from modelsync.core.facts import Outcome
from modelsync.core.health import Status
from modelsync.core.names import ModelId
from modelsync.errors import ModelSyncError, StoreUnavailable
from support.world import World

V1, V2 = {"model.onnx": b"weights 1"}, {"model.onnx": b"weights 2"}


def publish(world: World, *versions: dict[str, bytes]) -> None:
    for files in versions:
        world.upload("alice", files)
        assert world.sync("alice").outcome is Outcome.SUCCESS


def test_a_crash_between_link_and_record_is_mended_from_the_link(world: World) -> None:
    publish(world, V1)
    record = world.home("alice") / "current.json"
    before = record.read_bytes()
    publish(world, V2)
    record.write_bytes(before)
    assert world.compare()[0] == ["alice"]
    assert world.sync("alice").outcome is Outcome.NOOP
    current = json.loads(record.read_bytes())
    assert current["revision"] in os.readlink(world.base / "alice")
    assert [old["revision"] for old in current["previous"]] == [json.loads(before)["revision"]]
    assert world.compare()[0] == []


def test_a_record_that_is_lost_or_torn_is_made_again(world: World) -> None:
    publish(world, V1)
    for data in (None, b"", b'{"version": 1, "mod'):
        record = world.home("alice") / "current.json"
        record.unlink() if data is None else record.write_bytes(data)
        world.bucket.calls.clear()
        assert world.sync("alice").outcome is Outcome.NOOP
        assert world.bucket.calls["get"] == 0
        assert world.compare()[0] == []


def test_a_link_that_is_lost_is_made_again_without_a_download(world: World) -> None:
    publish(world, V1)
    (world.base / "alice").unlink()
    assert world.compare()[0] == ["alice"]
    world.bucket.calls.clear()
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.read("alice") == V1
    assert world.bucket.calls["get"] == 0


def test_temporary_names_are_swept_and_in_nobodys_way(world: World) -> None:
    publish(world, V1)
    (world.home("alice") / ".tmp-link").symlink_to("nowhere")
    (world.home("alice") / ".tmp-record").write_bytes(b"{")
    publish(world, V2)
    assert [path.name for path in world.home("alice").iterdir() if path.name.startswith(".tmp")] == []


def test_old_temporary_names_of_the_volume_are_swept_at_start(world: World) -> None:
    own = world.base / ".modelsync"
    (own / ".tmp-old").write_bytes(b"x")
    os.utime(own / ".tmp-old", (0, 0))
    (own / ".tmp-new").write_bytes(b"x")
    world.volume.sweep()
    assert [path.name for path in own.glob(".tmp-*")] == [".tmp-new"], "a replica may be using a new one"


def test_leftover_staging_of_an_unchanged_model_is_swept(world: World) -> None:
    publish(world, V1)
    left = world.home("alice") / "staging" / "0123" / "files"
    left.mkdir(parents=True)
    (left / "model.onnx").write_bytes(b"half")
    assert world.compare()[0] == ["alice"]
    assert world.sync("alice").outcome is Outcome.NOOP
    assert not (world.home("alice") / "staging").exists()
    assert world.compare()[0] == []


@pytest.mark.parametrize("left_bytes", [0, 4])
def test_a_small_staged_file_that_a_power_loss_cut_is_fetched_again(world: World, left_bytes: int) -> None:
    world.upload("alice", {"config.json": b"{}", **V1})
    world.store.plan("get", None, *[StoreUnavailable("S3 is down")] * 3)
    assert world.sync("alice").outcome is Outcome.ERROR
    [cut] = [path for path in world.home("alice").glob("staging/*/files/*") if path.stat().st_size > 0]
    cut.chmod(0o600)
    os.truncate(cut, min(left_bytes, cut.stat().st_size - 1))
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.read("alice") == {"config.json": b"{}", **V1}


def test_a_revision_without_its_manifest_is_not_trusted(world: World) -> None:
    publish(world, V1, V2)
    revisions = world.home("alice") / "revisions"
    old = next(path for path in revisions.iterdir() if path.name not in os.readlink(world.base / "alice"))
    (old / "manifest.json").unlink()
    world.bucket.calls.clear()
    world.upload("alice", V1)
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.bucket.calls["get"] == 1
    assert world.read("alice") == V1


def test_another_worker_on_the_same_volume_finds_everything(world: World) -> None:
    publish(world, V1)
    other = World(world.base, store=world.bucket)
    assert other.compare()[0] == []
    assert other.volume.published(ModelId("alice")).current is not None


def test_a_volume_that_was_emptied_is_filled_again(world: World) -> None:
    publish(world, V1)
    shutil.rmtree(world.base / ".modelsync")
    (world.base / "alice").unlink()
    world.volume.check()
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.read("alice") == V1


def test_a_manifest_that_cannot_be_read_is_built_anew(world: World) -> None:
    publish(world, V1, V2)
    revisions = world.home("alice") / "revisions"
    old = next(path for path in revisions.iterdir() if path.name not in os.readlink(world.base / "alice"))
    (old / "manifest.json").chmod(0o644)
    (old / "manifest.json").write_bytes(b'{"version": 2}')
    world.upload("alice", V1)
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.read("alice") == V1


def test_a_published_revision_that_somebody_removed_is_built_anew(world: World) -> None:
    publish(world, V1)
    shutil.rmtree(world.home("alice") / "revisions")
    assert world.compare()[0] == ["alice"]
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.read("alice") == V1
    assert world.compare()[0] == []


def test_a_directory_that_no_model_can_have_is_passed_over(world: World) -> None:
    publish(world, V1)
    (world.base / ".modelsync" / "models" / "%00").mkdir()
    (world.base / ".modelsync" / "models" / "..%2F..").mkdir()
    assert world.compare()[0] == []


def test_a_lost_volume_is_told_as_such(world: World) -> None:
    world.upload("alice", V1)
    world.base.rename(world.base.with_name("away"))
    result = world.sync("alice")
    assert result.outcome is Outcome.ERROR
    assert "lock alice" in result.reason


def test_replicas_that_start_together_do_not_disturb_each_other(world: World) -> None:
    failed = []

    def start() -> None:
        try:
            for _ in range(100):
                world.volume.check()
                world.volume.sweep()
        except ModelSyncError as error:
            failed.append(error)

    threads = [threading.Thread(target=start) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_what_was_refused_is_known_after_a_restart(world: World) -> None:
    world.upload("alice", V1)
    world.bucket.corrupt("alice/model.onnx")
    world.sync("alice")
    other = World(world.base, store=world.bucket)
    assert other.compare()[0] == []
    assert other.board.checks()["sync"].status is Status.DEGRADED
    world.bucket.remove("alice/model.onnx")
    other.compare()
    assert other.board.checks()["sync"].status is Status.HEALTHY
