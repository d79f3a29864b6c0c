"""A volume that is too small: refused before the first byte, and said so."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelsync.adapters.volume.files import disk_usage
from modelsync.app.result import SyncResult
from modelsync.app.space import SpaceLedger
from modelsync.core.facts import BytesReused, Outcome
from modelsync.core.names import RelPath
from modelsync.core.parts import MIB
from modelsync.core.retention import RetentionRules
from modelsync.core.space import Shortage, SpaceRules, shortage
from modelsync.errors import StoreDenied, VolumeFailed
from modelsync.ports import Space
from support.mounts import mounted
from support.world import World

V1 = {"model.onnx": b"weights 1"}


def test_what_is_needed_must_leave_the_least_free() -> None:
    fits = shortage(10, SpaceRules(15), free_bytes=30, reserved_bytes=5, used_bytes=99)
    assert fits is None
    assert shortage(11, SpaceRules(15), free_bytes=30, reserved_bytes=5, used_bytes=99) == Shortage(
        1,
        "11 bytes are needed, 30 bytes are free, 5 bytes of them for downloads under way, and 15 bytes must stay free:"
        " enlarge the volume, free space on it, or lower VOLUME_MIN_FREE_BYTES",
    )
    large = shortage(2 << 30, SpaceRules(), free_bytes=3 << 19, reserved_bytes=0, used_bytes=0)
    assert large is not None
    assert "2.0 GiB are needed, 1.5 MiB are free, and 0 bytes" in large.reason


def test_the_budget_counts_what_is_used_and_what_is_promised() -> None:
    rules = SpaceRules(budget_bytes=100)
    assert shortage(30, rules, free_bytes=1000, reserved_bytes=20, used_bytes=50) is None
    assert shortage(31, rules, free_bytes=1000, reserved_bytes=20, used_bytes=50) == Shortage(
        1,
        "31 bytes are needed, and 50 bytes of the 100 bytes that modelsync may use are left, 20 bytes of them for"
        " downloads under way: raise VOLUME_BUDGET_BYTES, or remove models from the bucket",
    )
    both = SpaceRules(min_free_bytes=900, budget_bytes=100)
    short = shortage(60, both, free_bytes=910, reserved_bytes=0, used_bytes=50)
    assert short is not None
    assert short.bytes_short == 50, "the larger of 10 over the budget and 50 too few free"


class Small:
    def __init__(self, free_bytes: int) -> None:
        self.free_bytes = free_bytes

    def space(self) -> Space:
        return Space(1000, self.free_bytes)


def test_two_downloads_are_not_promised_the_same_bytes() -> None:
    ledger = SpaceLedger(Small(100), SpaceRules(min_free_bytes=10))  # type: ignore[arg-type]
    a, b = RelPath("a.onnx"), RelPath("b.onnx")
    with ledger.reserve({a: 30, b: 30}) as first:
        with pytest.raises(VolumeFailed, match="60 bytes of them"), ledger.reserve({a: 40}):
            pass
        for _ in range(2):  # once is enough
            first.allocated(a)
        assert first.left_bytes == 30
        with ledger.reserve({a: 40}):
            pass
    with ledger.reserve({a: 90}):
        pass


def test_what_takes_no_space_fits_on_a_volume_that_is_too_full_already() -> None:
    ledger = SpaceLedger(Small(5), SpaceRules(min_free_bytes=10))  # type: ignore[arg-type]
    with ledger.reserve({RelPath("a.onnx"): 0}), ledger.reserve({}):
        pass


def test_a_download_that_would_break_the_budget_is_refused_and_a_larger_budget_lets_it_in(tmp_path: Path) -> None:
    world = World(tmp_path, budget_bytes=MIB)
    world.upload("alice", {"model.onnx": os.urandom(MIB // 2)})
    assert world.sync("alice").outcome is Outcome.SUCCESS
    world.upload("bob", {"model.onnx": os.urandom(MIB // 2)})
    refused = world.sync("bob")
    assert refused.outcome is Outcome.ERROR
    assert "raise VOLUME_BUDGET_BYTES" in refused.reason
    assert world.bucket.calls["get"] == 1, "refused before the first byte"
    larger = World(tmp_path, budget_bytes=2 * MIB, store=world.bucket)
    assert larger.sync("bob").outcome is Outcome.SUCCESS


def test_a_file_with_several_links_is_counted_once(tmp_path: Path) -> None:
    content = os.urandom(MIB)
    (tmp_path / "a").write_bytes(content)
    alone = disk_usage(tmp_path)
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    assert MIB <= disk_usage(tmp_path) == alone


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 64 MiB."""
    with mounted(tmp_path / "small", "tmpfs", 64) as place:
        yield place


def test_a_model_that_does_not_fit_is_refused_before_its_first_byte(small: Path) -> None:
    world = World(small, min_free_bytes=MIB)
    world.upload("alice", V1)
    world.sync("alice")
    world.upload("bob", {"model.onnx": bytes(70 * MIB)})
    result = world.sync("bob")
    assert result.outcome is Outcome.ERROR
    assert "70.0 MiB are needed" in result.reason
    assert world.bucket.calls["get"] == 1, "alice's"
    assert world.read("alice") == V1
    world.upload("carol", V1)
    assert world.sync("carol").outcome is Outcome.SUCCESS


def test_space_is_reserved_on_disk(tmp_path: Path) -> None:
    from modelsync.adapters.volume.files import allocate

    with (tmp_path / "file").open("wb") as file:
        allocate(file.fileno(), 3 * MIB)
        assert os.fstat(file.fileno()).st_blocks * 512 >= 3 * MIB
        with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
            allocate(-1, 1)


def versions(world: World, *numbers: int, **files: bytes) -> SyncResult:
    """Upload versions in which nothing but the config differs; how the last sync ended."""
    for number in numbers:
        world.clock.advance(1)
        world.upload("alice", {name.replace("_", "."): content for name, content in files.items()})
        world.upload("alice", {"config.json": b"%d" % number})
        result = world.sync("alice")
    return result


def copying(world: World) -> None:
    """Where blocks cannot be shared: beside an .onnx file, others are copied."""
    if world.told(BytesReused)[0].how == "clone":
        pytest.skip("this file system shares blocks")


def test_a_copy_on_the_volume_is_held_against_the_budget_like_a_download(tmp_path: Path) -> None:
    world = World(tmp_path, budget_bytes=3 * MIB, retention=RetentionRules(keep=2, stale_seconds=0))
    result = versions(world, 1, 2, model_onnx=b"x", weights_bin=os.urandom(2 * MIB))
    assert disk_usage(tmp_path / ".modelsync") <= 3 * MIB
    assert result.outcome is Outcome.ERROR
    assert "2.0 MiB are needed" in result.reason
    wider = World(tmp_path, store=world.bucket, budget_bytes=5 * MIB)
    wider.clock.advance(10)
    assert versions(wider, 2).outcome is Outcome.SUCCESS
    copying(wider)
    assert {fact.how for fact in wider.told(BytesReused)} == {"copy"}
    assert disk_usage(tmp_path / ".modelsync") <= 5 * MIB


def test_a_copy_makes_room_like_a_download(tmp_path: Path) -> None:
    world = World(tmp_path, budget_bytes=5 * MIB, retention=RetentionRules(keep=9, stale_seconds=0))
    for number in (1, 2, 3):
        assert versions(world, number, model_onnx=b"x", weights_bin=bytes(2 * MIB)).outcome is Outcome.SUCCESS
        assert disk_usage(tmp_path / ".modelsync") <= 5 * MIB
    copying(world)
    assert len(os.listdir(world.home("alice") / "revisions")) == 2


def test_what_is_linked_needs_no_room_and_the_rest_does(tmp_path: Path) -> None:
    """The linked file's bytes are not taken for bytes of the others that are there already."""
    world = World(tmp_path, budget_bytes=4 * MIB)
    weights = os.urandom(3 * MIB)
    assert versions(world, 1, model_onnx=weights).outcome is Outcome.SUCCESS
    assert versions(world, 2).outcome is Outcome.SUCCESS
    assert disk_usage(tmp_path / ".modelsync") < 4 * MIB
    refused = versions(world, 3, new_onnx=os.urandom(2 * MIB))
    assert refused.outcome is Outcome.ERROR
    assert "2.0 MiB are needed" in refused.reason


def test_what_was_staged_for_another_revision_and_is_no_use_makes_room(tmp_path: Path) -> None:
    world = World(tmp_path, budget_bytes=3 * MIB)
    world.upload("alice", {"old.onnx": os.urandom(2 * MIB), "model.onnx": b"x"})
    world.store.plan("get", None, StoreDenied("for now"))
    assert world.sync("alice").outcome is Outcome.ERROR
    world.remove("alice")
    world.upload("alice", {"new.onnx": os.urandom(2 * MIB)})
    assert world.sync("alice").outcome is Outcome.SUCCESS
