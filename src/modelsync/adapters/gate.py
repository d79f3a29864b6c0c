"""The gate: processes that check models, kept warm, replaced when they fail or have grown."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from modelsync.adapters.checker import COMMAND, KILLED, STALLED, Checker, CheckerFault
from modelsync.core.facts import CheckerFailed, CheckerReady
from modelsync.core.judgement import Flaw, Judgement
from modelsync.core.limits import GateLimits
from modelsync.core.names import RelPath
from modelsync.errors import GateFailed
from modelsync.ports import Observer
from modelsync.ports.telling import Attend

_IDLE = 2
_GROWN_BYTES = 64 << 20


@dataclass(frozen=True)
class GateOptions:
    """What is judged, and within which bounds.

    Attributes:
        rules: for the process, which alone understands them.
        digest: names them.
        command: that starts the process.
        least_seconds, bytes_per_second: a model has so long, and so much more for its size.
        checks: a process is replaced after so many.
        limits: those of the rules that can be held to before the files are there.
    """

    rules: bytes
    digest: str
    command: Sequence[str] = COMMAND
    least_seconds: float = 30.0
    bytes_per_second: int = 16 << 20
    checks: int = 500
    limits: GateLimits = field(default_factory=GateLimits)


class CheckerGate:
    """Implements `ports.gate.Gate`."""

    def __init__(self, options: GateOptions, observe: Observer) -> None:
        self._options = options
        self._observe = observe
        self._lock = threading.Lock()
        self._idle: list[Checker] = []
        self._closed = False

    @property
    def rules(self) -> str:
        """Names what it goes by."""
        return self._options.digest

    @property
    def limits(self) -> GateLimits:
        """How large a model may be."""
        return self._options.limits

    def warm(self) -> None:
        """Start a process if none waits, so that the next model need not; where that fails, that model tells."""
        with self._lock:
            if self._idle:
                return
        with suppress(GateFailed):
            self._put_away(self._start())

    def try_out(self) -> str | None:
        """Start a process and end it; return what it could not be kept from, in words, or None.

        Raises:
            GateFailed: it does not start.
        """
        checker = self._start()
        try:
            return checker.wait_ready(lambda: None).loose
        finally:
            checker.end()

    def close(self) -> None:
        """End the processes that wait; those at work end with their work."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for checker in idle:
            checker.end()

    def judge(self, directory: str, files: Mapping[RelPath, int], attend: Attend) -> Judgement:
        """Judge a model.

        Where a process fails, a new one tries once more. What fails twice is taken for the content's doing and refused,
        unless it is the machine's: no model is refused because memory is short or the volume does not answer.
        """
        fault = self._attempt(lambda: self._take(attend), directory, files, attend)
        if isinstance(fault, Judgement):
            return fault
        fault = self._attempt(lambda: self._readied(self._start(), attend), directory, files, attend)
        if isinstance(fault, Judgement):
            return fault
        what = f"the check of {fault.path or 'the model'} came to no end twice: it {fault.what}"
        if fault.rule in {KILLED, STALLED}:
            raise GateFailed(f"{what}; look at the machine's memory and at the volume")
        advice = "if the machine is to blame, check it again with modelsync sync --recheck"
        return Judgement(Flaw(fault.rule, f"{what}; {advice}", fault.path))

    def _attempt(
        self, take: Callable[[], Checker], directory: str, files: Mapping[RelPath, int], attend: Attend
    ) -> Judgement | CheckerFault:
        options = self._options
        seconds = options.least_seconds + sum(files.values()) / options.bytes_per_second
        checker = take()
        try:
            judgement = checker.judge(directory, files, seconds, attend)
        except CheckerFault as fault:
            checker.end()
            self._observe(CheckerFailed(fault.rule, fault.what, fault.path))
            return fault
        except BaseException:
            checker.end()
            raise
        if checker.checks >= options.checks or checker.memory_bytes > _GROWN_BYTES:
            checker.end()
            self.warm()
        else:
            self._put_away(checker)
        return judgement

    def _take(self, attend: Attend) -> Checker:
        """A process that is ready: one that waits, if there is one."""
        while True:
            with self._lock:
                checker = self._idle.pop() if self._idle else None
            if checker is None:
                checker = self._start()
            if checker.ready:
                if checker.alive:
                    return checker
                checker.end()
            else:
                return self._readied(checker, attend)

    def _start(self) -> Checker:
        return Checker(self._options.rules, self._options.command)

    def _readied(self, checker: Checker, attend: Attend) -> Checker:
        try:
            self._observe(CheckerReady(checker.wait_ready(attend).loose))
        except BaseException:
            checker.end()
            raise
        return checker

    def _put_away(self, checker: Checker) -> None:
        with self._lock:
            keep = not self._closed and len(self._idle) < _IDLE
            if keep:
                self._idle.append(checker)
        if not keep:
            checker.end()
