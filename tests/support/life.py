"""A worker and readers of one volume as processes of their own: `python -m support.life work|read …`."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random

from fakes.store import FakeStore
from modelsync.adapters.volume.files import disk_usage, replace_file
from modelsync.client import open_model
from modelsync.core.facts import BytesFetched, BytesReused, Fact, Outcome, Pinned, Published, RevisionRemoved
from modelsync.core.names import ModelId
from modelsync.core.retention import RetentionRules
from modelsync.errors import ModelBusy, NoRoom, NotPossible
from support.world import World

MODELS = [ModelId(f"voice-{number}") for number in range(5)]
WEIGHTS_BYTES = 192 << 10
REVISION_BYTES = WEIGHTS_BYTES + (16 << 10)
BUDGET_BYTES = 3 << 20
_SWEEP_SECONDS = 0.02
_GROWTH = (BytesFetched, BytesReused, Published, RevisionRemoved)
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


@dataclass
class Tally:
    """What one worker did and met."""

    highest_bytes: int = 0
    rollbacks: int = 0
    removed: int = 0
    spared: list[str] = field(default_factory=list)

    @staticmethod
    def of_all(base: Path) -> Tally:
        """Of all workers that there were."""
        found = [Tally(**json.loads(path.read_bytes())) for path in base.glob("tally-*.json")]
        return Tally(
            max(one.highest_bytes for one in found),
            sum(one.rollbacks for one in found),
            sum(one.removed for one in found),
            sorted({name for one in found for name in one.spared}),
        )


class Worker(World):
    """Syncs and rolls back in one thread, and removes in another, as the service does; keeps a tally meanwhile."""

    def __init__(self, base: Path, keep: int) -> None:
        self.tally = Tally()
        rules = RetentionRules(keep=keep, stale_seconds=0)
        super().__init__(base, store=FakeStore(keeps_versions=True), budget_bytes=BUDGET_BYTES, retention=rules)

    def observe(self, fact: Fact, /) -> None:
        self.board(fact)
        if isinstance(fact, _GROWTH):
            self.tally.highest_bytes = max(self.tally.highest_bytes, disk_usage(self.base / ".modelsync"))
        self.tally.rollbacks += isinstance(fact, Pinned) and fact.rolled_back
        self.tally.removed += isinstance(fact, RevisionRemoved)

    def keep_collecting(self, done: threading.Event) -> None:
        spared: set[str] = set()
        while not done.wait(_SWEEP_SECONDS):
            held = [item.holding for item in self.collect()]
            spared |= {f"{one.model} {one.name}" for one in held if one.leased and not one.linked}
            self.tally.spared = sorted(spared)

    def publish(self, model: ModelId, number: int) -> None:
        self.clock.advance(1)
        self.upload(model, files(model, number))
        if number >= len(MODELS):
            patiently(lambda: self.overrides.unpin(model))
        while (result := self.sync(model)).outcome not in {Outcome.SUCCESS, Outcome.NOOP}:
            # Readers hold what would have to go, and let go of it; or the other thread is at the model.
            assert result.outcome is Outcome.BUSY or "use are left" in result.reason, result

    def go_back(self, model: ModelId) -> None:
        # There is only one version yet, or the bucket of the last worker had it; or readers hold too much.
        with suppress(NotPossible, NoRoom):
            patiently(lambda: self.rollback(model))

    def write_down(self) -> None:
        new = self.base / f"tally-{os.getpid()}.new"
        new.write_text(json.dumps(asdict(self.tally)))
        new.rename(new.with_suffix(".json"))


def patiently(order: Callable[[], object]) -> None:
    """Give an order until the model is free."""
    while True:
        try:
            order()
        except ModelBusy:
            continue
        return


def work(base: Path, versions: int, keep: int) -> None:
    """Publish, roll back and collect, from where the last worker died."""
    world, done = Worker(base, keep), threading.Event()
    world.clock.advance(100 * progress(base))
    with ThreadPoolExecutor(1) as threads:
        collecting = threads.submit(world.keep_collecting, done)
        try:
            for number in range(progress(base), versions):
                model = MODELS[number % len(MODELS)]
                world.publish(model, number)
                if number % 3 == 0:
                    world.go_back(model)
                world.write_down()
                replace_file(base / "progress", str(number + 1).encode())
                assert not collecting.done(), collecting.result()
        finally:
            done.set()
    collecting.result()


def read(base: Path, seed: int) -> None:
    """Open models at random, hold them for a while, and judge them: every other reader holds them for long."""
    os.nice(10)  # what waits for the readers is the worker, not the other way round
    random, revisions = Random(seed), set()
    while not (base / "stop").exists():
        with open_model(random.choice(MODELS), base) as voice:
            revisions.add(voice.parent.name)
            marks = look(voice)
            if seed % 2:
                time.sleep(random.uniform(0.2, 2))  # it is at work, with files that it may open again
            for _ in range(random.randint(1, 20)):
                marks |= look(voice)
            assert len(marks) == 1, f"{voice}: {marks}"
    sys.stdout.write(json.dumps(len(revisions)))


def look(voice: Path) -> set[bytes]:
    """Read all files; return the marks that they begin with."""
    marks = set()
    for name in _NAMES:
        content = (voice / name).read_bytes()
        marks.add(mark := content[:_MARK_BYTES])
        assert content == mark * (len(content) // _MARK_BYTES), f"{voice}/{name} is torn"
    return marks


if __name__ == "__main__":
    os.fsync = lambda _: None  # processes die here and no machine: what they wrote is there, synced or not
    _, what, where, *numbers = sys.argv
    {"work": work, "read": read}[what](Path(where), *map(int, numbers))
