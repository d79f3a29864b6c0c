"""The process that checks: one model after the other, whose files it asks for as it comes to them.

It talks to the worker through one socket, its standard input. A message is a length in four bytes and JSON; a file
comes as an open descriptor beside a single byte.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress

from modelsync.core.judgement import CRASH, Flaw, Judgement, Ready, Said, Unreadable, Wanted, render
from modelsync.core.names import RelPath
from modelsync.gate.confine import confine
from modelsync.gate.rules import GateRules
from modelsync.gate.source import FileSource, Source

Judge = Callable[[Mapping[RelPath, Source], GateRules], Judgement]

_LENGTH_BYTES = 4


class _Desk:
    """The one file that is open: models are read file by file."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self.file: int | None = None
        self._descriptor = -1

    def open(self, file: int) -> FileSource:
        """Ask for a file, and put the last one away."""
        self.close()
        self.file = file
        _say(self._channel, Wanted(file))
        _, [self._descriptor], _, _ = socket.recv_fds(self._channel, 1, 1)
        return FileSource(self._descriptor)

    def close(self) -> None:
        """Put the file away."""
        if self._descriptor >= 0:
            with suppress(OSError):  # nothing was written to it
                os.close(self._descriptor)
            self._descriptor = -1
        self.file = None


class _Asked:
    """Implements `Source` on a file that is asked for when it is read."""

    def __init__(self, desk: _Desk, file: int, size_bytes: int) -> None:
        self._desk = desk
        self._file = file
        self._source: FileSource | None = None
        self.size_bytes = size_bytes

    def read(self, offset: int, count: int) -> bytes:
        """At most `count` bytes from `offset`."""
        return self._opened().read(offset, count)

    def hint(self, offset: int, count: int) -> None:
        """Have the kernel read them ahead."""
        self._opened().hint(offset, count)

    def _opened(self) -> FileSource:
        if self._source is None or self._desk.file != self._file:
            self._source = self._desk.open(self._file)
        return self._source


def serve(channel: socket.socket, judge: Judge) -> None:
    """Read the rules, give up what is not needed, then judge models until the worker closes the channel."""
    rules = GateRules.from_json(_receive(channel))
    _say(channel, Ready(confine()))
    while request := _receive(channel):
        _say(channel, _judge(channel, json.loads(request), judge, rules))


def _judge(channel: socket.socket, request: list[tuple[str, int]], judge: Judge, rules: GateRules) -> Said:
    desk = _Desk(channel)
    files: dict[RelPath, Source] = {
        RelPath(path): _Asked(desk, file, size_bytes) for file, (path, size_bytes) in enumerate(request)
    }
    try:
        return judge(files, rules)
    except OSError as error:
        if desk.file is None:
            raise
        return Unreadable(desk.file, error.errno or 0)
    except Exception as error:  # noqa: BLE001 - what a check cannot get through is not published
        path = None if desk.file is None else request[desk.file][0]
        return Judgement(Flaw(CRASH, f"the check of {path or 'the model'} failed: {type(error).__name__}", path))
    finally:
        desk.close()


def _say(channel: socket.socket, said: Said) -> None:
    data = render(said)
    channel.sendall(len(data).to_bytes(_LENGTH_BYTES, "big") + data)


def _receive(channel: socket.socket) -> bytes:
    """The next message; empty when there is none any more."""
    return _exactly(channel, int.from_bytes(_exactly(channel, _LENGTH_BYTES), "big"))


def _exactly(channel: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count and (chunk := channel.recv(count - len(data))):
        data += chunk
    return bytes(data) if len(data) == count else b""
