"""Receivers of webhooks, good and bad ones, on loopback."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from fakes.loopback import Answer, LoopbackServer, Request


class WebhookReceiver(LoopbackServer):
    """Gives one answer after the other, the last one for ever. `hold` keeps it from answering."""

    def __init__(self, *answers: Answer, tls: ssl.SSLContext | None = None) -> None:
        self._answers = list(answers or (Answer(204),))
        self.go = threading.Event()
        self.go.set()
        self.asked = threading.Event()
        super().__init__(tls)

    def hold(self) -> None:
        """Answer nobody until `go` is set."""
        self.go.clear()

    def answer(self, request: Request) -> Answer:
        self.asked.set()
        self.go.wait(30)
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.go.set()
        super().__exit__(kind, error, trace)


class RawServer:
    """Accepts connections and does with each whatever it is told."""

    def __init__(self, serve: Callable[[socket.socket, threading.Event], Any]) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"
        self._serve = serve
        self._end = threading.Event()
        self.connections = 0
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            if self._end.is_set():
                connection.close()
                return
            self.connections += 1
            thread = threading.Thread(target=self._one, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _one(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            self._serve(connection, self._end)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        with contextlib.suppress(OSError), socket.create_connection(self._listener.getsockname(), 1):
            pass  # wakes the accept
        self._listener.close()
        for thread in self._threads:
            thread.join()


def drip(connection: socket.socket, end: threading.Event) -> None:
    """Answer one byte of a header at a time, without end."""
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while not end.wait(0.02):
        connection.sendall(b"x")


def hang(connection: socket.socket, end: threading.Event) -> None:
    """Take the request and say nothing."""
    connection.recv(65536)
    end.wait(30)


def flood(connection: socket.socket, end: threading.Event) -> None:
    """Answer with a body that never ends."""
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")
    while not end.is_set():
        connection.sendall(b"secret of the receiver" * 1000)


def babble(connection: socket.socket, _end: threading.Event) -> None:
    """Answer something that is no HTTP."""
    connection.recv(65536)
    connection.sendall(b"\x1b[31mnot http\r\n\r\n")
