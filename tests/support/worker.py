"""`modelsync` as real processes, and what a test asks of them."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

DEADLINE_SECONDS = 60.0
UNGATED = {"GATE_STRUCTURE": "off", "GATE_PICKLE": "allow"}
"""Most tests are about bytes, whatever they mean."""
MODELSYNC = (sys.executable, "-m", "modelsync")


def opened(pid: int) -> Iterator[str]:
    """What a process has open now."""
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since
            yield str(link.readlink())


def until(ask: Callable[[], Any], what: str, seconds: float = DEADLINE_SECONDS) -> Any:
    """Ask until the answer is true; fail after a deadline."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := ask():
            return answer
        time.sleep(0.01)
    pytest.fail(f"in vain waited for {what}")


class Worker:
    """`modelsync run` as a process."""

    def __init__(self, environment: dict[str, str], log: Path, command: Sequence[str] = MODELSYNC) -> None:
        self._log = log
        with log.open("wb") as stderr:
            self.process = subprocess.Popen(
                [*command, "run"], env=environment, stderr=stderr, stdout=subprocess.DEVNULL
            )
        started = until(self._started, "the worker's start")
        self.url = f"http://127.0.0.1:{started['http_port']}"

    def _started(self) -> dict[str, Any] | None:
        assert self.process.poll() is None, self._log.read_text()
        return next((line for line in self.logs() if line["event"] == "started"), None)

    def logs(self) -> list[dict[str, Any]]:
        """All complete log lines."""
        return [json.loads(line) for line in self._log.read_text().splitlines(keepends=True) if line.endswith("\n")]

    def get(self, path: str) -> tuple[int, Any]:
        """Ask the HTTP interface."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=10) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def post(self, path: str, token: str, document: object = None) -> dict[str, Any]:
        """Order something of the HTTP interface; what it answers."""
        request = urllib.request.Request(
            self.url + path,
            data=b"" if document is None else json.dumps(document).encode(),
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
            method="POST",
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            told: dict[str, Any] = json.loads(answer.read())
            return told

    def check(self, name: str) -> dict[str, Any]:
        """One health check; its status is None while it is not known."""
        checks: dict[str, dict[str, Any]] = self.get("/health")[1]["checks"]
        return checks.get(name, {"status": None})

    def metric(self, name: str, **labels: str) -> float:
        """The value of a series; 0 without it."""
        with urllib.request.urlopen(self.url + "/metrics", timeout=10) as answer:
            text = answer.read().decode()
        wanted = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
        series = f"modelsync_{name}{{{wanted}}}" if labels else f"modelsync_{name}"
        found = re.search(rf"^{re.escape(series)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def wait_ready(self) -> None:
        until(lambda: self.get("/ready")[0] == 200, "readiness")

    def wait_published(self, number: int = 1) -> None:
        until(lambda: self.metric("sync_total", outcome="success") >= number, f"{number} publications")

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the exit code."""
        if self.process.poll() is None:
            self.send(number)
        return self.process.wait(30)


class Setting:
    """A volume, and what a worker on it is told by its environment."""

    def __init__(self, base: Path, logs: Path, environment: dict[str, str]) -> None:
        self.base = base
        self.environment = environment
        self._logs = logs
        self._workers: list[Worker] = []

    def start(self, *prefix: str, **more: str) -> Worker:
        """Start a worker; `prefix` comes before the command."""
        log = self._logs / f"worker-{len(self._workers)}.log"
        worker = Worker(self.environment | more, log, [*prefix, *MODELSYNC])
        self._workers.append(worker)
        return worker

    def command(self, *words: str, prefix: Sequence[str] = (), **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [*prefix, *MODELSYNC, *words],
            env=self.environment | more, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def read(self, model: str) -> dict[str, bytes]:
        """Read a model as an application does."""
        directory = (self.base / model).resolve(strict=True)
        return {p.relative_to(directory).as_posix(): p.read_bytes() for p in directory.rglob("*") if p.is_file()}

    def close(self) -> None:
        for worker in self._workers:
            worker.end(signal.SIGKILL)
