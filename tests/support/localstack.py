"""LocalStack beside moto: removal events, versions, composite checksums, topics; slower to start."""

from __future__ import annotations

import fcntl
import os
import subprocess
from pathlib import Path

import pytest

from modelsync.demo.emulator import Emulator
from support.worker import until

_HERE = Path(__file__).parents[1] / "localstack"
_LOCK = _HERE / "requirements.lock"
_PLACE = Path(__file__).parents[2] / ".cache/localstack"


class LocalStack(Emulator):
    """One for the whole test run: whichever xdist worker needs it first starts it, and it ends with the run."""

    def __init__(self, shared: Path, run: int) -> None:
        """Start it, or find it.

        Args:
            shared: a directory of this run, the same for all its workers.
            run: the process that the run ends with.
        """
        super().__init__()
        installed = _PLACE / "installed.lock"
        if not installed.exists() or installed.read_bytes() != _LOCK.read_bytes():
            pytest.skip("LocalStack is not installed, or is not the locked one: run scripts/localstack.sh")
        told = shared / "localstack.url"
        with (shared / "localstack.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not told.exists():
                self._start(shared, run, told)
        self.url = told.read_text().strip()

    def _start(self, shared: Path, run: int, told: Path) -> None:
        log, answer = shared / "localstack.log", shared / "localstack.start"
        with log.open("wb") as stderr, answer.open("wb") as stdout:
            process = subprocess.Popen(
                [_PLACE / "bin/python", _HERE / "serve.py", shared / "localstack", str(run)],
                stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, start_new_session=True,
            )  # fmt: skip
        until(lambda: answer.read_text().endswith("\n") or process.poll() is not None, "LocalStack's start")
        assert process.poll() is None, log.read_text()
        process.returncode = 0  # nobody waits for it: it ends with the run, whichever worker ends first
        answer.rename(told)


def of_this_run(factory: pytest.TempPathFactory) -> LocalStack:
    """The run's LocalStack, whether or not xdist spreads the run over workers."""
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        return LocalStack(base.parent, os.getppid())
    return LocalStack(base, os.getpid())
