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
from support.life import BUDGET_BYTES, MODELS, REVISION_BYTES, Tally, progress
from support.worker import until
from support.world import World

pytestmark = pytest.mark.timeout(300)

VERSIONS = 300
READERS = 8
PATIENCE_SECONDS = 240  # seconds, where the machine has nothing else to do
FIRST = len(MODELS)
HISTORY_BYTES = 25 * 4096  # manifests of twenty revisions, and the records


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


class Life:
    """Processes on one volume."""

    def __init__(self, base: Path, keep: int) -> None:
        self.base = base
        self._keep = keep
        self.readers: list[subprocess.Popen[str]] = []
        self.worker = self._start("work", FIRST, keep)
        _, errors = self.worker.communicate(timeout=60)
        assert self.worker.returncode == 0, errors
        self.worker = self._start("work", VERSIONS, keep)
        for seed in range(READERS):
            self.readers.append(self._start("read", seed))

    def _start(self, what: str, *numbers: int) -> subprocess.Popen[str]:
        paths = [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
        return subprocess.Popen(
            [sys.executable, "-m", "support.life", what, str(self.base), *map(str, numbers)],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def reached(self, number: int) -> bool:
        assert self.worker.poll() in {None, 0}, self.worker.communicate()[1]
        return progress(self.base) >= number

    def kill_worker(self) -> None:
        kill(self.worker)
        self.worker = self._start("work", VERSIONS, self._keep)

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
def life(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Life]:
    made = Life(tmp_path, request.param)
    yield made
    made.close()


def judge(life: Life, *, rollbacks: int, spared: int) -> None:
    """What must be so when all is over, and what must have happened for that to mean anything."""
    life.worker.communicate(timeout=60)
    assert life.worker.returncode == 0
    seen, tally = life.end(), Tally.of_all(life.base)
    assert sum(seen) > VERSIONS / 4, "the readers were really reading meanwhile"
    assert tally.removed > VERSIONS / 2
    assert tally.rollbacks >= rollbacks
    assert len(tally.spared) >= spared, "leases were all that kept so many revisions"
    assert tally.highest_bytes <= BUDGET_BYTES + REVISION_BYTES
    world = World(life.base, budget_bytes=BUDGET_BYTES, retention=RetentionRules(keep=0, stale_seconds=0))
    world.clock.advance(10**9)  # past what the file system has noted by its own clock, too
    world.collect()
    for model in MODELS:
        assert len(os.listdir(world.home(model) / "revisions")) == 1
        assert not (world.home(model) / "staging").exists()
        assert not (world.home(model) / "quarantine").exists()
        assert world.verify(model).findings == ()
    assert not list(life.base.rglob(".tmp-*"))
    assert disk_usage(life.base / ".modelsync") <= len(MODELS) * (REVISION_BYTES + HISTORY_BYTES)


@pytest.mark.parametrize("life", [0], indirect=True, ids=["keep none"])
def test_no_reader_fails_and_the_budget_holds(life: Life) -> None:
    """What a reader holds is the first that would go: only its lease keeps it."""
    until(lambda: life.reached(VERSIONS), "all versions", PATIENCE_SECONDS)
    judge(life, rollbacks=VERSIONS // 4, spared=VERSIONS // 10)


@pytest.mark.parametrize("life", [2], indirect=True, ids=["keep two"])
def test_the_same_while_worker_and_readers_are_killed(life: Life) -> None:
    """More is kept than the budget has room for: downloads make room for themselves."""
    for number in range(FIRST + 30, VERSIONS, 30):
        until(lambda number=number: life.reached(number), f"{number} versions", PATIENCE_SECONDS)  # type: ignore[misc]
        life.kill_worker()
        life.kill_reader(number // 30 % READERS)
    until(lambda: life.reached(VERSIONS), "all versions", PATIENCE_SECONDS)
    judge(life, rollbacks=VERSIONS // 8, spared=0)
