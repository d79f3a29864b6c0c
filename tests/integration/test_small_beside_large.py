"""A small model does not wait for the download of a large one."""

from __future__ import annotations

import threading
from pathlib import Path

from modelsync.core.facts import BytesFetched, Fact, Outcome
from support.world import World


class Held(World):
    """Whoever fetches bytes of model `large` waits until `go_on`."""

    begun = threading.Event()
    go_on = threading.Event()

    def observe(self, fact: Fact, /) -> None:
        if isinstance(fact, BytesFetched) and fact.model == "large":
            self.begun.set()
            assert self.go_on.wait(30)
        super().observe(fact)


def test_a_small_model_does_not_wait_for_the_requests_of_a_large_one(tmp_path: Path) -> None:
    world = Held(tmp_path, concurrency=1)
    world.upload("large", {"model.onnx": bytes(9 << 20)})
    world.upload("small", {"model.onnx": b"weights", "config.json": b"{}"})
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
    assert world.read("small") == {"model.onnx": b"weights", "config.json": b"{}"}
