"""Bytes that the volume has already are not downloaded."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modelsync.adapters.volume import LocalVolume
from modelsync.adapters.volume.revisions import read_manifests
from modelsync.core.facts import BytesFetched, BytesReused, Outcome
from modelsync.core.manifest import FileRecord
from modelsync.core.names import ModelId, RelPath
from modelsync.core.objects import RemoteObject
from modelsync.core.plan import PlannedFile
from modelsync.core.proof import ObjectDetails
from modelsync.core.retention import RetentionRules
from modelsync.core.reuse import hard_links, same_bytes, vouched_for
from modelsync.errors import StoreDenied, StoreUnavailable
from support.world import World

WEIGHTS, DATA = os.urandom(100_000), os.urandom(70_000)
V1 = {"model.onnx": WEIGHTS, "model.bin": DATA, "config.json": b"{}"}
V2 = V1 | {"config.json": b"{ }"}


def publish(world: World, model: str, files: dict[str, bytes]) -> None:
    world.upload(model, files)
    assert world.sync(model).outcome is Outcome.SUCCESS
    assert world.read(model) == files


def hows(world: World) -> dict[str, str]:
    return {fact.path: fact.how for fact in world.facts if isinstance(fact, BytesReused)}


def test_a_change_of_the_config_downloads_the_config_alone(world: World) -> None:
    publish(world, "alice", V1)
    world.facts.clear()
    publish(world, "alice", V2)
    assert sum(fact.count for fact in world.facts if isinstance(fact, BytesFetched)) == 3
    assert set(hows(world)) == {"model.onnx", "model.bin"}


def test_beside_an_onnx_file_only_onnx_files_share_their_inode(world: World) -> None:
    publish(world, "alice", V1)
    publish(world, "alice", V2)
    directory = (world.base / "alice").resolve()
    if hows(world)["model.onnx"] == "clone":
        pytest.skip("this file system shares blocks: no hard link is needed")
    assert hows(world) == {"model.onnx": "link", "model.bin": "copy"}
    assert (directory / "model.onnx").stat().st_nlink == 2
    assert (directory / "model.bin").stat().st_nlink == 1
    assert (directory / "model.bin").stat().st_mode & 0o777 == 0o444


def test_the_record_of_a_reused_file_tells_how_it_was_proven(world: World) -> None:
    publish(world, "alice", V1)
    publish(world, "alice", V2)
    manifests = [world.volume.manifest(model, published.linked) for model in world.volume.models()
                 if (published := world.volume.published(model)).linked]  # fmt: skip
    [manifest] = [manifest for manifest in manifests if manifest]
    assert {file.proof for file in manifest.files} == {"crc64nvme"}
    assert all(len(file.crc64nvme) == 16 for file in manifest.files)


def test_another_model_with_the_same_bytes_is_served_from_the_volume(world: World) -> None:
    publish(world, "alice", V1)
    world.facts.clear()
    publish(world, "bob", {"other.onnx": WEIGHTS, "config.json": b"bob"})
    assert set(hows(world)) == {"other.onnx"}


def test_what_was_published_before_a_restart_is_found(world: World) -> None:
    publish(world, "alice", V1)
    other = World(world.base, store=world.bucket)
    publish(other, "alice", V2)
    assert set(hows(other)) == {"model.onnx", "model.bin"}


@pytest.mark.parametrize("harm", ["gone", "shorter"])
def test_a_published_file_that_is_not_there_as_recorded_is_downloaded(world: World, harm: str) -> None:
    publish(world, "alice", V1)
    path = (world.base / "alice").resolve() / "model.onnx"
    if harm == "gone":
        path.unlink()
    else:
        path.chmod(0o644)
        os.truncate(path, 5)
    publish(world, "alice", V2)
    assert set(hows(world)) == {"model.bin"}


def test_a_superseded_adoption_never_writes_to_what_is_published(world: World) -> None:
    """The staged name and the published file are one inode: it must be parted before it is written."""
    publish(world, "alice", V1)
    before = (world.base / "alice").resolve()
    world.upload("alice", {"config.json": b"[1]"})
    world.store.plan("get", StoreDenied("for now"))  # adopted, but not published
    assert world.sync("alice").outcome is Outcome.ERROR
    publish(world, "alice", V1 | {"model.onnx": os.urandom(100_000)})
    assert (before / "model.onnx").read_bytes() == WEIGHTS
    assert (before / "model.onnx").stat().st_mode & 0o777 == 0o444


def test_what_a_commit_demands_must_have_been_proven(world: World) -> None:
    publish(world, "alice", V1)
    world.upload("bob", V1)
    world.commit("bob", V1)
    assert world.sync("bob").outcome is Outcome.SUCCESS
    assert hows(world) == {}, "alice's files were never held against a SHA-256"
    world.upload("carol", V1)
    world.commit("carol", V1)
    assert world.sync("carol").outcome is Outcome.SUCCESS
    assert set(hows(world)) == {"model.onnx", "model.bin"}


def test_external_data_of_another_model_gets_no_second_link(world: World) -> None:
    """onnx would refuse alice's published data file, though nothing was published for alice."""
    publish(world, "alice", V1)
    publish(world, "bob", {"model.bin": DATA, "config.json": b"{}"})
    if hows(world)["model.bin"] == "clone":
        pytest.skip("this file system shares blocks: no hard link is needed")
    assert hows(world) == {"model.bin": "copy"}
    assert ((world.base / "alice").resolve() / "model.bin").stat().st_nlink == 1
    publish(world, "carol", {"model.bin": DATA, "config.json": b"[]"})
    assert hows(world) == {"model.bin": "link"}, "bob's own may be shared"


def commit(world: World, model: str, files: dict[str, bytes], etag: str | None = None) -> None:
    world.bucket.put(f"{model}/model.onnx", files["model.onnx"], etag=etag)
    world.commit(model, files)
    assert world.sync(model).outcome is Outcome.SUCCESS
    assert world.read(model) == files


OTHER_ETAG = "0" * 32 + "-2"


def test_the_same_sha256_under_another_etag_is_served_from_the_volume(world: World) -> None:
    commit(world, "alice", {"model.onnx": WEIGHTS})
    commit(world, "bob", {"model.onnx": WEIGHTS}, OTHER_ETAG)
    assert set(hows(world)) == {"model.onnx"}
    [model] = read_manifests(str(world.base), ModelId("bob"))
    assert [file.etag for file in model.files] == [OTHER_ETAG]
    assert world.verify("bob").findings == ()
    commit(world, "carol", {"model.onnx": WEIGHTS}, OTHER_ETAG)
    assert world.bucket.calls["head"] == 1, "an equal ETag asks for nothing"


@pytest.mark.parametrize("fault", ["other bytes", "no checksum", "no answer"])
def test_a_sha256_that_s3_does_not_vouch_for_is_downloaded_and_proven(world: World, fault: str) -> None:
    """Else a model without a commit file would take the ETag for a proof of these bytes."""
    commit(world, "alice", {"model.onnx": WEIGHTS})
    if fault == "other bytes":
        world.bucket.put("bob/model.onnx", WEIGHTS[::-1])
        world.commit("bob", {"model.onnx": WEIGHTS})
        assert world.sync("bob").outcome is Outcome.WAITING
    else:
        world.bucket.checksums = fault != "no checksum"
        world.store.plan("head", StoreUnavailable("no answer") if fault == "no answer" else None)
        commit(world, "bob", {"model.onnx": WEIGHTS}, "opaque")
    assert hows(world) == {}


def test_what_was_removed_is_forgotten_and_does_not_stand_before_what_is_there(world: World) -> None:
    publish(world, "keeper", V1)
    for model in ("a", "b", "c", "d"):
        publish(world, model, {"model.onnx": DATA, "x.onnx": os.urandom(70_000)})
    for model in ("b", "c", "d"):  # by another replica
        shutil.rmtree(world.home(model) / "revisions")
    index = world.volume._index
    world.facts.clear()
    publish(world, "e", {"model.onnx": DATA, "config.json": b"e"})
    assert set(hows(world)) == {"model.onnx"}
    assert {model for model, _ in index._contents} == {"keeper", "a", "e"}
    assert {held.model for found in index._found.values() for held in found} == {"keeper", "a", "e"}


def test_a_revision_that_retention_removes_is_forgotten(world: World) -> None:
    publish(world, "alice", V1)
    publish(world, "alice", V2)
    world.collector._options = replace(world.collector._options, rules=RetentionRules(keep=0, stale_seconds=0))
    world.clock.advance(10)
    world.collect()
    assert len(world.volume._index._contents) == 1


def test_manifests_are_read_by_few_calls_with_beats_and_others_beat_while_they_wait(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(world, "voice", V1)
    for number in range(20):
        publish(world, f"m{number}", {"model.onnx": b"%d" % number})
    volume = LocalVolume(world.base)
    listed: list[str] = []
    listdir = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: listed.append(str(path)) or listdir(path))
    beats: list[int] = []
    waited = threading.Event()
    second = threading.Thread(target=lambda: volume.find(1, "e", None, waited.set))

    def beat() -> None:
        beats.append(1)
        if len(beats) == 10:  # somebody else needs the index too, and somebody publishes meanwhile
            second.start()
            assert waited.wait(30)
            [manifest] = read_manifests(str(world.base), ModelId("voice"))
            volume._index.add(manifest)

    found = volume.find(len(WEIGHTS), hashlib.md5(WEIGHTS, usedforsecurity=False).hexdigest(), None, beat)
    second.join()
    assert [held.model for held in found] == ["voice"]
    assert len(beats) == 21
    assert len([path for path in listed if "/models/m" in path]) <= 2 * 20


@pytest.fixture
def xfs(tmp_path: Path) -> Iterator[Path]:
    if shutil.which("mkfs.xfs") is None or os.geteuid() != 0:
        pytest.skip("needs root and mkfs.xfs for a file system that shares blocks")
    image, place = tmp_path / "image", tmp_path / "xfs"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(400 << 20)
    subprocess.run(["mkfs.xfs", "-q", image], check=True)
    if subprocess.run(["mount", "-o", "loop", image, place], check=False, capture_output=True).returncode:
        pytest.skip("loop devices cannot be mounted here")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_file_system_that_shares_blocks_clones(xfs: Path) -> None:
    world = World(xfs)
    publish(world, "alice", V1)
    publish(world, "alice", V2)
    assert hows(world) == {"model.onnx": "clone", "model.bin": "clone"}


MD5 = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("etag", "other_etag", "same_model", "same_path", "wanted", "proven", "same"),
    [
        (MD5, MD5, False, False, None, None, True),
        (f"{MD5}-3", f"{MD5}-3", False, False, None, None, True),
        ("opaque", "opaque", False, True, None, None, False),
        ("opaque", "opaque", True, False, None, None, False),
        ("opaque", "opaque", True, True, None, None, True),
        (MD5, MD5[::-1], True, True, None, None, False),
        (MD5, MD5, True, True, "aa", None, False),
        (MD5, MD5, True, True, "aa", "aa", True),
        (MD5, MD5, True, True, None, "aa", True),
        (f"W/{MD5}", f"W/{MD5}", True, True, None, "aa", False),
        (f"W/{MD5}", f"W/{MD5}", False, False, "aa", "aa", True),
    ],
)
def test_which_bytes_are_the_same(
    etag: str,
    other_etag: str,
    same_model: bool,  # noqa: FBT001
    same_path: bool,  # noqa: FBT001
    wanted: str | None,
    proven: str | None,
    same: bool,  # noqa: FBT001
) -> None:
    planned = PlannedFile(RelPath("a.onnx"), RemoteObject("k", 5, etag, 0.0), wanted)
    record = FileRecord(RelPath("a.onnx" if same_path else "b.onnx"), 5, other_etag, None, "0" * 16, "crc32", proven)
    assert same_bytes(planned, record, same_model=same_model) is same
    assert not same_bytes(PlannedFile(RelPath("a.onnx"), RemoteObject("k", 6, etag, 0.0)), record, same_model=True)


BYTES_SHA = hashlib.sha256(b"x").hexdigest()
B64 = base64.b64encode(bytes.fromhex(BYTES_SHA)).decode()


@pytest.mark.parametrize(
    ("wanted", "proven", "details", "vouched"),
    [
        (BYTES_SHA, BYTES_SHA, {"checksums": {"crc64nvme": "AAAAAAAAAAA="}}, True),
        (BYTES_SHA, BYTES_SHA, {"checksums": {"crc64nvme": "AAAAAAAAAAE="}}, False),
        (BYTES_SHA, BYTES_SHA, {"checksums": {"sha256": B64}, "checksum_type": "FULL_OBJECT"}, True),
        (BYTES_SHA, BYTES_SHA, {"checksums": {"sha256": B64 + "-2"}, "checksum_type": "COMPOSITE"}, False),
        (BYTES_SHA, BYTES_SHA, {"checksums": {"crc32c": "AAAAAA=="}}, False),
        (BYTES_SHA, BYTES_SHA, {}, False),
        (BYTES_SHA, None, {"checksums": {"crc64nvme": "AAAAAAAAAAA="}}, False),
        (None, None, {"checksums": {"crc64nvme": "AAAAAAAAAAA="}}, False),
    ],
)
def test_what_s3_vouches_for(
    wanted: str | None,
    proven: str | None,
    details: dict[str, Any],
    vouched: bool,  # noqa: FBT001
) -> None:
    planned = PlannedFile(RelPath("a.onnx"), RemoteObject("k", 5, "e", 0.0), wanted)
    record = FileRecord(RelPath("b.onnx"), 5, "f", None, "0" * 16, "commit-sha256", proven)
    assert vouched_for(planned, ObjectDetails(5, "e", **details), record) is vouched


def test_which_files_may_share_an_inode() -> None:
    onnx, data = RelPath("m.onnx"), RelPath("m.bin")
    assert hard_links([onnx, data])(onnx)
    assert not hard_links([onnx, data])(data)
    assert hard_links([data])(data)
