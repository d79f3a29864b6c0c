"""Keep-alive connections to one endpoint, shared by all threads."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterable, Mapping

from modelsync.adapters.network import explain
from modelsync.adapters.s3.endpoint import Endpoint
from modelsync.adapters.s3.http1 import Connection, Disconnected, Response, Timeouts, Tunnel
from modelsync.adapters.s3.proxy import proxy_for
from modelsync.errors import Stopped, StoreUnavailable

_IDLE_SECONDS = 10.0  # S3 closes connections that idle somewhat longer
_STALE = (Disconnected, ConnectionResetError, BrokenPipeError)


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
        proxy = proxy_for(endpoint)
        peer = proxy or endpoint
        self._address = (peer.host, peer.port or (443 if tls else 80))
        self._way = f"{endpoint.netloc} through the proxy {proxy.host}:{proxy.port}" if proxy else endpoint.netloc
        # A proxy takes plain requests by their whole address; encrypted ones go through a tunnel.
        self._base = f"http://{endpoint.netloc}" if proxy and not tls else ""
        self._to_proxy = proxy.headers if proxy and not tls else {}
        self._tunnel = Tunnel(endpoint.with_port(443), proxy.headers) if proxy and tls else None
        self._lock = threading.Lock()
        self._idle: list[tuple[float, Connection]] = []
        self._active: set[Connection] = set()
        self._retired: set[Connection] = set()
        self._closed = False

    def request(
        self, method: str, target: str, headers: Mapping[str, str], body: Iterable[memoryview] = ()
    ) -> Exchange:
        """Make a request on entering; the connection is kept if the answer was read to its end.

        A body is gone through anew for each attempt, and the headers give its length.

        Raises:
            StoreUnavailable: the host cannot be reached, or did not answer in time.
            Stopped: the pool is closed.
        """
        return Exchange(self, method, target, headers, body)

    def unreachable(self, error: OSError) -> StoreUnavailable:
        """What an error of the network means."""
        reason = explain(error) or str(error) or type(error).__name__
        return StoreUnavailable(f"S3 cannot be reached or broke off ({self._way}): {reason}")

    def send(
        self, method: str, target: str, headers: Mapping[str, str], body: Iterable[memoryview]
    ) -> tuple[Connection, Response]:
        """Send a request and read the head of its answer.

        Raises:
            OSError: the network broke off, or not in time.
            StoreUnavailable: it holds what HTTP does not allow.
            Stopped: the pool is closed.
        """
        while True:
            connection, fresh = self._acquire()
            try:
                return connection, connection.request(method, self._base + target, {**headers, **self._to_proxy}, body)
            except _STALE:
                self.release(connection, reusable=False)
                if fresh:
                    raise
                # An idle connection that the server closed meanwhile: not worth an attempt.
            except ValueError as error:
                self.release(connection, reusable=False)
                raise StoreUnavailable(f"S3 cannot be asked: {error}") from error
            except BaseException:
                self.release(connection, reusable=False)
                raise

    def _acquire(self) -> tuple[Connection, bool]:
        with self._lock:
            now = time.monotonic()
            while self._idle:
                since, connection = self._idle.pop()
                if now - since < _IDLE_SECONDS and connection.quiet:
                    return self._watched(connection), False
                connection.close()
        connection = Connection(self._address, self._timeouts)
        try:
            if self._tls is not None:
                connection.encrypt(self._tls, self._endpoint.host, self._tunnel)
            with self._lock:
                return self._watched(connection), True
        except BaseException:
            connection.close()
            raise

    def _watched(self, connection: Connection) -> Connection:
        if self._closed:
            connection.close()
            raise Stopped("shutting down")
        self._active.add(connection)
        return connection

    def release(self, connection: Connection, *, reusable: bool) -> None:
        """Keep a connection for the next request if that can be, else let go of it."""
        with self._lock:
            self._active.discard(connection)
            reusable = reusable and connection not in self._retired and not self._closed
            self._retired.discard(connection)
            if reusable:
                self._idle.append((time.monotonic(), connection))
                return
        connection.close()

    def renew(self) -> None:
        """Use none of the connections there are for another request."""
        with self._lock:
            idle, self._idle = self._idle, []
            self._retired |= self._active
        for _, connection in idle:
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
            for connection in self._active:
                connection.break_off()


class Exchange:
    """A request and its answer, as a context."""

    __slots__ = ("_connection", "_connections", "_request", "_response")

    def __init__(
        self,
        connections: Connections,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: Iterable[memoryview],
    ) -> None:
        self._connections = connections
        self._request = method, target, headers, body

    def __enter__(self) -> Response:
        """Send the request; the answer's head is there."""
        try:
            self._connection, self._response = self._connections.send(*self._request)
        except OSError as error:
            raise self._connections.unreachable(error) from error
        return self._response

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        """Give the connection back."""
        self._connections.release(self._connection, reusable=error is None and self._response.reusable)
        if isinstance(error, OSError):
            raise self._connections.unreachable(error) from error
