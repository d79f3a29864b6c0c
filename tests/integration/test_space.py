"""A volume that is too small: refused before the first byte, and said so."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelsync.adapters.volume.files import disk_usage
from modelsync.app.space import SpaceLedger
from modelsync.core.facts import Outcome
from modelsync.core.parts import MIB
from modelsync.core.space import Shortage, SpaceRules, shortage
from modelsync.errors import VolumeFailed
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
    with ledger.reserve(60) as first:
        with pytest.raises(VolumeFailed, match="60 bytes of them"), ledger.reserve(40):
            pass
        first.allocated(30)
        with ledger.reserve(40):
            pass
    with ledger.reserve(90):
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
