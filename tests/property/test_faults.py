"""Any sequence of faults of network, store and uploader: a voice is seen whole and right, or as before."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fakes import hostile_s3
from fakes.hostile_s3 import S3
from modelsync.core.facts import Outcome
from modelsync.core.parts import MIB
from support.hostile import HostileWorld, sentence

V1 = {"config.json": b"1", "de/vocab.txt": os.urandom(70_000), "model.onnx": os.urandom(17 * MIB)}
V2 = {"config.json": b"2", "de/vocab.txt": os.urandom(70_000), "model.onnx": os.urandom(17 * MIB)}
IMPATIENCE_SECONDS = 0.1  # answers that hang are among the faults

FAULTS: dict[str, hostile_s3.Fault] = {
    "reset": hostile_s3.reset_after(1000),
    "close": hostile_s3.close_after(65_000),
    "cut head": hostile_s3.cut_head("Date"),
    "hang": hostile_s3.hang_after(10),
    "crawl": hostile_s3.crawl,
    "flip": hostile_s3.flip(4321),
    "longer": hostile_s3.longer(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"),
    "slow down": hostile_s3.refuse(503, "SlowDown", Retry_After="3"),
    "error": hostile_s3.refuse(500, "InternalError"),
    "gone": hostile_s3.refuse(404, "NoSuchKey"),
    "changed": hostile_s3.refuse(412, "PreconditionFailed"),
    "redirect": hostile_s3.refuse(307, "TemporaryRedirect"),
    "another range": hostile_s3.serve_range(7, 4711),
    "whole": hostile_s3.serve_whole,
    "chunked": hostile_s3.chunked,
    "no length": hostile_s3.header("Content-Length", None),
    "another ETag": hostile_s3.header("ETag", '"another"'),
    "wrong checksum": hostile_s3.header("x-amz-checksum-crc64nvme", "AAAAAAAAAAA="),
    "no checksum": hostile_s3.header("x-amz-checksum-crc64nvme", None),
    "garbage": hostile_s3.first_line(b"\x00\xff garbage\r\n"),
    "many headers": hostile_s3.many_headers,
    "no listing": hostile_s3.say(b"<html/>"),
}


@dataclass(frozen=True)
class Happening:
    """A fault, or an upload of the next version, at the n-th request of a kind."""

    what: str
    kind: str
    at: int


happenings = st.lists(
    st.builds(
        Happening,
        st.sampled_from([*FAULTS, "upload"]),
        st.sampled_from(["LIST", "HEAD", "GET", "GET", "GET"]),
        st.integers(1, 8),
    ),
    max_size=8,
)


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    server = S3()
    yield server
    server.close()


def seen(world: HostileWorld) -> dict[str, bytes] | None:
    return world.read("alice") if os.path.lexists(world.base / "alice") else None


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(happenings=happenings, heeds_if_match=st.booleans())
def test_whatever_happens(s3: S3, happenings: list[Happening], heeds_if_match: bool) -> None:  # noqa: FBT001
    with tempfile.TemporaryDirectory() as base:
        world = HostileWorld(Path(base), s3)
        world.wait_no_longer_than(IMPATIENCE_SECONDS)
        s3.heeds_if_match = heeds_if_match
        newest = V1
        world.put(V1)

        def upload(_: object) -> None:
            nonlocal newest
            newest = V2
            world.put(V2)

        for happening in happenings:
            s3.fault(happening.kind, FAULTS.get(happening.what, upload), at={happening.at})
        for _ in range(4):
            result = world.sync("alice")
            sentence(result.reason)
            assert seen(world) in (None, V1, V2)
            if result.outcome is Outcome.SUCCESS:
                assert seen(world) in (V1, V2)
        s3.calm()
        world.wait_no_longer_than(10.0)
        world.put(newest)  # what was refused is looked at again when it is uploaded again
        for _ in range(2):
            result = world.sync("alice")
        assert result.outcome is Outcome.NOOP, result.reason
        assert seen(world) == newest
        assert world.compare()[0] == []
        world.close()
