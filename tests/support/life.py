"""A worker and readers of one volume as processes of their own: `python -m support.life work|read …`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from random import Random

from fakes.store import FakeStore
from modelsync.adapters.volume.files import replace_file
from modelsync.client import open_model
from modelsync.core.facts import Outcome
from modelsync.core.names import ModelId
from modelsync.core.retention import RetentionRules
from modelsync.errors import NotPossible
from support.world import World

MODELS = [ModelId(f"voice-{number}") for number in range(5)]
WEIGHTS_BYTES = 192 << 10
REVISION_BYTES = WEIGHTS_BYTES + (16 << 10)
BUDGET_BYTES = 3 << 20
_NAMES = ("model.onnx", "config.json", "vocab.txt")
_MARK_BYTES = 16


def files(model: str, number: int) -> dict[str, bytes]:
    """A version whose files all begin with the same mark."""
    mark = f"{model} {number:06}".encode().ljust(_MARK_BYTES)
    return {name: mark if name != "model.onnx" else (mark * (WEIGHTS_BYTES // _MARK_BYTES)) for name in _NAMES}


def progress(base: Path) -> int:
    """How many versions the worker has published."""
    try:
        return int((base / "progress").read_text())
    except FileNotFoundError:
        return 0


def work(base: Path, versions: int) -> None:
    """Publish, roll back and collect, from where the last worker died."""
    store = FakeStore()
    world = World(base, store=store, budget_bytes=BUDGET_BYTES, retention=RetentionRules(keep=2, stale_seconds=0))
    world.clock.advance(100 * progress(base))
    for number in range(progress(base), versions):
        model = MODELS[number % len(MODELS)]
        world.clock.advance(1)
        world.upload(model, files(model, number))
        if number >= len(MODELS):
            world.overrides.unpin(model)
        while (result := world.sync(model)).outcome is not Outcome.SUCCESS and "use are left" in result.reason:
            pass  # readers hold what would have to go; they let go of it
        assert result.outcome in {Outcome.SUCCESS, Outcome.NOOP}, result
        if number % 3 == 0:
            try:
                world.rollback(model)
            except NotPossible:
                assert number < len(MODELS) or world.volume.published(model).kept == {result.revision}
        world.collect()
        replace_file(base / "progress", str(number + 1).encode())


def read(base: Path, seed: int) -> None:
    """Open models at random, hold them for as long as it takes to read them some times, and judge them."""
    os.nice(10)  # what waits for the readers is the worker, not the other way round
    random, revisions = Random(seed), set()
    while not (base / "stop").exists():
        with open_model(random.choice(MODELS), base) as voice:
            revisions.add(voice.parent.name)
            marks = set()
            for _ in range(random.randint(1, 20)):
                for name in _NAMES:
                    content = (voice / name).read_bytes()
                    marks.add(mark := content[:_MARK_BYTES])
                    assert content == mark * (len(content) // _MARK_BYTES), f"{voice}/{name} is torn"
            assert len(marks) == 1, f"{voice}: {marks}"
    sys.stdout.write(json.dumps(len(revisions)))


if __name__ == "__main__":
    _, what, where, number = sys.argv
    {"work": work, "read": read}[what](Path(where), int(number))
