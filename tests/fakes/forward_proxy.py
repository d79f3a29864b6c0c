"""A forward proxy, as a company has one: absolute addresses for http, CONNECT for https."""

from __future__ import annotations

import base64
import contextlib
import io
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Asked:
    """`method` and `target` as the proxy saw them, and what the client said of itself."""

    method: str
    target: str
    authorization: str | None


class ForwardProxy:
    """Brings `hosts` (name or name:port) to ports on loopback, and knows no others. `user`: `name:password`."""

    def __init__(self, hosts: Mapping[str, int], *, user: str | None = None) -> None:
        self._hosts = hosts
        self._wanted = f"Basic {base64.b64encode(user.encode()).decode()}" if user is not None else None
        self.asked: list[Asked] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError), client.makefile("rb") as lines:
            # A kept connection carries several plain requests, each by its whole address.
            while (head := _head(lines)) and self._pass_on(client, lines, *head):
                pass

    def _pass_on(
        self, client: socket.socket, lines: io.BufferedReader, method: str, target: str, headers: Mapping[str, str]
    ) -> bool:
        """Do what is asked; return whether the connection is kept."""
        self.asked.append(Asked(method, target, headers.get("proxy-authorization")))
        port = self._port(method, target)
        if self._wanted is not None and headers.get("proxy-authorization") != self._wanted:
            _refuse(client, "407 Proxy Authentication Required", "Proxy-Authenticate: Basic realm=x")
        elif port is None:
            _refuse(client, "403 Forbidden")
        elif method == "CONNECT":
            _tunnel(client, port)
        else:
            _relay(client, lines, port, method, target, headers)
            return True
        return False

    def _port(self, method: str, target: str) -> int | None:
        host = target.removesuffix(":443") if method == "CONNECT" else urlsplit(target).netloc
        return self._hosts.get(host)


def _head(lines: io.BufferedReader) -> tuple[str, str, dict[str, str]] | None:
    first = lines.readline().decode("latin-1").split()
    if len(first) != 3:
        return None
    headers = {}
    while line := lines.readline().decode("latin-1").strip():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return first[0], first[1], headers


def _refuse(client: socket.socket, status: str, *headers: str) -> None:
    lines = [f"HTTP/1.1 {status}", "Content-Length: 0", "Connection: close", *headers]
    client.sendall("\r\n".join([*lines, "", ""]).encode())


def _tunnel(client: socket.socket, port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as server:
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        back = threading.Thread(target=_pass, args=(server, client), daemon=True)
        back.start()
        _pass(client, server)
        back.join()


def _pass(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def _relay(
    client: socket.socket, lines: io.BufferedReader, port: int, method: str, target: str, headers: Mapping[str, str]
) -> None:
    parts = urlsplit(target)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    passed = "".join(f"{name}: {value}\r\n" for name, value in headers.items() if not name.startswith("proxy-"))
    body = lines.read(int(headers.get("content-length", 0)))
    with socket.create_connection(("127.0.0.1", port)) as server, server.makefile("rb") as answer:
        server.sendall(f"{method} {path} HTTP/1.1\r\n{passed}\r\n".encode("latin-1") + body)
        answer_head = b""
        length = 0
        while (line := answer.readline()) not in {b"\r\n", b""}:
            answer_head += line
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        client.sendall(answer_head + b"\r\n" + (b"" if method == "HEAD" else answer.read(length)))
