"""Large files on a local disk, written past the page cache."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import pytest

from modelsync.adapters.volume.direct import BLOCK_BYTES, DirectWriter, on_local_disk
from modelsync.adapters.volume.staging import Journal, LocalStagedFile
from modelsync.core.facts import Outcome
from modelsync.core.names import RelPath
from modelsync.core.parts import MIB, Span
from support.world import World

LARGE = os.urandom(1 << 20) * 40 + b"tail"


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    if not on_local_disk(tmp_path):
        pytest.skip(f"{tmp_path} is not on a local disk's file system")
    return tmp_path


def aligned(content: bytes) -> memoryview:
    buffer = memoryview(mmap.mmap(-1, len(content)))
    buffer[:] = content
    return buffer


def test_whole_blocks_go_to_the_disk_and_the_rest_is_left_to_the_cache(disk: Path) -> None:
    path = disk / "file"
    path.write_bytes(bytes(3 * BLOCK_BYTES))
    writer = DirectWriter(str(path))
    blocks = os.urandom(2 * BLOCK_BYTES)
    assert writer.write(0, aligned(blocks)) == len(blocks)
    assert writer.write(BLOCK_BYTES, aligned(b"odd")) == 0
    assert writer.write(7, aligned(blocks)) == 0
    assert writer.write(0, aligned(bytes(1) + blocks)[1 : 1 + BLOCK_BYTES]) == 0, "the buffer lies askew"
    writer.close()
    assert path.read_bytes() == blocks + bytes(BLOCK_BYTES)


def test_a_file_system_without_it_writes_nothing_this_way() -> None:
    if on_local_disk(Path("/dev/shm")) or not os.access("/dev/shm", os.W_OK):
        pytest.skip("/dev/shm is no file system in memory")
    path = Path("/dev/shm") / f"modelsync-{os.getpid()}"
    path.write_bytes(bytes(BLOCK_BYTES))
    try:
        writer = DirectWriter(str(path))
        count = writer.write(0, aligned(os.urandom(BLOCK_BYTES)))
        writer.close()
        assert count in {0, BLOCK_BYTES}, "Linux before 6.6 refuses to open it so, later ones take it"
    finally:
        path.unlink()


def test_a_download_broken_off_at_odd_places_is_right_to_the_byte(disk: Path) -> None:
    world = World(disk)
    world.upload("alice", {"model.onnx": LARGE})
    world.store.plan("get", "break", None, "break", "break")
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.read("alice") == {"model.onnx": LARGE}


def in_cache(path: Path, offset: int) -> bool:
    """Whether a read that must not wait for the disk finds the bytes."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.preadv(descriptor, [bytearray(BLOCK_BYTES)], offset, os.RWF_NOWAIT) > 0
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)


def test_the_page_cache_has_what_is_read_again_and_only_until_then(disk: Path) -> None:
    content = aligned(os.urandom(MIB))
    path = disk / "file"
    staged = LocalStagedFile(str(path), RelPath("file"), 3 * MIB, "e", Journal(disk / "journal"), direct=True)
    staged.keep_at_hand()
    staged.write(0, content)
    staged.write(MIB, content, passing=True)
    staged.write(2 * MIB, content)
    assert [in_cache(path, start) for start in (0, MIB, 2 * MIB)] == [True, False, True]
    staged.let_go(Span(0, MIB))
    assert [in_cache(path, start) for start in (0, MIB, 2 * MIB)] == [False, False, True]
    staged.finish()
    staged.close()
    assert path.read_bytes() == bytes(content) * 3
