"""A rate that all downloads share, in virtual time."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from fakes.clock import VirtualClock
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
