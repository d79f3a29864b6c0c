"""Commands of the operator's, run without a shell, within bounds, and without our secrets."""

from __future__ import annotations

import json
import os
import re
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from modelsync.adapters.network import one_line
from modelsync.ports.telling import Attend

_OUTPUT_BYTES = 2000
_READ_BYTES = 64 << 10
_TICK_SECONDS = 0.2
_HASTY_SECONDS = 0.3  # from SIGTERM to SIGKILL when we have to end ourselves
_OURS = re.compile(r"AWS_.*|SQS_.*_QUEUE_URL|NOTIFY_.*|PUBLISH_HOOK|API_TOKEN")
_USER = re.compile(r"//[^/\s@]*@")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended.

    Attributes:
        outcome: `failed` has an exit code but 0.
        code: its exit code; negative: the signal that ended it; None: it did not end by itself.
        seconds: how long it ran.
        output: the end of what it wrote, on one line.
    """

    outcome: Literal["ok", "failed", "timeout", "not_started"]
    code: int | None
    seconds: float
    output: str


@dataclass(frozen=True)
class CommandOptions:
    """A command.

    Attributes:
        words: the program and its arguments.
        timeout_seconds: it is ended after so long.
        grace_seconds: from SIGTERM to SIGKILL.
    """

    words: Sequence[str]
    timeout_seconds: float = 60.0
    grace_seconds: float = 5.0


def run(options: CommandOptions, variables: Mapping[str, str], document: Any, attend: Attend) -> Ended:
    """Run a command to its end, in a process group of its own that does not outlive a time-out.

    Args:
        options: the command.
        variables: added to its environment.
        document: JSON for its standard input.
        attend: called several times a second; what it raises ends the command.
    """
    start = time.monotonic()
    stdin = os.memfd_create("document", os.MFD_CLOEXEC)
    try:
        os.write(stdin, json.dumps(document).encode())
        os.lseek(stdin, 0, os.SEEK_SET)
        process = subprocess.Popen(  # noqa: S603 - the operator's own command
            list(options.words),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment(os.environ) | {name: value.replace("\0", "") for name, value in variables.items()},
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        return Ended("not_started", None, time.monotonic() - start, one_line(error))
    finally:
        os.close(stdin)
    tail, grace_seconds = bytearray(), _HASTY_SECONDS
    try:
        in_time = _attend(process, tail, start + options.timeout_seconds, attend)
        grace_seconds = options.grace_seconds
    finally:
        if process.poll() is None:
            _end(process, grace_seconds)
        if process.stdout is not None:
            process.stdout.close()
    seconds, output = time.monotonic() - start, _readable(tail)
    if not in_time:
        return Ended("timeout", None, seconds, output)
    return Ended("failed" if process.returncode else "ok", process.returncode, seconds, output)


def environment(ours: Mapping[str, str]) -> dict[str, str]:
    """What of our environment a command may see: no credentials, no tokens, no address with a password in it."""
    return {name: value for name, value in ours.items() if not _OURS.fullmatch(name) and not _USER.search(value)}


def _attend(process: subprocess.Popen[bytes], tail: bytearray, deadline: float, attend: Attend) -> bool:
    """Read what the command writes until it ends; return whether it did so in time.

    What it left running may hold its output open: the end of the command is what counts.
    """
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    os.set_blocking(process.stdout.fileno(), False)
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            attend()
            ended = process.poll() is not None
            if selector.get_map():
                if selector.select(0 if ended else _TICK_SECONDS) and not _take(process.stdout.fileno(), tail):
                    selector.unregister(process.stdout)
            elif not ended:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_TICK_SECONDS)
            if ended:
                return True
            if time.monotonic() > deadline:
                return False


def _take(descriptor: int, tail: bytearray) -> bool:
    """Read once, and keep the end of all that was read; return whether there may be more."""
    data = os.read(descriptor, _READ_BYTES)
    tail += data
    del tail[:-_OUTPUT_BYTES]
    return bool(data)


def _end(process: subprocess.Popen[bytes], grace_seconds: float) -> None:
    """End a command and what it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(grace_seconds)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _readable(tail: bytearray) -> str:
    text = tail.decode(errors="replace")
    return "".join(character if character.isprintable() else " " for character in text).strip()
