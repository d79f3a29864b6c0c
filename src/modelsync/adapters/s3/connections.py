"""Keep-alive connections to one host, shared by all threads.

`http.client` because it reads bodies straight into a buffer that is made once: the figures are
in docs/adr/0004.
"""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from modelsync.adapters.s3.endpoint import Endpoint
from modelsync.errors import ConfigurationError, Stopped, StoreUnavailable

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

    def __init__(self, endpoint: Endpoint, timeouts: Timeouts) -> None:
        self._endpoint = endpoint
        self._timeouts = timeouts
        self._lock = threading.Lock()
        self._idle: list[tuple[float, http.client.HTTPConnection]] = []
        # The socket is kept beside its connection, which lets go of it once the server says that
        # this answer is the last.
        self._active: dict[http.client.HTTPConnection, socket.socket | None] = {}
        self._closed = False
        self._tls = _tls_context() if endpoint.scheme == "https" else None
        self._proxy = _proxy_for(endpoint)

    @contextmanager
    def request(
        self, method: str, target: str, headers: Mapping[str, str], body: Iterable[memoryview] | None = None
    ) -> Iterator[Answer]:
        """Send a request; the connection is kept if the answer was read to its end.

        A body is gone through anew for each attempt, and the headers give its length.

        Raises:
            StoreUnavailable: the host cannot be reached, or did not answer in time.
            Stopped: the pool is closed.
        """
        try:
            with _network_errors():
                connection, response = self._send(method, target, headers, body)
        except ValueError:
            # Its message would show headers, the signature among them.
            raise StoreUnavailable(
                "S3 cannot be asked: the endpoint, a key or a header holds what HTTP does not allow"
            ) from None
        sock = self._active.get(connection)
        try:
            with _network_errors():
                yield Answer(response, lambda: _break_off(sock, socket.SHUT_RD))
        except BaseException:
            self._release(connection, reusable=False)
            raise
        self._release(connection, reusable=response.isclosed() and not response.will_close)

    def _send(
        self, method: str, target: str, headers: Mapping[str, str], body: Iterable[memoryview] | None
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        while True:
            connection, fresh = self._acquire()
            try:
                if fresh:
                    self._connect(connection)
                    self._watch(connection)
                with suppress(BrokenPipeError, ConnectionResetError):
                    # The server may close before it has the whole body: its answer says why.
                    connection.request(method, self._through_proxy(target), body, dict(headers))
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

    def _through_proxy(self, target: str) -> str:
        if self._proxy is None or self._tls is not None:
            return target
        return f"http://{self._endpoint.netloc}{target}"

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
        host, port = self._proxy or (self._endpoint.host, self._endpoint.port)
        if self._tls is None:
            connection = http.client.HTTPConnection(host, port, timeout=self._timeouts.read)
        else:
            connection = http.client.HTTPSConnection(host, port, timeout=self._timeouts.read, context=self._tls)
            if self._proxy is not None:
                connection.set_tunnel(self._endpoint.host, self._endpoint.port)
        return connection

    def _release(self, connection: http.client.HTTPConnection, *, reusable: bool) -> None:
        with self._lock:
            self._active.pop(connection, None)
            if reusable and not self._closed:
                self._idle.append((time.monotonic(), connection))
                return
        connection.close()

    def close(self) -> None:
        """Break off all requests, and take no more."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for _, connection in idle:
            connection.close()
        self.break_off()

    def break_off(self) -> None:
        """Break off all requests: whoever sends or reads gets an error at once."""
        with self._lock:
            active = list(self._active.values())
        for sock in active:
            _break_off(sock, socket.SHUT_RDWR)


def _break_off(sock: socket.socket | None, how: int) -> None:
    # Closed for reading only, what has arrived can still be read; closed both ways, the server's next
    # packet would be answered by a reset, which throws that away.
    if sock is not None:
        with suppress(OSError):
            sock.shutdown(how)


@contextmanager
def _network_errors() -> Iterator[None]:
    try:
        yield
    except (OSError, http.client.HTTPException) as error:
        reason = str(error) or type(error).__name__
        raise StoreUnavailable(f"S3 cannot be reached or broke off: {reason}") from error


def _tls_context() -> ssl.SSLContext:
    # SSL_CERT_FILE is read by OpenSSL itself.
    bundle = os.environ.get("AWS_CA_BUNDLE")
    try:
        return ssl.create_default_context(cafile=bundle)
    except OSError as error:
        raise ConfigurationError(f"AWS_CA_BUNDLE={bundle} cannot be read: {error.strerror or error}") from error


def _proxy_for(endpoint: Endpoint) -> tuple[str, int] | None:
    proxy = getproxies().get(endpoint.scheme)
    if not proxy or proxy_bypass(endpoint.netloc):
        return None
    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    try:
        port = parts.port or 80
    except ValueError as error:
        raise ConfigurationError(f"{endpoint.scheme.upper()}_PROXY is no address: write host:port") from error
    return (parts.hostname, port) if parts.hostname else None
