"""A small model does not wait for the download of a large one."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from modelsync.app.small import SMALL_BYTES
from modelsync.core.facts import BytesFetched, Fact, Outcome
from support.world import World


class Held(World):
    """Whoever fetches bytes of model `large` waits until `go_on`."""

    def __init__(self, base: Path) -> None:
        super().__init__(base, concurrency=1)
        self.begun = threading.Event()
        self.go_on = threading.Event()

    def observe(self, fact: Fact, /) -> None:
        if isinstance(fact, BytesFetched) and fact.model == "large":
            self.begun.set()
            assert self.go_on.wait(30)
        super().observe(fact)


@pytest.mark.parametrize("size_bytes", [7, SMALL_BYTES + 1])
def test_a_small_model_does_not_wait_for_the_requests_of_a_large_one(tmp_path: Path, size_bytes: int) -> None:
    world = Held(tmp_path)
    world.upload("large", {"model.onnx": bytes(9 << 20)})
    files = {"model.onnx": bytes(size_bytes), "config.json": b"{}"}
    world.upload("small", files)
    outcomes = []
    thread = threading.Thread(target=lambda: outcomes.append(world.sync("large").outcome))
    thread.start()
    try:
        assert world.begun.wait(30)
        assert world.sync("small").outcome is Outcome.SUCCESS
        assert outcomes == []
    finally:
        world.go_on.set()
        thread.join(30)
    assert outcomes == [Outcome.SUCCESS]
    assert world.read("small") == files
