"""Runs one command pinned to a core, and measures the whole of it: wall, CPU, peak memory of its process tree."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.transfer.install import last_line
from bench.transfer.results import Run

CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, CLIENT_CORE = CORES[0], CORES[-1]
SAMPLE_SECONDS = 0.005
DEADLINE_SECONDS = 300.0


class FailedError(Exception):
    """A command failed; the text is the end of what it said."""


class Memory:
    """Samples the memory of a process and its descendants until it ends."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._peak_kib = 0
        self._thread.start()

    def peak_mib(self) -> float:
        """End sampling and tell the peak."""
        self._ended.set()
        self._thread.join()
        return self._peak_kib / 1024

    def _watch(self) -> None:
        ended = False
        while not ended:
            each = [status(pid) for pid in tree(self._pid)]
            # Of one process the kernel knows the peak; of many together only the sum of the moment is known.
            self._peak_kib = max(self._peak_kib, sum(now for now, _ in each), *(peak for _, peak in each))
            ended = self._ended.wait(SAMPLE_SECONDS)


@contextmanager
def aside() -> Iterator[None]:
    """Leave the client's core to the client: sampling is none of its work."""
    os.sched_setaffinity(0, {SERVER_CORE})
    try:
        yield
    finally:
        os.sched_setaffinity(0, CORES)


def tree(pid: int) -> list[int]:
    """A process and its descendants."""
    found = [pid]
    for parent in found:
        try:
            for thread in Path(f"/proc/{parent}/task").iterdir():
                found += map(int, (thread / "children").read_text().split())
        except OSError:
            continue  # it ended
    return found


def status(pid: int) -> tuple[int, int]:
    """KiB that a process has resident now, and had at most; zeros once it ended."""
    try:
        fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    except OSError:
        return 0, 0
    return int(fields.get("VmRSS", "0 kB").split()[0]), int(fields.get("VmHWM", "0 kB").split()[0])


def run(command: list[str], environment: dict[str, str], log: Path) -> Run:
    """Run a command on the client's core.

    Raises:
        FailedError: it failed, or took too long.
    """
    with log.open("wb") as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            ["taskset", "-c", str(CLIENT_CORE), *command],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    memory = Memory(process.pid)
    deadline = threading.Timer(DEADLINE_SECONDS, kill_group, [process.pid])
    deadline.start()
    try:
        _, code, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
    finally:
        deadline.cancel()
        kill_group(process.pid)
        peak = memory.peak_mib()
    process.returncode = os.waitstatus_to_exitcode(code)
    if process.returncode != 0:
        raise FailedError(f"exit code {process.returncode}: {last_line(log.read_text(errors='replace'))}")
    return Run(wall, usage.ru_utime + usage.ru_stime, peak)


def kill_group(group: int) -> None:
    """Leave nothing of a command behind."""
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
