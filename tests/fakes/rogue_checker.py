"""A checker that does what the files tell it to, as one would whose flaw a file has found.

Its first argument is a file that it adds its process id to; the second, if any, what it does before it is ready.
"""

from __future__ import annotations

import ctypes
import functools
import os
import resource
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from modelsync.core.judgement import Flaw, Judgement
from modelsync.core.names import RelPath
from modelsync.gate.checker import serve
from modelsync.gate.rules import GateRules
from modelsync.gate.source import Source

PARENT = os.getppid()
LIBC = ctypes.CDLL(None, use_errno=True)
ORDER = RelPath("order.txt")


@functools.cache
def channel() -> socket.socket:
    """To the worker; made before the process is confined."""
    return socket.socket(fileno=0)


def libc(name: str, *arguments: object) -> Callable[[], object]:
    """A call that Python has no function for."""

    def call() -> object:
        if getattr(LIBC, name)(*arguments) < 0:
            raise OSError(ctypes.get_errno(), name)
        return None

    return call


ATTEMPTS: dict[str, Callable[[], object]] = {
    "fork": os.fork,
    "execute": lambda: os.execv("/bin/true", ["true"]),
    "thread": lambda: threading.Thread(target=int).start(),
    "socket": socket.socket,
    "socket pair": socket.socketpair,
    "read a file": lambda: os.open("/etc/passwd", os.O_RDONLY),
    "read the worker's memory": lambda: os.open(f"/proc/{PARENT}/environ", os.O_RDONLY),
    "write a file": lambda: os.open("/tmp/rogue", os.O_WRONLY | os.O_CREAT),
    "write": lambda: os.write(1, b"x"),
    "signal": lambda: os.kill(PARENT, 0),
    "trace": libc("ptrace", 16, PARENT, 0, 0),
    "raise a limit": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)),
    "namespace": libc("unshare", 0x10000000),
    "prctl": libc("prctl", 22, 0, 0, 0, 0),
    "rename": lambda: Path("/tmp/rogue").rename("/tmp/rogue-2"),
    "list": lambda: os.listdir("/"),
}


def say(data: bytes) -> None:
    channel().sendall(len(data).to_bytes(4, "big") + data)


def hog() -> None:
    kept = []
    while True:
        kept.append(bytearray(1 << 20))


def spin() -> None:
    while True:
        pass


def recurse() -> None:
    recurse()


def block() -> None:
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


FAULTS: dict[str, Callable[[], object]] = {
    "exit": lambda: os._exit(3),
    "crash": lambda: ctypes.string_at(0),
    "hog": hog,
    "spin": spin,
    "block": block,
    "recurse": recurse,
    "nonsense": lambda: say(b"nonsense"),
    "no json": lambda: say(b"\xff\xfe"),
    "endless": lambda: channel().sendall(b"\xff\xff\xff\xff"),
    "another file": lambda: say(b'{"wanted": 99}'),
    "ready again": lambda: say(b'{"ready": null}'),
    "odd rule": lambda: say(b'{"refused": ["<script>", "x", null], "warnings": []}'),
    "close": lambda: channel().close(),
}


def judge(files: Mapping[RelPath, Source], rules: GateRules) -> Judgement:
    order = files[ORDER].read(0, 100).decode()
    if order in ATTEMPTS:
        try:
            done = ATTEMPTS[order]()
        except (OSError, RuntimeError, ValueError) as error:
            return Judgement(Flaw("failed", type(error).__name__, ORDER))
        return Judgement(Flaw("done", repr(done), ORDER))
    if order in FAULTS:
        FAULTS[order]()
    if order == "read ahead":
        os.posix_fadvise(files[ORDER]._opened()._descriptor, 0, 1, os.POSIX_FADV_WILLNEED)  # type: ignore[attr-defined]
        return Judgement(Flaw("done", "it may", ORDER))
    if order == "environment":
        return Judgement(Flaw("told", " ".join(sorted(os.environ)), ORDER))
    return Judgement(None, (Flaw("told", f"rules {rules.structure}", None),))


def main() -> None:
    channel()
    with Path(sys.argv[1]).open("a") as pids:
        pids.write(f"{os.getpid()}\n")
    if len(sys.argv) > 2:
        FAULTS[sys.argv[2]]()
    serve(channel(), judge)


if __name__ == "__main__":
    main()
