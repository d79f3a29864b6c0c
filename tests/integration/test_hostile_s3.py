"""Whatever S3 and the network do: readers see the right bytes or what they saw before.

A real server on a real socket, the real client, a real volume. Only waits take no time.
"""

from __future__ import annotations

import gc
import os
import threading
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fakes import hostile_s3
from fakes.hostile_s3 import S3
from modelsync.app.dirty import DirtyModels
from modelsync.app.worker import Worker
from modelsync.core.facts import Outcome
from modelsync.core.health import Status
from modelsync.core.names import ModelId
from modelsync.core.objects import RemoteObject
from modelsync.core.parts import MIB, Span
from modelsync.demo.upload import commit_file
from modelsync.errors import ObjectChanged, StoreUnavailable
from support.hostile import HostileWorld, sentence

OLD = {"config.json": b"old", "model.onnx": b"old weights"}
SMALL = {"config.json": b"{}", "model.onnx": os.urandom(100_000)}
LARGE = {"config.json": b"{}", "model.onnx": os.urandom(17 * MIB)}  # two ranges
WEIGHTS = "alice/model.onnx"
NOVEL = b"<Error><Code>" + b"\n\x1b[2JIt was a dark night" * 1000 + b"</Code></Error>"


BOTH = pytest.mark.parametrize("s3", ["http", "https"], indirect=True)


@pytest.fixture
def world(tmp_path: Path, s3: S3) -> Iterator[HostileWorld]:
    made = HostileWorld(tmp_path, s3)
    yield made
    made.close()


@dataclass(frozen=True)
class Case:
    """What befalls which requests, and what a user is told of it if it stays so."""

    kind: str
    faults: tuple[hostile_s3.Fault, ...]
    told: str
    files: str = "small"
    key: str | None = WEIGHTS
    patience_seconds: float = 10.0


CASES = {
    "reset at once": Case("GET", (hostile_s3.reset_after(0),), "broke off"),
    "reset in mid-body": Case("GET", (hostile_s3.reset_after(10_000),), "broke off"),
    "closed after some bytes": Case("GET", (hostile_s3.close_after(10_000),), "broke off"),
    "reset after many bytes": Case("GET", (hostile_s3.reset_after(70_000),), ""),
    "closed in mid-range": Case("GET", (hostile_s3.close_after(10_000),), "broke off", "large"),
    "closed in the headers": Case("GET", (hostile_s3.cut_head("x-amz-checksum"),), "broke off"),
    "HEAD closed in the headers": Case("HEAD", (hostile_s3.cut_head("x-amz-checksum"),), "broke off", "large"),
    "hang before the headers": Case("GET", (hostile_s3.hang_at_once,), "timed out", patience_seconds=0.3),
    "hang in mid-body": Case("GET", (hostile_s3.hang_after(10_000),), "timed out", patience_seconds=0.3),
    "crawl": Case("GET", (hostile_s3.crawl,), "crawl", patience_seconds=0.3),
    "HEAD crawls": Case("HEAD", (hostile_s3.crawl,), "crawl", "large", patience_seconds=0.3),
    "listing crawls": Case("LIST", (hostile_s3.crawl,), "crawl", key=None, patience_seconds=0.3),
    "listing's body crawls": Case("LIST", (hostile_s3.crawl_in_body,), "body crawled", key=None, patience_seconds=0.3),
    "listing's error crawls": Case(
        "LIST",
        (hostile_s3.refuse(500, "InternalError"), hostile_s3.crawl_in_body),
        "body crawled",
        key=None,
        patience_seconds=0.3,
    ),
    "error crawls": Case(
        "GET", (hostile_s3.refuse(503, "SlowDown"), hostile_s3.crawl_in_body), "body crawled", patience_seconds=0.3
    ),
    "chunks crawl": Case(
        "LIST", (hostile_s3.endless_chunk, hostile_s3.crawl_in_body), "chunks crawled", key=None, patience_seconds=0.3
    ),
    "listing hangs": Case("LIST", (hostile_s3.hang_at_once,), "timed out", key=None, patience_seconds=0.3),
    "listing closed in the middle": Case("LIST", (hostile_s3.close_after(200),), "broke off", key=None),
    "bit flipped": Case("GET", (hostile_s3.flip(77),), "crc64nvme is "),
    "bit flipped in a range": Case("GET", (hostile_s3.flip(77),), "crc64nvme is ", "large"),
    "more than said": Case("GET", (hostile_s3.longer(b"HTTP/1.1 200 OK\r\n\r\n"),), "", key=None),
    "another range": Case("GET", (hostile_s3.serve_range(1, 1 << 20),), "range", "large"),
    "wrong Content-Range": Case("GET", (hostile_s3.header("Content-Range", "bytes 0-9/10"),), "range", "large"),
    "no Content-Range": Case("GET", (hostile_s3.header("Content-Range", None),), "answered 206", "large"),
    "whole for a range": Case("GET", (hostile_s3.serve_whole,), "answered 200", "large"),
    "range for the whole": Case("GET", (hostile_s3.serve_range(0, 9),), "answered 206"),
    "slow down": Case("GET", (hostile_s3.refuse(503, "SlowDown"),), "503 SlowDown"),
    "server error": Case("GET", (hostile_s3.refuse(500, "InternalError"),), "500 InternalError"),
    "listing: slow down": Case(
        "LIST", (hostile_s3.refuse(503, "SlowDown", Retry_After="7"),), "503 SlowDown", key=None
    ),
    "chunked": Case("GET", (hostile_s3.chunked,), "Content-Length"),
    "HEAD without a length": Case("HEAD", (hostile_s3.header("Content-Length", None),), "Content-Length", "large"),
    "impossible length": Case("GET", (hostile_s3.header("Content-Length", "-3"),), "Content-Length"),
    "garbage": Case("GET", (hostile_s3.first_line(b"\x1b[2J\x00" * 1000 + b"\r\n"),), "no HTTP"),
    "no HTTP": Case("LIST", (hostile_s3.first_line(b"SSH-2.0-OpenSSH_9.2\r\n"),), "no HTTP", key=None),
    "many headers": Case("GET", (hostile_s3.many_headers,), "headers"),
    "long header": Case("GET", (hostile_s3.header("x", "x" * 100_000),), "header"),
    "redirect": Case("GET", (hostile_s3.refuse(307, "TemporaryRedirect", Location="/"),), "307"),
    "wrong checksum": Case("GET", (hostile_s3.header("x-amz-checksum-crc64nvme", "AAAAAAAAAAA="),), "AAAAAAAAAAA="),
    "no checksum at all": Case("GET", (hostile_s3.header("x-amz-checksum-crc64nvme", "2J;" * 99),), "crc64nvme is "),
    "control characters": Case("GET", (hostile_s3.header("x-amz-checksum-crc64nvme", "\x1b[2J" * 99),), "no HTTP"),
    "broken XML": Case("LIST", (hostile_s3.say(b"<ListBucketResult><Contents>"),), "XML", key=None),
    "no XML": Case("LIST", (hostile_s3.say(b"<!DOCTYPE html><html>Hello</html>"),), "XML", key=None),
    "error with a novel": Case("GET", (hostile_s3.refuse(500, "No"), hostile_s3.say(NOVEL)), "500 No to read"),
}


def files_of(case: Case) -> dict[str, bytes]:
    return LARGE if case.files == "large" else SMALL


@BOTH
@pytest.mark.parametrize("name", CASES)
def test_what_happens_once_is_overcome(world: HostileWorld, s3: S3, name: str) -> None:
    case = CASES[name]
    world.put(files_of(case))
    world.wait_no_longer_than(case.patience_seconds)
    s3.fault(case.kind, *case.faults, key=case.key, at={1})
    assert world.sync("alice").outcome is Outcome.SUCCESS, world.facts[-1]
    assert world.read("alice") == files_of(case)
    assert len(s3.requests("GET")) <= 6


@pytest.mark.parametrize("name", CASES)
def test_what_stays_shows_readers_what_they_saw_before(world: HostileWorld, s3: S3, name: str) -> None:
    case = CASES[name]
    world.put(OLD)
    assert world.sync("alice").outcome is Outcome.SUCCESS
    world.put(files_of(case))
    world.wait_no_longer_than(case.patience_seconds)
    s3.fault(case.kind, *case.faults, key=case.key)
    before = len(s3.log)
    result = world.sync("alice")
    if result.outcome is not Outcome.SUCCESS:
        assert result.outcome in {Outcome.ERROR, Outcome.REJECTED}
        assert case.told in sentence(result.reason)
        assert world.read("alice") == OLD
    else:
        assert not case.told, "it should not have gone well"
        assert world.read("alice") == files_of(case)
    assert len(s3.log) - before <= 16, "retries are bounded"
    s3.calm()
    world.wait_no_longer_than(10.0)
    if result.outcome is Outcome.REJECTED:
        world.put(files_of(case))
    assert world.sync("alice").outcome in {Outcome.SUCCESS, Outcome.NOOP}
    assert world.read("alice") == files_of(case)


def test_a_part_that_is_here_is_kept_while_another_does_not_come(tmp_path: Path, s3: S3) -> None:
    world = HostileWorld(tmp_path, s3, concurrency=1)
    world.put(LARGE)
    s3.fault("GET", hostile_s3.refuse(500, "InternalError"), key=WEIGHTS, at=range(2, 99))
    assert world.sync("alice").outcome is Outcome.ERROR
    assert not (world.base / "alice").exists()
    s3.calm()
    before = len(s3.requests("GET"))
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.read("alice") == LARGE
    assert [get.headers["range"] for get in s3.requests("GET")[before:]] == ["bytes=16777216-17825791"]
    world.close()


@BOTH
def test_what_an_answer_brought_before_it_crawled_is_not_asked_for_again(world: HostileWorld, s3: S3) -> None:
    world.put(SMALL)
    world.wait_no_longer_than(0.3)
    s3.fault("GET", hostile_s3.hang_after(70_000), key=WEIGHTS, at={1})
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert s3.requests("GET", WEIGHTS)[1].headers["range"] == "bytes=70000-99999"
    assert world.read("alice") == SMALL


def test_what_a_body_brought_in_one_read_is_had_before_its_end(world: HostileWorld, s3: S3) -> None:
    s3.put("k", bytes(100_000))
    world.wait_no_longer_than(1.0)
    s3.fault("GET", lambda exchange: vars(exchange).update(pace_seconds=0.0005))
    brought = []

    def read() -> None:
        buffer = memoryview(bytearray(100_000))
        [remote] = world.client.list("k").objects
        with world.client.open(remote, Span(0, 100_000)) as body:
            while count := body.readinto(buffer):
                brought.append(count)

    with pytest.raises(StoreUnavailable, match="crawled"):
        read()
    assert 0 < sum(brought) < 100_000


@BOTH
def test_answers_a_byte_at_a_time_do_not_string_us_along(world: HostileWorld, s3: S3) -> None:
    world.put(SMALL)
    s3.fault("GET", hostile_s3.close_after(1), key=WEIGHTS)
    assert world.sync("alice").outcome is Outcome.ERROR
    assert len(s3.requests("GET", WEIGHTS)) == 3


def test_the_pause_that_s3_asks_for_is_kept_within_bounds(world: HostileWorld, s3: S3) -> None:
    world.put(SMALL)
    s3.fault("GET", hostile_s3.refuse(503, "SlowDown", Retry_After="7"), key=WEIGHTS, at={1})
    s3.fault("GET", hostile_s3.refuse(503, "SlowDown", Retry_After="999999"), key=WEIGHTS, at={2})
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.waits() == [7.0, 10.0]


def test_a_blip_in_a_listing_is_waited_for_where_it_is(world: HostileWorld, s3: S3) -> None:
    s3.page_keys = 2
    for model in ("alice", "bob", "carol"):
        world.put(SMALL, model=model)
    s3.fault("LIST", hostile_s3.refuse(503, "SlowDown", Retry_After="7"), at={2})
    marked, found = world.compare()
    assert (marked, found.objects) == (["alice", "bob", "carol"], 6)
    asked = [list_.query.get("continuation-token") for list_ in s3.requests("LIST")]
    assert len(asked) == 4
    assert asked[1] == asked[2], "it goes on from the page that failed"
    assert world.waits() == [7.0]


@pytest.mark.parametrize("kind", ["LIST", "UPLOADS"])
def test_one_refusal_costs_no_sync_its_download(world: HostileWorld, s3: S3, kind: str) -> None:
    world.put(SMALL)
    s3.fault(kind, hostile_s3.refuse(503, "SlowDown"), at={1, 3})  # the third listing is the one after the download
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert len(s3.requests("GET")) == 2


def test_a_commit_file_that_breaks_off_is_read_again(world: HostileWorld, s3: S3) -> None:
    world.put(SMALL)
    s3.put("alice/modelsync.json", commit_file(SMALL))
    s3.fault("GET", hostile_s3.close_after(10), key="alice/modelsync.json", at={1, 2})
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert len(s3.requests("GET", "alice/modelsync.json")) == 3


def test_a_part_that_comes_in_crumbs_has_a_deadline(tmp_path: Path, s3: S3) -> None:
    world = HostileWorld(tmp_path, s3, concurrency=1)
    world.put(LARGE)
    s3.fault("GET", hostile_s3.close_after(70_000), lambda _: world.clock.advance(29.0), key=WEIGHTS)
    result = world.sync("alice")
    assert result.outcome is Outcome.ERROR
    assert "S3 is too slow: " in sentence(result.reason)
    assert len(s3.requests("GET", WEIGHTS)) == 17, "16 MiB have 480 s"
    world.close()


def test_what_is_not_waited_for_s3_is_not_held_against_it(tmp_path: Path, s3: S3) -> None:
    world = HostileWorld(tmp_path, s3, concurrency=1, bandwidth=20_000)  # 16 MiB in 840 s
    world.put(LARGE)
    s3.fault("GET", hostile_s3.close_after(12 * MIB), key=WEIGHTS, at={1})
    assert world.sync("alice").outcome is Outcome.SUCCESS
    world.close()


def test_connections_are_kept_and_none_is_lost(world: HostileWorld, s3: S3) -> None:
    world.put(SMALL)
    for _ in range(3):
        world.client.list("alice/")
    assert len({exchange.connection for exchange in s3.log}) == 1
    s3.fault("GET", hostile_s3.header("Content-Length", "-3"))
    before = len(os.listdir("/proc/self/fd"))
    gc.disable()  # which would close them some time
    results = [world.sync("alice") for _ in range(10)]
    after = len(os.listdir("/proc/self/fd"))
    gc.enable()
    assert {result.outcome for result in results} == {Outcome.ERROR}
    assert after <= before + 4, "at most one for each of four workers"


@BOTH
@pytest.mark.parametrize("faults", [(), (hostile_s3.head_apart,)], ids=["with the head", "with the body"])
def test_an_answer_that_nobody_asked_for_is_not_taken_for_the_next_one(
    tmp_path: Path, s3: S3, faults: tuple[hostile_s3.Fault, ...]
) -> None:
    world = HostileWorld(tmp_path, s3, concurrency=1)
    world.put(SMALL)
    forged = f'HTTP/1.1 200 OK\r\nETag: "{"0" * 32}"\r\nContent-Length: 1000\r\n\r\n'.encode() + bytes(1000)
    s3.fault("GET", hostile_s3.longer(forged), *faults, key="alice/config.json")
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.read("alice") == SMALL
    assert len(s3.requests("GET")) == 2
    world.close()


BOMB = b'<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]><ListBucketResult>&b;</ListBucketResult>'
TRUNCATED = b"<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
ENTRY = b"<Contents><Key>a/m.onnx</Key><Size>1</Size><LastModified>2026-01-01T00:00:00Z</LastModified><ETag>%b</ETag>"
LISTINGS = {
    "a bomb": (BOMB, "with entities"),
    "a well": (b"<a>" * 2_000_000 + b"</a>" * 2_000_000, "too deep"),
    "a flood": (b"<ListBucketResult>" + b" " * (33 << 20), "larger than"),
    "a circle": (b"<ListBucketResult>%b</ListBucketResult>" % TRUNCATED, "round in a circle"),
    "an error": (b"<Error><Code>Oops</Code></Error>", "'Error'"),
    "a long ETag": (
        b"<ListBucketResult>%b</Contents></ListBucketResult>" % (ENTRY % (b"e" * 5000)),
        "impossible size or ETag",
    ),
}


@pytest.mark.parametrize("name", LISTINGS)
def test_a_listing_that_is_none_costs_little_and_is_told(world: HostileWorld, s3: S3, name: str) -> None:
    world.put(OLD)
    world.sync("alice")
    document, told = LISTINGS[name]
    s3.fault("LIST", hostile_s3.say(document))
    start = time.monotonic()
    tracemalloc.start()
    result = world.sync("alice")
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert result.outcome is Outcome.ERROR
    assert told in sentence(result.reason)
    assert peak_bytes < 150 * MIB
    assert time.monotonic() - start < 10
    assert world.read("alice") == OLD


@pytest.mark.parametrize("date", ["", "yesterday", "Mon, 01 Jan 99999999999999 00:00:00 GMT"])
def test_a_clock_that_is_none_is_no_reason_to_stop(world: HostileWorld, s3: S3, date: str) -> None:
    world.put(SMALL)
    s3.fault("LIST", hostile_s3.header("Date", date))
    assert world.sync("alice").outcome is Outcome.SUCCESS


def test_a_clock_of_long_ago_makes_nobody_wait_for_long(world: HostileWorld, s3: S3) -> None:
    world.put(SMALL)
    s3.fault("LIST", hostile_s3.header("Date", "Thu, 01 Jan 1970 00:00:00 GMT"))
    result = world.sync("alice")
    assert result.outcome is Outcome.WAITING
    assert result.wait_seconds == 30


def test_an_object_that_was_removed_is_told_as_changed(world: HostileWorld) -> None:
    with pytest.raises(ObjectChanged, match=r"^S3 answered 404 NoSuchKey to ask for 'alice/gone.onnx'$"):
        world.client.head(RemoteObject("alice/gone.onnx", 1, "e", 0.0))


def test_one_object_that_may_not_be_read_leaves_the_bucket_healthy(world: HostileWorld) -> None:
    world.put(SMALL)
    world.put(OLD, model="bob")
    world.s3.fault("GET", hostile_s3.refuse(403, "AccessDenied"), key=WEIGHTS)
    worker = Worker(world.dirty, world.sync_models, world.observe)
    for model in ("bob", "alice", "bob"):
        world.dirty.mark(ModelId(model), why="test")
        stop = threading.Event()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(world.dirty, "done", lambda *_, **__: world.dirty.close())
            worker.run(stop, lambda: None)
        world.dirty = worker._dirty = DirtyModels(world.clock)
        assert world.board.checks()["s3"].status is Status.HEALTHY
    status, reason = world.board.checks()["sync"].status, world.board.checks()["sync"].reason
    assert status is Status.DEGRADED
    assert reason.startswith("alice: S3 answered 403 AccessDenied")
