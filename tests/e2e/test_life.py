"""The life of revisions under a tight budget: readers that lease, a worker that publishes, rolls back and removes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelsync.adapters.volume.files import disk_usage
from modelsync.core.retention import RetentionRules
from support.life import BUDGET_BYTES, MODELS, REVISION_BYTES, progress
from support.worker import until
from support.world import World

pytestmark = pytest.mark.timeout(300)

VERSIONS = 300
READERS = 8
PATIENCE_SECONDS = 240  # seconds, where the machine has nothing else to do
FIRST = len(MODELS)


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


class Life:
    """Processes on one volume."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.readers: list[subprocess.Popen[str]] = []
        self.worker = self._start("work", FIRST)
        _, errors = self.worker.communicate(timeout=60)
        assert self.worker.returncode == 0, errors
        self.worker = self._start("work", VERSIONS)
        for seed in range(READERS):
            self.readers.append(self._start("read", seed))
        self.highest_bytes = 0

    def _start(self, what: str, number: int) -> subprocess.Popen[str]:
        paths = [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
        return subprocess.Popen(
            [sys.executable, "-m", "support.life", what, str(self.base), str(number)],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def measure(self) -> None:
        self.highest_bytes = max(self.highest_bytes, disk_usage(self.base / ".modelsync"))

    def reached(self, number: int) -> bool:
        self.measure()
        assert self.worker.poll() in {None, 0}, self.worker.communicate()[1]
        return progress(self.base) >= number

    def kill_worker(self) -> None:
        kill(self.worker)
        self.worker = self._start("work", VERSIONS)

    def kill_reader(self, number: int) -> None:
        kill(self.readers[number])
        self.readers[number] = self._start("read", number)

    def end(self) -> list[int]:
        """End the readers; return how many revisions each saw."""
        (self.base / "stop").touch()
        seen = []
        for reader in self.readers:
            out, errors = reader.communicate(timeout=60)
            assert reader.returncode == 0, errors
            seen.append(json.loads(out))
        return seen

    def close(self) -> None:
        for process in (self.worker, *self.readers):
            kill(process)


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Life]:
    made = Life(tmp_path)
    yield made
    made.close()


def judge(life: Life) -> None:
    """What must be so when all is over."""
    seen = life.end()
    assert sum(seen) > VERSIONS / 4, "the readers were really reading meanwhile"
    assert life.highest_bytes <= BUDGET_BYTES + REVISION_BYTES
    world = World(life.base, budget_bytes=BUDGET_BYTES, retention=RetentionRules(keep=0, stale_seconds=0))
    world.clock.advance(10**7)
    world.collect()
    for model in MODELS:
        assert len(os.listdir(world.home(model) / "revisions")) == 1
        assert not (world.home(model) / "staging").exists()
        assert world.verify(model).findings == ()


def test_no_reader_fails_and_the_budget_holds(life: Life) -> None:
    until(lambda: life.reached(VERSIONS), "all versions", PATIENCE_SECONDS)
    judge(life)


def test_the_same_while_worker_and_readers_are_killed(life: Life) -> None:
    for number in range(FIRST + 30, VERSIONS, 30):
        until(lambda number=number: life.reached(number), f"{number} versions", PATIENCE_SECONDS)  # type: ignore[misc]
        life.kill_worker()
        life.kill_reader(number // 30 % READERS)
    until(lambda: life.reached(VERSIONS), "all versions", PATIENCE_SECONDS)
    judge(life)
