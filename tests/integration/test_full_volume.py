"""Real file systems that fill up, run out of inodes or turn read-only, at each step of a sync."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelsync.adapters.volume import LocalVolume
from modelsync.core import facts
from modelsync.core.facts import Fact, Outcome
from modelsync.core.manifest import Manifest
from modelsync.core.names import ModelId, RelPath
from modelsync.core.objects import Revision
from modelsync.core.parts import MIB, Span
from modelsync.errors import VolumeFailed
from modelsync.ports import Part
from support.hostile import sentence
from support.mounts import fill, free, mounted, use_up_inodes
from support.world import World

V1 = {"config.json": b"1", "model.onnx": b"weights 1"}
V2 = {"config.json": b"2", "de/vocab.txt": b"words", "model.onnx": os.urandom(10 * MIB)}
KINDS = {"tmpfs": 64, "ext3": 32, "ext4": 64, "xfs": 300}  # ext3 cannot reserve, like NFS; xfs is never smaller
STEPS: dict[str, Callable[[object], bool]] = {
    "before anything": lambda told: isinstance(told, facts.SyncStarted),
    "before the first byte": lambda told: isinstance(told, facts.FetchStarted),
    "in mid-write, and at the journal": lambda told: isinstance(told, facts.BytesFetched) and told.count >= MIB // 2,
    "at the manifest": lambda told: isinstance(told, facts.FileVerified) and told.path == "model.onnx",
    "at the link": lambda told: told == "about to link",
}


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    options = {"ext3": ["-m", "0"], "ext4": ["-m", "0"]}.get(request.param, [])
    with mounted(tmp_path / "volume", request.param, KINDS[request.param], *options) as made:
        yield made


class TellingVolume(LocalVolume):
    """Tells when a revision is complete and its link is about to be made."""

    tell: Callable[[object], None] = staticmethod(lambda _: None)

    def manifest(self, model: ModelId, revision: Revision) -> Manifest | None:
        self.tell("about to link")
        return super().manifest(model, revision)


class Troubled(World):
    """A world in which something happens at one step of every sync."""

    def __init__(self, base: Path) -> None:
        telling = TellingVolume(base)
        super().__init__(base, concurrency=1, volume=telling)
        telling.tell = self.told_of  # type: ignore[method-assign]
        self._happens: tuple[str, Callable[[], None]] | None = None

    def at(self, step: str, happens: Callable[[], None]) -> None:
        self._happens = (step, happens)

    def calm(self) -> None:
        self._happens = None

    def observe(self, fact: Fact, /) -> None:
        super().observe(fact)
        self.told_of(fact)

    def told_of(self, told: object) -> None:
        if self._happens is not None and STEPS[self._happens[0]](told):
            self._happens[1]()


def leftovers(world: World) -> list[str]:
    return [path.name for path in world.base.rglob("*") if ".tmp-" in path.name or path.name == "staging"]


@pytest.mark.parametrize("step", STEPS)
def test_a_disk_that_is_filled_by_somebody_else(place: Path, step: str) -> None:
    world = Troubled(place)
    world.upload("alice", V1)
    assert world.sync("alice").outcome is Outcome.SUCCESS
    world.upload("alice", V2)
    world.at(step, lambda: fill(place))
    for _ in range(3):
        result = world.sync("alice")
        assert result.outcome is Outcome.ERROR
        assert isinstance(result.error, VolumeFailed)
        assert result.error.reason == "full"
        assert "free space on it" in sentence(result.reason)
        assert world.read("alice") in (V1, V2)
    world.calm()
    free(place)
    assert world.sync("alice").outcome in {Outcome.SUCCESS, Outcome.NOOP}
    assert world.read("alice") == V2
    assert leftovers(world) == []
    assert world.compare()[0] == []


def test_bytes_that_are_on_disk_are_not_fetched_again_after_a_full_disk(place: Path) -> None:
    world = Troubled(place)
    world.upload("alice", V2)
    world.at("at the manifest", lambda: fill(place))
    assert world.sync("alice").outcome is Outcome.ERROR
    world.calm()
    free(place)
    world.bucket.calls.clear()
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.bucket.calls["get"] == 0


@pytest.mark.parametrize("step", STEPS)
def test_inodes_that_are_used_up(tmp_path: Path, step: str) -> None:
    with mounted(tmp_path / "volume", "ext4", 64, "-N", "64", "-m", "0") as place:
        world = Troubled(place)
        world.upload("alice", V1)
        world.sync("alice")
        world.upload("alice", V2)
        world.at(step, lambda: use_up_inodes(place))
        result = world.sync("alice")
        assert result.outcome is Outcome.ERROR
        assert "inodes" in sentence(result.reason)
        assert world.read("alice") in (V1, V2)
        world.calm()
        free(place)
        assert world.sync("alice").outcome in {Outcome.SUCCESS, Outcome.NOOP}
        assert world.read("alice") == V2
        assert leftovers(world) == []


def test_a_volume_that_turns_read_only_and_back(tmp_path: Path) -> None:
    with mounted(tmp_path / "volume", "ext4", 64) as place:
        world = World(place)
        world.upload("alice", V1)
        world.sync("alice")
        world.upload("alice", V2)
        subprocess.run(["mount", "-o", "remount,ro", place], check=True)
        result = world.sync("alice")
        assert isinstance(result.error, VolumeFailed)
        assert result.error.reason == "read_only"
        assert "mount it read-write" in sentence(result.reason)
        assert world.read("alice") == V1
        subprocess.run(["mount", "-o", "remount,rw", place], check=True)
        assert world.sync("alice").outcome is Outcome.SUCCESS
        assert world.read("alice") == V2


def test_a_journal_that_cannot_be_gone_on_with_leaves_no_descriptor_open(tmp_path: Path) -> None:
    world = World(tmp_path)
    with world.volume.writer(ModelId("alice")) as writer:
        file = writer.stage(Revision("r" * 32)).file(RelPath("model.onnx"), 4, "etag")
        file.record(Part(Span(0, 4), 0))
        file.close()
        writer.close()
        before = len(os.listdir("/proc/self/fd"))
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
        try:
            with pytest.raises(VolumeFailed, match="make the staging directory: File too large"):
                writer.stage(Revision("r" * 32))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        assert len(os.listdir("/proc/self/fd")) == before


def test_a_full_disk_leaves_no_descriptor_open(tmp_path: Path) -> None:
    with mounted(tmp_path / "volume", "ext4", 64, "-m", "0") as place:
        world = Troubled(place)
        world.upload("alice", V2)
        world.at("in mid-write, and at the journal", lambda: fill(place))
        world.sync("alice")
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(5):
            assert world.sync("alice").outcome is Outcome.ERROR
        assert len(os.listdir("/proc/self/fd")) <= before
