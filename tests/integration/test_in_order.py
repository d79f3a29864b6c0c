"""Checksums that need the bytes one after the other while parts come side by side; parts that are there already."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fakes.store import FakeStore
from modelsync.adapters.volume import staging
from modelsync.adapters.volume.staging import LocalStagedFile
from modelsync.core.facts import FileVerified, Outcome
from modelsync.core.names import ModelId
from modelsync.core.objects import RemoteObject
from modelsync.core.parts import Span, split
from modelsync.errors import StoreDenied
from modelsync.ports import Body, Part
from support.world import World

LARGE = os.urandom(1 << 20) * 40 + b"end"
PARTS = split(len(LARGE))
FILES = {"model.onnx": LARGE}
PATIENCE_SECONDS = 20
assert len(PARTS) == 3


class OrderedStore(FakeStore):
    """Answers for a part only once `gates[part]` is set, if it has one; `asked` are the parts that were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.gates: dict[Span, threading.Event] = {}
        self.asked = {span: threading.Event() for span in PARTS}

    @contextmanager
    def open(self, remote: RemoteObject, span: Span) -> Iterator[Body]:
        if span in self.asked:
            self.asked[span].set()
        if span in self.gates and not self.gates[span].wait(PATIENCE_SECONDS):
            raise StoreDenied(f"{span} was never let through")
        with super().open(remote, span) as body:
            yield body


@pytest.fixture
def store() -> OrderedStore:
    return OrderedStore()


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Span]:
    """What is read again of files in staging."""
    spans: list[Span] = []
    real = LocalStagedFile.read

    def noted(staged: LocalStagedFile, span: Span) -> Iterator[memoryview]:
        spans.append(span)
        return real(staged, span)

    monkeypatch.setattr(LocalStagedFile, "read", noted)
    return spans


def committed(base: Path, store: FakeStore, concurrency: int) -> World:
    world = World(base, store=store, concurrency=concurrency)
    world.upload("alice", FILES)
    world.commit("alice", FILES)
    return world


def proven(world: World) -> None:
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.read("alice") == FILES
    assert [fact.proof for fact in world.told(FileVerified)] == ["commit-sha256"]


@pytest.mark.parametrize("checksums", [True, False], ids=["crc64nvme", "etag-md5"])
def test_by_one_connection_nothing_is_read_again(tmp_path: Path, read: list[Span], checksums: bool) -> None:  # noqa: FBT001
    proven(committed(tmp_path, FakeStore(checksums=checksums), concurrency=1))
    assert read == []


@pytest.mark.parametrize("checksums", [True, False], ids=["crc64nvme", "etag-md5"])
@pytest.mark.parametrize("concurrency", [2, 3, 8])
def test_by_many_connections_all_demands_take_at_most_one_pass(
    tmp_path: Path,
    read: list[Span],
    checksums: bool,  # noqa: FBT001
    concurrency: int,
) -> None:
    proven(committed(tmp_path, FakeStore(checksums=checksums), concurrency))
    assert len(read) == len(set(read)) <= len(PARTS)


def test_what_was_read_again_is_let_go_of_at_once(
    tmp_path: Path, read: list[Span], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Span] = []
    monkeypatch.setattr(LocalStagedFile, "let_go", lambda _, span: told.append(span))
    proven(committed(tmp_path, FakeStore(), concurrency=3))
    assert told == read


def test_a_part_that_the_disk_does_not_take_is_fetched_again(
    tmp_path: Path, store: OrderedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second and third part are read again, since the first one comes last."""
    first, _, third = PARTS
    store.gates = {first: threading.Event()}
    record = LocalStagedFile.record

    def recorded(staged: LocalStagedFile, part: Part) -> None:
        record(staged, part)
        if part.span == third:
            store.gates[first].set()

    def failing(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(LocalStagedFile, "record", recorded)
    monkeypatch.setattr(staging, "on_local_disk", lambda _: True)
    world = committed(tmp_path, store, concurrency=3)
    with monkeypatch.context() as patch:
        patch.setattr(staging, "write_out", failing)
        result = world.sync("alice")
    assert (result.outcome, world.volume.linked(ModelId("alice"))) == (Outcome.ERROR, None)
    assert "cannot make model.onnx durable" in result.reason
    proven(world)


def test_what_came_before_its_turn_is_read_while_later_parts_still_arrive(
    tmp_path: Path, store: OrderedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = PARTS
    store.gates = {first: threading.Event(), third: threading.Event()}
    record, read = LocalStagedFile.record, LocalStagedFile.read

    def recorded(staged: LocalStagedFile, part: object) -> None:
        record(staged, part)  # type: ignore[arg-type]
        if part.span == second:  # type: ignore[attr-defined]
            store.gates[first].set()

    def followed(staged: LocalStagedFile, span: Span) -> Iterator[memoryview]:
        assert span != first, "it was taken as it passed"
        yield from read(staged, span)
        store.gates[third].set()

    monkeypatch.setattr(LocalStagedFile, "record", recorded)
    monkeypatch.setattr(LocalStagedFile, "read", followed)
    proven(committed(tmp_path, store, concurrency=3))


def test_a_commit_that_means_other_bytes_is_found_out_in_parts_too(tmp_path: Path) -> None:
    world = World(tmp_path, concurrency=3)
    world.upload("alice", FILES)
    world.clock.advance(10)
    world.commit("alice", {"model.onnx": LARGE[::-1]})
    result = world.sync("alice")
    assert result.outcome is Outcome.REJECTED
    assert "commit-sha256 is " in result.reason


def test_parts_that_are_there_are_verified_beside_the_download_of_others(
    tmp_path: Path, store: OrderedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one thread reads what is there, another asks for what is not."""
    world = World(tmp_path, store=store, concurrency=1)
    world.upload("alice", FILES)
    world.store.plan("get", None, None, StoreDenied("for now"))
    assert world.sync("alice").outcome is Outcome.ERROR
    again = World(tmp_path, store=store, concurrency=2)
    store.asked = {span: threading.Event() for span in PARTS}
    read = LocalStagedFile.read

    def slow(staged: LocalStagedFile, span: Span) -> Iterator[memoryview]:
        if span == PARTS[0]:
            assert store.asked[PARTS[2]].wait(PATIENCE_SECONDS), "it waits until the first is verified"
        yield from read(staged, span)

    monkeypatch.setattr(LocalStagedFile, "read", slow)
    assert again.sync("alice").outcome is Outcome.SUCCESS
    assert [span for span, asked in store.asked.items() if asked.is_set()] == [PARTS[2]]
    assert again.read("alice") == FILES


def test_a_resumed_file_is_held_against_its_commit_too(tmp_path: Path, read: list[Span]) -> None:
    world = committed(tmp_path, FakeStore(), concurrency=1)
    world.store.plan("get", None, None, None, StoreDenied("for now"))
    assert world.sync("alice").outcome is Outcome.ERROR
    proven(world)
    assert read == [PARTS[0], PARTS[0], PARTS[1], PARTS[1]], "verified, and right behind that taken in order"
