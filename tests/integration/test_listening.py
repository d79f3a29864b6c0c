"""Where the HTTP server can be reached."""

from __future__ import annotations

import http.client
import socket

import pytest
from fastapi import FastAPI

from modelsync.web.options import HttpOptions
from modelsync.web.server import HttpServer


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_the_ipv6_wildcard_is_reached_by_both_protocols() -> None:
    server = HttpServer(HttpOptions("::", 0), FastAPI())
    server.start()
    try:
        for address in ("127.0.0.1", "::1"):
            connection = http.client.HTTPConnection(address, server.port, timeout=10)
            connection.request("GET", "/openapi.json")
            assert connection.getresponse().status == 200
            connection.close()
    finally:
        server.stop()
