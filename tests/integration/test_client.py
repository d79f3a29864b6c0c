"""Leases: what is held stays, and everything else is told in one sentence."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from modelsync.client import BadModelName, Lease, LeaseFailed, ModelNotFound, open_model
from modelsync.client.lease import acquire
from modelsync.client.place import Place
from modelsync.core.names import Naming
from support.collector import collect, collect_superseded, held
from support.damage import flip
from support.mounts import mounted, read_only
from support.strace import prefix
from support.worker import until
from support.world import World

V1 = {"model.onnx": b"weights 1", "config.json": b"1"}
V2 = {"model.onnx": b"weights 2", "config.json": b"2"}


def publish(world: World, files: dict[str, bytes], model: str = "alice") -> Path:
    """Publish; return the revision's directory."""
    world.upload(model, files)
    world.sync(model)
    return (world.base / model).resolve(strict=True).parent


def child(code: str, base: Path, *before: str) -> subprocess.Popen[str]:
    """A reader's process."""
    return subprocess.Popen(
        [*before, sys.executable, "-c", code, str(base)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_a_model_is_opened_and_stays_until_it_is_closed(world: World) -> None:
    directory = publish(world, V1)
    with open_model("alice", world.base) as voice:
        publish(world, V2)
        assert collect_superseded(world.base, "alice") == 0
        assert (voice / "model.onnx").read_bytes() == b"weights 1"
        assert voice == directory / "files"
    assert collect_superseded(world.base, "alice") == 1
    assert not directory.exists()


def test_a_lease_is_an_object_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = publish(world, V1)
    monkeypatch.setenv("MODELS_BASE_PATH", str(world.base))
    lease = open_model("alice")
    assert (lease.model, lease.revision, lease.path, lease.closed) == (
        "alice",
        directory.name,
        directory / "files",
        False,
    )
    lease.close()
    lease.close()
    assert lease.closed
    with pytest.raises(LeaseFailed, match="has ended: open the model again"):
        lease.__enter__()


def test_a_lease_that_is_forgotten_ends_with_a_warning(world: World) -> None:
    directory = publish(world, V1)
    with pytest.warns(ResourceWarning, match=r"lease\.lock"):
        assert open_model("alice", world.base).revision
    assert not held(directory)


def test_a_model_of_one_object_is_a_file(world: World) -> None:
    world.bucket.put("solo.onnx", b"weights")
    world.sync("solo.onnx")
    with open_model("solo.onnx", world.base) as voice:
        assert voice.read_bytes() == b"weights"
        assert held(voice.parent.parent)


def test_a_model_of_two_segments_is_opened(tmp_path: Path) -> None:
    world = World(tmp_path, naming=Naming(depth=2))
    publish(world, V1, "de/alice")
    with open_model("de/alice", tmp_path) as voice:
        assert (voice / "config.json").read_bytes() == b"1"
    world.fetcher.close()


def test_a_revision_that_was_built_anew_is_opened_where_it_is_now(world: World) -> None:
    directory = publish(world, V1)
    with open_model("alice", world.base) as old:
        flip(old / "model.onnx")
        world.repair("alice")
        with open_model("alice", world.base) as repaired:
            assert repaired == directory.with_name(f"{directory.name}.1") / "files"
            assert (repaired / "model.onnx").read_bytes() == b"weights 1"
        assert not collect(directory), "the damaged one is still held"


@pytest.mark.parametrize("name", ["", "..", "../etc", "/etc", "a//b", ".modelsync", "a\nb", "x" * 300, "\udc80"])
def test_a_name_that_no_model_can_have_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadModelName, match="is no model's name"):
        open_model(name, tmp_path)


def test_what_is_not_published_is_told(world: World) -> None:
    with pytest.raises(ModelNotFound, match=r"alice is not published \(yet\): .*/alice is not there"):
        open_model("alice", world.base)
    (world.base / "alice").mkdir()
    with pytest.raises(ModelNotFound, match="is not modelsync's: move it away"):
        open_model("alice", world.base)
    (world.base / "bob").symlink_to("/etc")
    with pytest.raises(ModelNotFound, match="is not modelsync's"):
        open_model("bob", world.base)
    with pytest.raises(ModelNotFound):
        open_model("de/alice", world.base / "no-volume")


@pytest.mark.parametrize("lost", ["lease.lock", "files", "."])
def test_a_revision_that_cannot_be_held_is_told_after_some_patience(world: World, lost: str) -> None:
    target = publish(world, V1) / lost
    target.unlink() if target.is_file() else shutil.rmtree(target)
    with pytest.raises(LeaseFailed, match=r"leads to a revision that cannot be held: .*No such file"):
        acquire(Place("alice", world.base), 0.05)


def test_a_revision_that_is_being_removed_for_too_long_is_told(world: World) -> None:
    with (publish(world, V1) / "lease.lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(LeaseFailed, match="cannot be held"):
            acquire(Place("alice", world.base), 0.05)


def test_a_lock_of_a_file_that_was_replaced_does_not_count(world: World) -> None:
    """The collector's work between open and flock, which here is the reader's own first attempt that waits."""
    directory = publish(world, V1)
    script = "import sys\nfrom modelsync.client import open_model\nprint(open_model('alice', sys.argv[1]).revision)"
    record = world.base.parent / f"{world.base.name}.strace"
    # The first flock is delayed by 300 ms: time to take the file away that it is about to lock.
    options = ["-e", "inject=flock:delay_enter=300000:when=1"]
    reader = child(script, world.base, *prefix(record, "flock,openat", *options))
    until(lambda: record.exists() and "lease.lock" in record.read_text(), "the reader's open")
    v2 = publish(world, V2)
    assert collect(directory), "the reader does not have the lock yet"
    assert reader.communicate(timeout=30)[0].strip() == v2.name
    assert reader.returncode == 0
    assert record.read_text().count("flock(") == 2


def test_a_volume_without_locks_is_told(world: World) -> None:
    publish(world, V1)
    script = (
        "import sys\nfrom modelsync.client import open_model, LeaseFailed\n"
        "try:\n    open_model('alice', sys.argv[1])\nexcept LeaseFailed as error:\n    print(error)"
    )
    record = world.base.parent / f"{world.base.name}.strace"
    reader = child(script, world.base, *prefix(record, "flock", "-e", "inject=flock:error=ENOLCK"))
    told = reader.communicate(timeout=30)[0]
    assert "lease.lock cannot be used: No locks available: its file system has no locks: mount it with NFSv4" in told


def test_a_read_only_mount_will_do(world: World, tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = publish(world, V1)
    with read_only(tmp_path_factory.mktemp("pod") / "models", world.base) as mount:
        with pytest.raises(OSError, match="Read-only"):
            (mount / "x").touch()
        with open_model("alice", mount) as voice:
            assert (voice / "model.onnx").read_bytes() == b"weights 1"
            publish(world, V2)
            assert not collect(directory), "the lease counts for the writing mount too"
        assert collect(directory)


def test_a_lease_leaves_a_trace_of_the_last_use(tmp_path: Path) -> None:
    with mounted(tmp_path / "volume", "ext4", 64) as place:
        world = World(place)
        directory = publish(world, V1)
        os.utime(directory / "lease.lock", (1, 1))
        open_model("alice", place).close()
        assert (directory / "lease.lock").stat().st_atime > 1
        world.fetcher.close()


def test_the_lock_file_can_be_opened_by_any_user_whatever_the_umask(world: World) -> None:
    before = os.umask(0o077)
    try:
        directory = publish(world, V1)
    finally:
        os.umask(before)
    assert (directory / "lease.lock").stat().st_mode & 0o777 == 0o644


def test_a_reader_that_is_killed_frees_its_lease(world: World) -> None:
    directory = publish(world, V1)
    script = "import sys\nfrom modelsync.client import open_model\nl = open_model('alice', sys.argv[1])\ninput()"
    reader = child(script, world.base)
    until(lambda: held(directory), "the reader's lease")
    reader.send_signal(signal.SIGKILL)
    reader.communicate(timeout=30)
    assert not held(directory)


FORKS = """
import os, sys
from modelsync.client import open_model
lease = open_model("alice", sys.argv[1])
if os.fork() == 0:
    lease.close()
    os._exit(0)
os.wait()
print("the child closed it", flush=True)
sys.stdin.readline()
if os.fork() == 0:
    print("the parent closes it", flush=True)
    sys.stdin.readline()
    os._exit(0)
lease.close()
os.wait()
"""


def test_after_a_fork_a_lease_ends_when_both_have_ended_it(world: World) -> None:
    directory = publish(world, V1)
    reader = child(FORKS, world.base)
    assert reader.stdin is not None
    assert reader.stdout is not None
    assert reader.stdout.readline() == "the child closed it\n"
    assert held(directory)
    reader.stdin.write("\n")
    reader.stdin.flush()
    assert reader.stdout.readline() == "the parent closes it\n"
    assert held(directory)
    reader.communicate("\n", timeout=30)
    assert not held(directory)


def test_a_program_that_is_started_does_not_inherit_a_lease(world: World) -> None:
    directory = publish(world, V1)
    lease = open_model("alice", world.base)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, close_fds=False):
        assert held(directory)
        lease.close()
        assert not held(directory)


def test_threads_have_leases_of_their_own_and_may_end_each_others(world: World) -> None:
    directory = publish(world, V1)
    with ThreadPoolExecutor(8) as pool:
        leases: list[Lease] = list(pool.map(lambda _: open_model("alice", world.base), range(40)))
        assert held(directory)
        enders = [threading.Thread(target=lease.close) for lease in leases[1:] * 2]
        for ender in enders:
            ender.start()
        for ender in enders:
            ender.join()
    assert held(directory), "the first is still held"
    leases[0].close()
    assert not held(directory)


READS = """
import random, select, sys, time
from modelsync.client import open_model

def content(voice):
    return [(voice / name).read_bytes() for name in ("a.onnx", "b.json", "c/d.txt")]

rounds, seen = 0, set()
while not select.select([sys.stdin], [], [], 0)[0]:
    with open_model("alice", sys.argv[1]) as voice:
        first = content(voice)
        time.sleep(random.random() / 50)
        assert content(voice) == first and len(set(first)) == 1, first
        seen.add(first[0])
    rounds += 1
print(rounds, len(seen))
"""


def test_readers_never_fail_while_revisions_are_published_and_removed(world: World) -> None:
    def version(number: int) -> dict[str, bytes]:
        return dict.fromkeys(("a.onnx", "b.json", "c/d.txt"), b"%d" % number * 1000)

    publish(world, version(0))
    readers = [child(READS, world.base) for _ in range(6)]
    number = removed = kept = 0

    def enough() -> bool:
        """Publish and remove once more, until removals have met readers often enough."""
        nonlocal number, removed, kept
        number += 1
        publish(world, version(number))
        removed += collect_superseded(world.base, "alice")
        kept += len(list((world.home("alice") / "revisions").iterdir())) - 1
        return number >= 40 and removed >= 10 and kept >= 20

    until(enough, "removals that worked, and removals that a lease prevented")
    counts = [reader.communicate("\n", timeout=60)[0] for reader in readers]
    assert [reader.returncode for reader in readers] == [0] * len(readers)
    rounds, seen = zip(*(map(int, count.split()) for count in counts), strict=True)
    assert sum(rounds) > len(readers)
    assert max(seen) > 1, "one reader saw more than one revision"
    assert collect_superseded(world.base, "alice") + removed == number
