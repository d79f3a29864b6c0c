"""`modelsync run` as a process to be measured."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

DEADLINE_SECONDS = 300.0


@dataclass
class Worker:
    """A running worker, its log and when it was started (monotonic seconds)."""

    process: subprocess.Popen[bytes]
    log: Path
    started: float

    def lines(self, event: str) -> list[dict[str, Any]]:
        """All log lines of an event; `at`: seconds since the epoch."""
        found = []
        for line in self.log.read_text().splitlines(keepends=True):
            if line.endswith("\n") and f'"event": "{event}"' in line:
                fields = json.loads(line)
                fields["at"] = datetime.fromisoformat(fields["timestamp"]).timestamp()
                found.append(fields)
        return found

    def wait_for(self, event: str, number: int = 1) -> list[dict[str, Any]]:
        """Wait for so many lines of an event."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while len(found := self.lines(event)) < number:
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise SystemExit(f"the worker did not come to {number} x {event!r}:\n{self.log.read_text()[-4000:]}")
            time.sleep(0.005)
        return found

    def ready_after_seconds(self) -> float:
        """Ask /ready until it says yes; seconds since the start of the process."""
        port = self.wait_for("started")[0]["http_port"]
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5) as answer:
                    if answer.status == 200:
                        return time.monotonic() - self.started
            except (urllib.error.HTTPError, OSError):
                time.sleep(0.005)

    def rss_mib(self, which: str) -> float:
        """`VmRSS` (now) or `VmHWM` (peak) of the process."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith(which))) / 1024

    def cpu_seconds(self) -> float:
        """User and system time so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def worker(base: Path, log: Path, environment: dict[str, str]) -> Iterator[Worker]:
    """Start a worker on a volume, and end it."""
    full = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_REGION": "us-east-1",
        "MODELS_BASE_PATH": str(base),
        "HTTP_HOST": "127.0.0.1",
        "HTTP_PORT": "0",
        "LOG_LEVEL": "debug",
        **environment,
    }
    started = time.monotonic()
    with log.open("wb") as stderr:
        process = subprocess.Popen([sys.executable, "-m", "modelsync", "run"], env=full, stderr=stderr)
    try:
        yield Worker(process, log, started)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def requests(running: Worker) -> dict[str, float]:
    """How often the worker called each of S3's operations so far, by its own account."""
    port = running.wait_for("started")[0]["http_port"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    found: dict[str, float] = {}
    for operation, count in re.findall(r'modelsync_s3_requests_total\{operation="(\w+)"[^}]*\} ([\d.]+)', text):
        found[operation] = found.get(operation, 0) + float(count)
    return found
