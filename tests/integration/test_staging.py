"""What is open in staging, and its journal, where calls fail or do half of what they were asked."""

from __future__ import annotations

import mmap
import os
import resource
import threading
from pathlib import Path

import pytest

from modelsync.adapters.volume.direct import DirectWriter, on_local_disk
from modelsync.adapters.volume.staging import Journal, LocalStagedFile
from modelsync.core.facts import Outcome
from modelsync.core.names import RelPath
from modelsync.core.parts import MIB, Span
from modelsync.errors import StoreDenied, VolumeFailed
from modelsync.ports import Part
from support.world import World

NAME = RelPath("model.onnx")
PARTS = [Part(Span(number, number + 1), number) for number in range(3)]


def recorded(path: Path) -> dict[Span, int]:
    journal = Journal(path)
    journal.close()
    return dict(journal.parts(NAME, "e"))


@pytest.mark.parametrize("torn", [b'["model.onnx", "e", 0,', b'["model.onnx", "e", 7, 8, 7]\n["model.onnx", "e", 0,'])
def test_a_torn_line_of_a_journal_does_not_swallow_the_next(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "journal"
    path.write_bytes(torn)
    journal = Journal(path)
    journal.append(NAME, "e", PARTS[1])
    journal.close()
    assert recorded(path)[PARTS[1].span] == 1


def test_a_journal_goes_on_where_a_short_write_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    journal = Journal(tmp_path / "journal")
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:7]))
        for part in PARTS:
            journal.append(NAME, "e", part)
    journal.close()
    assert recorded(tmp_path / "journal") == {part.span: part.crc64nvme for part in PARTS}


def descriptors(base: Path) -> list[str]:
    """What this process has open below a directory."""
    links = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
    return [found for link in links if os.path.lexists(link) and (found := os.readlink(link)).startswith(str(base))]


@pytest.mark.parametrize("failing", [LocalStagedFile, DirectWriter])
def test_a_close_that_fails_leaks_nothing_and_does_not_hide_why_the_work_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: type
) -> None:
    world = World(tmp_path, concurrency=3)
    world.upload("alice", {f"{number}.onnx": bytes(9 * MIB) for number in range(3)})
    all_open = threading.Barrier(3)

    def deny() -> None:
        all_open.wait(30)
        raise StoreDenied("no permission")

    world.store.plan("get", deny, deny, deny)
    closed = []

    def close(staged: object, real: object = failing.close) -> None:  # type: ignore[attr-defined]
        closed.append(staged)
        real(staged)  # type: ignore[operator]
        raise VolumeFailed("the disk is full") if failing is LocalStagedFile else OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(failing, "close", close)
        result = world.sync("alice")
    assert len(closed) == 3 or not on_local_disk(tmp_path)
    assert (result.outcome, result.reason) == (Outcome.ERROR, "no permission")
    assert descriptors(tmp_path) == []


@pytest.mark.parametrize("direct", [True, False], ids=["past the cache", "cached"])
def test_a_write_that_the_kernel_cuts_short_is_carried_on(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    direct: bool,  # noqa: FBT001
) -> None:
    """A limit on the size of files in the middle of a write: the kernel itself writes a part of it."""
    size = 3 * MIB
    content = memoryview(mmap.mmap(-1, size))
    content[:] = os.urandom(size)
    staged = LocalStagedFile(str(tmp_path / "file"), NAME, size, "e", Journal(tmp_path / "journal"), direct=direct)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    real, counts = os.pwrite, []

    def pwrite(descriptor: int, data: memoryview, offset: int) -> int:
        try:
            counts.append(real(descriptor, data, offset))
        finally:
            if counts:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        return counts[-1]

    monkeypatch.setattr(os, "pwrite", pwrite)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB + MIB // 2 + 100, hard))
    try:
        staged.write(MIB, content[MIB : 2 * MIB])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert 0 < counts[0] < MIB, "the kernel cut it"
    assert sum(counts) == MIB
    assert b"".join(map(bytes, staged.read(Span(MIB, 2 * MIB)))) == content[MIB : 2 * MIB]
    staged.close()


def test_a_write_that_cannot_be_carried_on_is_told(tmp_path: Path) -> None:
    staged = LocalStagedFile(str(tmp_path / "file"), NAME, 3 * MIB, "e", Journal(tmp_path / "journal"), direct=False)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB + 100, hard))
    try:
        with pytest.raises(VolumeFailed, match=r"cannot write model\.onnx: File too large"):
            staged.write(0, memoryview(bytes(2 * MIB)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    staged.close()
