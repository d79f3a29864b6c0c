"""A rate that all downloads share, in virtual time."""

from __future__ import annotations

import os
import socket
import threading
import time
from pathlib import Path

import pytest

from fakes.clock import VirtualClock
from modelsync.adapters.clock import SystemClock
from modelsync.app.bandwidth import Bandwidth
from modelsync.core.facts import Outcome
from support.world import World


@pytest.mark.parametrize("rate", [50_000, 1_000_000, 100_000_000])
def test_a_download_keeps_the_rate_within_5_percent(tmp_path: Path, rate: int) -> None:
    world = World(tmp_path, bandwidth=rate, concurrency=1)
    size = rate * 3
    world.upload("alice", {"model.onnx": os.urandom(min(size, 20 << 20))})
    size = min(size, 20 << 20)
    start = world.clock.now()
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.clock.now() - start == pytest.approx(size / rate, rel=0.05)


def test_many_threads_share_one_rate() -> None:
    clock = VirtualClock()
    bandwidth = Bandwidth(1000, clock)
    waits: list[float] = []
    clock.wait = lambda _stop, seconds: waits.append(seconds) is not None  # type: ignore[method-assign]
    for _ in range(5):  # five threads that read at one moment
        bandwidth.pay(100, threading.Event())
    assert waits == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])


def test_the_time_of_a_read_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A read that takes half of its share of the time leaves half of it to wait; what was missed long ago is gone."""
    clock = VirtualClock()
    bandwidth = Bandwidth(1000, clock)
    waits: list[float] = []
    monkeypatch.setattr(clock, "wait", lambda _stop, seconds: waits.append(seconds))
    clock.advance(0.05)
    bandwidth.pay(100, threading.Event())
    clock.advance(0.2)
    bandwidth.pay(100, threading.Event())
    clock.advance(60)
    for _ in range(3):
        bandwidth.pay(100, threading.Event())
    assert waits == pytest.approx([0.05, 0.1, 0.2])


def test_one_connection_that_takes_its_time_keeps_the_rate() -> None:
    """In real time, over a socket on whose other side each piece takes 5 ms."""
    rate, pieces, piece_bytes = 100_000_000, 100, 1 << 20
    reader, writer = socket.socketpair()

    def serve() -> None:
        with writer:
            while writer.recv(1):
                threading.Event().wait(0.005)
                writer.sendall(bytes(piece_bytes))

    thread = threading.Thread(target=serve)
    bandwidth, buffer = Bandwidth(rate, SystemClock()), bytearray(piece_bytes)
    thread.start()
    start = time.monotonic()
    with reader:
        for _ in range(pieces):
            reader.send(b"?")
            assert reader.recv_into(buffer, piece_bytes, socket.MSG_WAITALL) == piece_bytes
            bandwidth.pay(piece_bytes, threading.Event())
    took = time.monotonic() - start
    thread.join()
    right = pieces * piece_bytes / rate
    assert right * 0.85 < took < right * 1.3


def test_without_a_limit_nothing_waits() -> None:
    clock = VirtualClock()
    start = clock.now()
    Bandwidth(0, clock).pay(1 << 40, threading.Event())
    assert clock.now() == start
    assert Bandwidth(0, clock).read_bytes(512) == 512


def test_a_slow_rate_reads_little_at_once() -> None:
    clock = VirtualClock()
    assert Bandwidth(1_000_000, clock).read_bytes(1 << 20) == 100_000
    assert Bandwidth(10, clock).read_bytes(1 << 20) == 16 << 10
