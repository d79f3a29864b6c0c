"""The HTTP server's thread."""

from __future__ import annotations

import socket
import threading

import uvicorn
from fastapi import FastAPI

from modelsync.errors import ConfigurationError
from modelsync.web.options import HttpOptions

_BACKLOG = 128
_STUCK_MILLISECONDS = 60_000


class HttpServer:
    """Serves an application from a thread of its own, so that probes answer whatever the workers do."""

    def __init__(self, options: HttpOptions, api: FastAPI) -> None:
        """Bind the address.

        Raises:
            ConfigurationError: it cannot be had.
        """
        try:
            family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
            both = options.host == "::" and socket.has_dualstack_ipv6()
            self._socket = socket.create_server(
                (options.host, options.port), family=family, backlog=_BACKLOG, dualstack_ipv6=both
            )
        except (OSError, OverflowError) as error:
            raise ConfigurationError(
                f"HTTP_HOST={options.host}, HTTP_PORT={options.port} cannot be listened on: {error}"
            ) from error
        # A reader that takes nothing off the line does not keep its connection for ever.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _STUCK_MILLISECONDS)
        self.port: int = self._socket.getsockname()[1]
        self._server = uvicorn.Server(
            uvicorn.Config(
                api,
                log_config=None,
                access_log=False,
                lifespan="off",
                ws="none",
                timeout_keep_alive=5,
                timeout_graceful_shutdown=2,
                limit_concurrency=1000,
                h11_max_incomplete_event_size=16 << 10,
                server_header=False,
            )
        )
        self._thread = threading.Thread(target=self._serve, name="http", daemon=True)

    def _serve(self) -> None:
        self._server.run(sockets=[self._socket])

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self) -> None:
        """End, and wait for the thread."""
        self._server.should_exit = True
        self._thread.join(5)
        self._socket.close()
