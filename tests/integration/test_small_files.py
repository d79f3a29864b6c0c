"""Small files: each by one request and one write, many of them at once, durable before readers see any."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelsync.adapters.volume import LocalVolume
from modelsync.adapters.volume.unsettled import Unsettled
from modelsync.app.checksums import crc64nvme
from modelsync.app.small import SMALL_BYTES
from modelsync.core.facts import FileVerified, Outcome
from modelsync.core.names import ModelId, RelPath
from modelsync.core.objects import Revision
from modelsync.core.parts import MIB, Span
from modelsync.errors import StoreUnavailable, VolumeFailed
from modelsync.ports import Part, Staging
from support.world import World

ALICE = ModelId("alice")
CONTENT = memoryview(b"weights")
CRC = crc64nvme(CONTENT)


def many(count: int, size_bytes: int = 3) -> dict[str, bytes]:
    return {f"{number:03}.bin": os.urandom(size_bytes) for number in range(count)} | {"model.onnx": b"w"}


class Gauge:
    """How many requests are made at the same time; each waits until `wanted` are, or nobody else comes."""

    def __init__(self, wanted: int) -> None:
        self._barrier = threading.Barrier(wanted)
        self._lock = threading.Lock()
        self._now = self.most = 0

    def __call__(self) -> None:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        self._barrier.wait(30)
        with self._lock:
            self._now -= 1


def most_at_once(base: Path, files: dict[str, bytes], wanted: int) -> int:
    """How many requests are made at the same time for a model, with a `TRANSFER_CONCURRENCY` of 2."""
    world = World(base, concurrency=2)
    world.upload("alice", files)
    gauge = Gauge(wanted)
    world.store.plan("get", *[gauge] * len(files))
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.read("alice") == files
    return gauge.most


def test_eight_times_as_many_requests_are_made_for_small_files(tmp_path: Path) -> None:
    assert most_at_once(tmp_path, many(79), wanted=16) == 16


def test_a_few_small_files_are_not_worth_a_connection_each(tmp_path: Path) -> None:
    assert most_at_once(tmp_path, many(11), wanted=3) == 3


def test_what_is_larger_keeps_to_the_budget_of_requests(tmp_path: Path) -> None:
    files = {f"{number}.onnx": os.urandom(SMALL_BYTES + 1) for number in range(8)}
    assert most_at_once(tmp_path, files, wanted=2) == 2


def test_small_files_do_not_wait_for_a_large_one(tmp_path: Path) -> None:
    world = World(tmp_path, concurrency=1)
    files = {"model.onnx": bytes(SMALL_BYTES + 1), "config.json": b"{}"}
    world.upload("alice", files)
    both = Gauge(2)
    world.store.plan("get", both, both)
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.read("alice") == files


@pytest.mark.parametrize("sizes", [(0,), (1,), (SMALL_BYTES,), (SMALL_BYTES + 1,), (0, SMALL_BYTES, MIB)])
def test_files_about_the_limit(tmp_path: Path, sizes: tuple[int, ...]) -> None:
    world = World(tmp_path)
    files = {f"{size}.bin": os.urandom(size) for size in sizes} | {"model.onnx": b"w"}
    world.upload("alice", files)
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.read("alice") == files
    assert sum(isinstance(fact, FileVerified) for fact in world.facts) == len(files)


def test_a_small_file_that_breaks_off_goes_on_where_it_was(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.upload("alice", {"model.onnx": os.urandom(100)})
    world.store.plan("get", "break", StoreUnavailable("S3 is down"))
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.bucket.calls["get"] == 2, "the third request was for the rest; one was refused before it got there"


def test_wrong_bytes_are_never_written(tmp_path: Path) -> None:
    world = World(tmp_path, keep_refused=True)
    world.upload("alice", {"good.bin": b"good", "model.onnx": b"weights"})
    world.bucket.corrupt("alice/model.onnx")
    assert world.sync("alice").outcome is Outcome.REJECTED
    kept = {path.name for path in (world.home("alice") / "quarantine").glob("*/files/*")}
    assert kept == {"good.bin"}


# What is put into staging


@pytest.fixture
def staging(tmp_path: Path) -> Iterator[Staging]:
    volume = LocalVolume(tmp_path)
    volume.check()
    with volume.writer(ALICE) as writer:
        yield writer.stage(Revision("0123"))


def put(staging: Staging, *paths: str) -> None:
    for path in paths:
        staging.put(RelPath(path), "e", CONTENT, CRC)


def test_it_is_whole_read_only_and_on_record(staging: Staging) -> None:
    put(staging, "a/b.bin", "a/c.bin")
    found = Path(staging.directory, "a", "b.bin")
    assert found.read_bytes() == CONTENT
    assert stat.S_IMODE(found.stat().st_mode) == 0o444
    assert staging.begun(RelPath("a/b.bin"), "e")
    assert not staging.begun(RelPath("a/b.bin"), "another")
    staged = staging.file(RelPath("a/b.bin"), len(CONTENT), "e")
    assert list(staged.recorded()) == [Part(Span(0, len(CONTENT)), CRC)]
    staged.close()


def leave_nothing(path: Path) -> None:
    assert not path.exists()


def leave_a_longer_file(path: Path) -> None:
    path.write_bytes(b"something else, and more of it")
    path.chmod(0o444)


def leave_a_link(path: Path) -> None:
    (path.parent / "elsewhere").write_bytes(b"not to be touched")
    path.symlink_to("elsewhere")


def leave_an_adopted_file(path: Path) -> None:
    (path.parent / "elsewhere").write_bytes(b"not to be touched")
    path.hardlink_to(path.parent / "elsewhere")


def leave_a_directory(path: Path) -> None:
    (path / "below").mkdir(parents=True)


@pytest.mark.parametrize(
    "leave", [leave_nothing, leave_a_longer_file, leave_a_link, leave_an_adopted_file, leave_a_directory]
)
def test_it_takes_the_place_of_what_an_earlier_attempt_left(tmp_path: Path, leave: Callable[[Path], None]) -> None:
    volume = LocalVolume(tmp_path)
    volume.check()
    with volume.writer(ALICE) as writer:
        files = Path(writer.stage(Revision("0123")).directory)
    leave(files / "model.onnx")
    with volume.writer(ALICE) as writer:
        put(writer.stage(Revision("0123")), "model.onnx")
    assert (files / "model.onnx").read_bytes() == CONTENT
    assert (files / "model.onnx").stat().st_nlink == 1
    if (files / "elsewhere").exists():
        assert (files / "elsewhere").read_bytes() == b"not to be touched"


def test_a_full_disk_is_told_and_leaks_nothing(staging: Staging, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(VolumeFailed, match=r"cannot write model\.onnx: the volume is full"):
        put(staging, "model.onnx")
    assert len(os.listdir("/proc/self/fd")) == before
    assert not staging.begun(RelPath("model.onnx"), "e")


# Until it is durable


def opened(directory: Path, number: int) -> tuple[RelPath, int]:
    path = directory / f"{number}.bin"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    os.write(descriptor, CONTENT)
    return RelPath(path.name), descriptor


class Disk:
    """Notes which descriptors are made durable; those in `failing` cannot be."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.durable: list[int] = []
        self.failing: set[int] = set()
        self._fsync = os.fsync
        monkeypatch.setattr(os, "fsync", self)

    def __call__(self, descriptor: int) -> None:
        if descriptor in self.failing:
            raise OSError(errno.EIO, "Input/output error")
        self._fsync(descriptor)
        self.durable.append(descriptor)


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def test_files_are_made_durable_some_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk, unsettled = Disk(monkeypatch), Unsettled()
    files = [opened(tmp_path, number) for number in range(40)]
    for number, (path, descriptor) in enumerate(files, 1):
        unsettled.add(path, descriptor)
        assert len(disk.durable) == number // 16 * 16
    unsettled.settle()
    assert disk.durable == [descriptor for _, descriptor in files]
    assert not any(is_open(descriptor) for _, descriptor in files)


def test_what_cannot_be_made_durable_is_emptied_and_the_rest_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, unsettled = Disk(monkeypatch), Unsettled()
    files = [opened(tmp_path, number) for number in range(5)]
    disk.failing = {files[1][1], files[3][1]}
    for path, descriptor in files:
        unsettled.add(path, descriptor)
    with pytest.raises(VolumeFailed, match=r"cannot make 1\.bin durable: .* I/O error"):
        unsettled.settle()
    assert [(tmp_path / path).stat().st_size for path, _ in files] == [7, 0, 7, 0, 7]
    assert not any(is_open(descriptor) for _, descriptor in files)


class Watched:
    """A lock that tells when somebody begins to wait for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.waited_for = threading.Event()
        self.release = self._lock.release

    def acquire(self, *, blocking: bool) -> bool:
        if blocking and self._lock.locked():
            self.waited_for.set()
        return self._lock.acquire(blocking)


def test_while_the_disk_is_slow_descriptors_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unsettled, begun, go_on = Unsettled(), threading.Event(), threading.Event()
    lock = Watched()
    monkeypatch.setattr(unsettled, "_settling", lock)
    fsync = os.fsync

    def slow(descriptor: int) -> None:
        begun.set()
        assert go_on.wait(30)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", slow)
    files: list[int] = []

    def add(numbers: range) -> None:
        for number in numbers:
            path, descriptor = opened(tmp_path, number)
            files.append(descriptor)
            unsettled.add(path, descriptor)

    first = threading.Thread(target=add, args=(range(16),))
    second = threading.Thread(target=add, args=(range(100, 200),))
    first.start()
    try:
        assert begun.wait(30)
        second.start()
        assert lock.waited_for.wait(30)
        assert len(files) == 16 + 32
    finally:
        go_on.set()
        first.join(30)
        second.join(30)
    assert len(files) == 116


def test_a_revision_is_sealed_only_when_all_its_files_are_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)
    world.upload("alice", many(3))
    disk = Disk(monkeypatch)
    durable: list[str] = []

    class Told(list[int]):
        def append(self, descriptor: int, /) -> None:
            durable.append(os.readlink(f"/proc/self/fd/{descriptor}"))

    disk.durable = Told()
    assert world.sync("alice").outcome is Outcome.SUCCESS
    names = [Path(path).name for path in durable]
    assert {"000.bin", "001.bin", "002.bin", "model.onnx"} <= set(names[: names.index("revisions")])


def test_a_disk_that_fails_before_the_seal_publishes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path)
    world.upload("alice", many(3))
    fsync = os.fsync

    def fail(descriptor: int) -> None:
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith("001.bin"):
            raise OSError(errno.EIO, "Input/output error")
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        result = world.sync("alice")
    assert (result.outcome, world.volume.linked(ALICE)) == (Outcome.ERROR, None)
    assert "cannot make 001.bin durable" in result.reason
    world.bucket.calls.clear()
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.bucket.calls["get"] == 1, "what is on the disk is not fetched again"
