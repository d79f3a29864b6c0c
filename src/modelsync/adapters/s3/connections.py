"""Keep-alive connections to one host, shared by all threads.

`http.client` because it reads bodies straight into a buffer that is made once: the figures are
in docs/adr/0004.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from modelsync.adapters.network import explain
from modelsync.adapters.s3.endpoint import Endpoint
from modelsync.adapters.s3.proxy import proxy_for
from modelsync.errors import Stopped, StoreUnavailable

_IDLE_SECONDS = 10.0  # S3 closes connections that idle somewhat longer
_STALE = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError, http.client.BadStatusLine)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Bounds in seconds.

    Attributes:
        connect: for a connection.
        read: without a byte.
        crawl: for one read of up to 1 MiB; slower answers are broken off and asked for again.
    """

    connect: float = 5.0
    read: float = 20.0
    crawl: float = 30.0


@dataclass(frozen=True)
class Answer:
    """An answer under way. `break_off`, from any thread, makes its reader see an end at once."""

    response: http.client.HTTPResponse
    break_off: Callable[[], None]


class Connections:
    """A pool of connections to an endpoint. Idle ones are kept for the next request."""

    def __init__(self, endpoint: Endpoint, timeouts: Timeouts, tls: ssl.SSLContext | None) -> None:
        """Nothing is connected yet.

        Args:
            endpoint: where to.
            timeouts: bounds.
            tls: what an https endpoint is trusted by; None for http.

        Raises:
            ConfigurationError: a variable that names a proxy does not.
        """
        self._endpoint = endpoint
        self._timeouts = timeouts
        self._tls = tls
        self._proxy = proxy_for(endpoint)
        through = f" through the proxy {self._proxy.host}:{self._proxy.port}" if self._proxy else ""
        self._way = f"{endpoint.netloc}{through}"
        # A proxy takes plain requests by their whole address; encrypted ones go through a tunnel.
        plainly = self._proxy if tls is None else None
        self._base = f"http://{endpoint.netloc}" if plainly else ""
        self._to_proxy = plainly.headers if plainly else {}
        self._lock = threading.Lock()
        self._idle: list[tuple[float, http.client.HTTPConnection]] = []
        # The socket is kept beside its connection, which lets go of it once the server says that
        # this answer is the last.
        self._active: dict[http.client.HTTPConnection, socket.socket | None] = {}
        self._closed = False

    @contextmanager
    def request(self, method: str, target: str, headers: Mapping[str, str]) -> Iterator[Answer]:
        """Send a request; the connection is kept if the body was read to its end.

        Raises:
            StoreUnavailable: the host cannot be reached, or did not answer in time.
            Stopped: the pool is closed.
        """
        try:
            with self._network_errors():
                connection, response = self._send(method, target, headers)
        except ValueError:
            # Its message would show headers, the signature among them.
            raise StoreUnavailable(
                "S3 cannot be asked: the endpoint, a key or a header holds what HTTP does not allow"
            ) from None
        sock = self._active.get(connection)
        try:
            with self._network_errors():
                yield Answer(response, lambda: _break_off(sock, socket.SHUT_RD))
        except BaseException:
            self._release(connection, reusable=False)
            raise
        self._release(connection, reusable=response.isclosed() and not response.will_close)

    def _send(
        self, method: str, target: str, headers: Mapping[str, str]
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        while True:
            connection, fresh = self._acquire()
            try:
                if fresh:
                    self._connect(connection)
                connection.request(method, self._base + target, headers={**headers, **self._to_proxy})
                self._watch(connection)
                return connection, connection.getresponse()
            except _STALE:
                self._release(connection, reusable=False)
                if fresh:
                    raise
                # An idle connection that the server closed meanwhile: not worth an attempt.
            except BaseException:
                self._release(connection, reusable=False)
                raise

    def _connect(self, connection: http.client.HTTPConnection) -> None:
        connection.timeout = self._timeouts.connect
        connection.connect()
        connection.sock.settimeout(self._timeouts.read)

    def _watch(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            self._active[connection] = connection.sock
            if self._closed:
                raise Stopped("shutting down")

    def _acquire(self) -> tuple[http.client.HTTPConnection, bool]:
        with self._lock:
            if self._closed:
                raise Stopped("shutting down")
            now = time.monotonic()
            while self._idle:
                since, connection = self._idle.pop()
                if now - since < _IDLE_SECONDS:
                    self._active[connection] = connection.sock
                    return connection, False
                connection.close()
            connection = self._connection()
            self._active[connection] = None
        return connection, True

    def _connection(self) -> http.client.HTTPConnection:
        peer = self._proxy or self._endpoint
        if self._tls is None:
            return http.client.HTTPConnection(peer.host, peer.port, timeout=self._timeouts.read)
        connection = http.client.HTTPSConnection(peer.host, peer.port, timeout=self._timeouts.read, context=self._tls)
        if self._proxy is not None:
            connection.set_tunnel(self._endpoint.host, self._endpoint.port or 443, dict(self._proxy.headers))
        return connection

    def _release(self, connection: http.client.HTTPConnection, *, reusable: bool) -> None:
        with self._lock:
            self._active.pop(connection, None)
            if reusable and not self._closed:
                self._idle.append((time.monotonic(), connection))
                return
        connection.close()

    @contextmanager
    def _network_errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, http.client.HTTPException) as error:
            reason = explain(error) or str(error) or type(error).__name__
            raise StoreUnavailable(f"S3 cannot be reached or broke off ({self._way}): {reason}") from error

    def close(self) -> None:
        """Break off all requests: their readers get an error at once."""
        with self._lock:
            self._closed = True
            active = list(self._active.values())
            idle, self._idle = self._idle, []
        for _, connection in idle:
            connection.close()
        for sock in active:
            _break_off(sock, socket.SHUT_RDWR)


def _break_off(sock: socket.socket | None, how: int) -> None:
    # Closed for reading only, what has arrived can still be read; closed both ways, the server's next
    # packet would be answered by a reset, which throws that away. The plain socket's own call: a TLS
    # socket's would stop to decrypt, and have the reader take what comes encrypted for the object.
    if sock is not None:
        with suppress(OSError):
            socket.socket.shutdown(sock, how)
