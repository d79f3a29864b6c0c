"""An API behind the real server, and requests to it."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import FastAPI

from modelsync.web.options import HttpOptions
from modelsync.web.server import HttpServer


@contextmanager
def serving(api: FastAPI) -> Iterator[int]:
    """Serve it on loopback; the port."""
    server = HttpServer(HttpOptions("127.0.0.1", 0), api)
    server.start()
    yield server.port
    server.stop()


def ask(port: int, path: str, method: str = "GET", **headers: str) -> tuple[int, http.client.HTTPMessage, str]:
    """Make a request; the answer's status, headers and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, answer.headers, body
