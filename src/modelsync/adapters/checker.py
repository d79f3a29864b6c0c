"""One process that checks models, as the worker sees it: `gate/checker.py` is the other side.

What it says is foreign input, like the files that it reads; it gets nothing from us but those.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from json import dumps
from pathlib import Path

from modelsync.adapters.network import one_line
from modelsync.adapters.volume.files import meaning
from modelsync.core.judgement import CRASH, TIMEOUT, Judgement, Ready, Said, Unreadable, Wanted, parse
from modelsync.core.names import RelPath
from modelsync.errors import GateFailed, VolumeFailed
from modelsync.ports.telling import Attend

COMMAND = (sys.executable, "-I", "-m", "modelsync.gate")

KILLED, STALLED = "gate-killed", "gate-stalled"
"""What no content does: the machine ended a process (out of memory, as a rule), or it waited for its bytes in vain."""

_LENGTH_BYTES = 4
_LONGEST_BYTES = 1 << 20
_SAID_BYTES = 2000
_INSTALL = "install modelsync with its dependencies into this Python"
_TICK_SECONDS = 0.2
_START_SECONDS = 30.0
_END_SECONDS = 5.0
_BUSY_SHARE = 0.1  # of its time on a processor: less, and it did not compute but wait
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")


class CheckerFault(Exception):
    """A process did not come to a judgement.

    Attributes:
        rule: that refuses what it was at, if it is so again; or KILLED or STALLED, which refuse nothing.
        what: it did, in words.
        path: the file that it had open.
    """

    def __init__(self, rule: str, what: str, path: str | None = None) -> None:
        super().__init__(what)
        self.rule = rule
        self.what = what
        self.path = path


@dataclass(frozen=True, slots=True)
class _Model:
    """What is being judged, until when (monotonic seconds), and what that must have cost a processor to be work."""

    directory: str
    paths: Sequence[RelPath]
    sizes: Mapping[RelPath, int]
    deadline: float
    busy_seconds: float
    attend: Attend


class Checker:
    """A process. For one thread at a time."""

    def __init__(self, rules: bytes, command: Sequence[str] = COMMAND) -> None:
        """Start it, and do not wait until it is ready.

        Raises:
            GateFailed: it cannot be started.
        """
        self.checks = 0
        self.ready = False
        self._path: str | None = None
        self._said = bytearray()
        try:
            self._channel, theirs = socket.socketpair()
        except OSError as error:
            raise _not_started(error) from error
        # What goes wrong before it is confined is told there; afterwards it cannot write.
        self._errors = os.memfd_create("errors", os.MFD_CLOEXEC)
        with theirs:
            try:
                self._process = subprocess.Popen(  # noqa: S603 - our own interpreter
                    list(command),
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=self._errors,
                    env={},
                    cwd="/",
                    start_new_session=True,
                )
            except OSError as error:
                self._channel.close()
                os.close(self._errors)
                raise _not_started(error) from error
        with suppress(OSError):  # it has died already: told when it is used
            self._send(rules)

    def wait_ready(self, attend: Attend) -> Ready:
        """Wait until it has given up what it does not need.

        Raises:
            GateFailed: it does not come to that, which is no model's fault.
        """
        model = _Model("", (), {}, time.monotonic() + _START_SECONDS, 0.0, attend)
        try:
            said = self._hear(model)
        except CheckerFault as fault:
            what = f"the process that checks models does not start: it {fault.what}{self._why()}"
            raise GateFailed(what) from fault
        if not isinstance(said, Ready):
            raise GateFailed("the process that checks models does not start as it should: is it another version?")
        self.ready = True
        return said

    def _why(self) -> str:
        """The end of what it wrote before it was confined, for a sentence."""
        said = os.pread(self._errors, _SAID_BYTES, max(os.fstat(self._errors).st_size - _SAID_BYTES, 0))
        last = one_line(said.decode(errors="replace").strip().rpartition("\n")[2])
        advice = f"; it is started without PYTHONPATH and user site: {_INSTALL}" if "No module named" in last else ""
        return f": {last}{advice}" if last else ""

    def judge(self, directory: str, files: Mapping[RelPath, int], seconds: float, attend: Attend) -> Judgement:
        """Have a model judged; after anything but a judgement the process must be ended.

        Raises:
            CheckerFault: it did not come to a judgement.
            VolumeFailed: a file cannot be read.
        """
        self.checks += 1
        self._path = None
        used_seconds, _ = self._usage()
        busy_seconds = used_seconds + seconds * _BUSY_SHARE
        model = _Model(directory, sorted(files), files, time.monotonic() + seconds, busy_seconds, attend)
        with suppress(OSError):  # it has died: told below
            # The clock is the bound; this one holds too if we are gone.
            resource.prlimit(
                self._process.pid, resource.RLIMIT_CPU, (int(used_seconds + seconds) + 2, resource.RLIM_INFINITY)
            )
        try:
            self._send(dumps([(path, files[path]) for path in model.paths]).encode())
            while True:
                match self._hear(model):
                    case Judgement() as judgement:
                        return judgement
                    case Wanted(file):
                        self._hand_over(model, file)
                    case Unreadable(file, code):
                        raise _unreadable(model.paths[file], OSError(code, os.strerror(code)))
                    case _:
                        raise self._fault(CRASH, "answered what it was not asked")
        except TimeoutError as error:
            raise self._fault(TIMEOUT, "does not listen") from error
        except OSError as error:
            raise self._ended() from error

    def _hand_over(self, model: _Model, file: int) -> None:
        self._path = path = model.paths[file]
        try:
            descriptor = os.open(f"{model.directory}/{path}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise _unreadable(path, error) from error
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_size != model.sizes[path]:
                raise VolumeFailed(f"cannot check {path}: it was changed meanwhile")
            socket.send_fds(self._channel, [b"\0"], [descriptor])
        finally:
            os.close(descriptor)

    def _hear(self, model: _Model) -> Said:
        """Wait for what it says next."""
        while (said := self._whole()) is None:
            model.attend()
            left_seconds = model.deadline - time.monotonic()
            if left_seconds <= 0:
                busy = self._usage()[0] >= model.busy_seconds
                raise self._fault(TIMEOUT if busy else STALLED, f"did not end in time, {'busy' if busy else 'waiting'}")
            self._channel.settimeout(min(left_seconds, _TICK_SECONDS))
            try:
                chunk = self._channel.recv(64 << 10)
            except TimeoutError:
                continue
            except ConnectionError:  # it ended with words of ours unread
                chunk = b""
            if not chunk:
                raise self._ended()
            self._said += chunk
        parsed = parse(said, model.paths)
        if parsed is None:
            raise self._fault(CRASH, "said what makes no sense")
        return parsed

    def _whole(self) -> bytes | None:
        """The next message, once all of it is there."""
        if len(self._said) < _LENGTH_BYTES:
            return None
        end = _LENGTH_BYTES + int.from_bytes(self._said[:_LENGTH_BYTES], "big")
        if end > _LONGEST_BYTES:
            raise self._fault(CRASH, "said what makes no sense")
        if len(self._said) < end:
            return None
        said = bytes(self._said[_LENGTH_BYTES:end])
        del self._said[:end]
        return said

    def _send(self, data: bytes) -> None:
        self._channel.settimeout(_START_SECONDS)
        self._channel.sendall(len(data).to_bytes(_LENGTH_BYTES, "big") + data)

    def _ended(self) -> CheckerFault:
        """Say how the process ended."""
        try:
            code = self._process.wait(_TICK_SECONDS)
        except subprocess.TimeoutExpired:
            return self._fault(CRASH, "closed its channel")
        if code == -signal.SIGKILL:
            return self._fault(KILLED, "was killed")
        return self._fault(CRASH, f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}")

    def _fault(self, rule: str, what: str) -> CheckerFault:
        return CheckerFault(rule, what, self._path)

    @property
    def memory_bytes(self) -> int:
        """What it takes of the machine's memory."""
        return self._usage()[1]

    def _usage(self) -> tuple[float, int]:
        """Seconds of CPU used so far, and bytes of memory; nothing if it has ended."""
        try:
            text = Path(f"/proc/{self._process.pid}/stat").read_text(errors="replace")
        except OSError:
            return 0.0, 0
        fields = text.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS, int(fields[21]) * _PAGE_BYTES

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def end(self) -> None:
        """End it at once; one that hangs in the kernel, on a dead file server, is left behind."""
        self._channel.close()
        if self._errors >= 0:
            os.close(self._errors)
            self._errors = -1
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_SECONDS)


def _not_started(error: OSError) -> GateFailed:
    return GateFailed(f"the process that checks models cannot be started: {error.strerror}")


def _unreadable(path: str, error: OSError) -> VolumeFailed:
    reason, advice = meaning(error)
    return VolumeFailed(f"cannot check {path}: {advice}", reason)
