"""HTTP/1.1 as far as S3 speaks it: one request at a time, bodies read into the caller's buffer.

llhttp, by httptools, reads the heads. Why not `http.client`: docs/adr/0007.
"""

from __future__ import annotations

import re
import select
import socket
import ssl
import struct
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import httptools

_SCRATCH_BYTES = 32 << 10  # of an answer that is read at once; a longer head is refused
_READ_BYTES = 256 << 10
_FORBIDDEN = re.compile(r"[^\t\x20-\x7e\x80-\xff]")


class ProtocolError(OSError):
    """What came back is no HTTP."""


class Disconnected(ProtocolError):
    """The server closed the connection instead of an answer."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Bounds in seconds.

    Attributes:
        connect: for a connection.
        read: without a byte.
        crawl: for an answer's head, for a short body, and for each 1 MiB of a long one; slower answers are
            broken off, and long ones asked for again from where they were.
        page: for a page of a listing.
    """

    connect: float = 5.0
    read: float = 20.0
    crawl: float = 30.0
    page: float = 60.0


@dataclass(frozen=True, slots=True)
class Tunnel:
    """Where a proxy is to connect to. `headers` say who asks, and are a secret."""

    netloc: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class Connection:
    """A connection to one server."""

    def __init__(self, address: tuple[str, int], timeouts: Timeouts) -> None:
        """Connect.

        Raises:
            OSError: it cannot be reached.
        """
        self._sock: socket.socket = socket.create_connection(address, timeouts.connect)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._encrypted = False
        self.scratch = memoryview(bytearray(_SCRATCH_BYTES))
        self.timeouts = timeouts
        self._poll = select.poll()
        self._poll.register(self._sock, select.POLLIN)
        # The kernel keeps the time, not Python: a blocking socket fills a large buffer in one call.
        self._sock.setblocking(True)
        interval = struct.pack("ll", int(timeouts.read), int(timeouts.read % 1 * 1e6))
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self._sock.setsockopt(socket.SOL_SOCKET, option, interval)

    def encrypt(self, tls: ssl.SSLContext, host: str, tunnel: Tunnel | None) -> None:
        """Speak TLS from here on, through a tunnel if there is one.

        Raises:
            OSError: the proxy refuses, or the server is not the one that it should be.
        """
        if tunnel is not None:
            answer = self.request("CONNECT", tunnel.netloc, {"Host": tunnel.netloc, **tunnel.headers})
            if answer.status // 100 != 2:
                raise OSError(f"Tunnel connection failed: {answer.status} {answer.reason}")
        self._sock.settimeout(self.timeouts.connect)
        self._sock = tls.wrap_socket(self._sock, server_hostname=host)
        self._sock.settimeout(self.timeouts.read)
        self._encrypted = True

    def request(
        self, method: str, target: str, headers: Mapping[str, str], body: Iterable[memoryview] = ()
    ) -> Response:
        """Send a request and read the head of its answer.

        Raises:
            ValueError: the request holds what HTTP does not allow.
            OSError: the network broke off, or not in time; Disconnected, if that was before the answer.
        """
        if " " in target or _FORBIDDEN.search("".join((method, target, *headers, *headers.values()))):
            raise ValueError("a key or header holds what HTTP does not allow")
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        self._sock.sendall("\r\n".join(lines).encode("latin-1"))
        with suppress(BrokenPipeError, ConnectionResetError):
            # The server may close before it has the whole body: its answer says why.
            for block in body:
                self._sock.sendall(block)
        return Response(self, bodiless=method in {"HEAD", "CONNECT"})

    def receive(self, buffer: memoryview, *, fill: bool = False) -> int:
        """Read some bytes, or with `fill` as many as fit; fewer if the connection ends, breaks or crawls.

        Raises:
            OSError: it broke before the first byte; TimeoutError: there was none in time.
        """
        flags = socket.MSG_WAITALL if fill and not self._encrypted else 0
        got, until = 0, time.monotonic() + self.timeouts.read
        while got < len(buffer) and time.monotonic() < until:
            try:
                count = self._sock.recv_into(buffer[got:], 0, flags)
            except OSError as error:
                if got:
                    break  # what has come counts; the next call meets the error
                raise (
                    TimeoutError("timed out: no byte came in time") if isinstance(error, BlockingIOError) else error
                ) from error
            got += count
            if not (count and fill):
                break
        return got

    @property
    def quiet(self) -> bool:
        """Whether nothing waits to be read: neither the server's end, nor more than its last answer was to be."""
        if isinstance(self._sock, ssl.SSLSocket) and self._sock.pending():
            return False  # of a record that was decrypted whole, and no longer is in the socket
        return not self._poll.poll(0)

    def break_off(self) -> None:
        """Make the reader, in whichever thread, see an end at once."""
        with suppress(OSError):
            # A TLS socket's own shutdown would have the reader take what comes encrypted for the object.
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of it."""
        self._sock.close()


class Response:
    """An answer whose head is here; its body is read once, in order.

    Attributes:
        status: its code.
        reason: the words beside it.
        headers: names in lower case; the values of a repeated one are joined by commas.
        length: bytes of the body; None if the server does not say.
    """

    def __init__(self, connection: Connection, *, bodiless: bool) -> None:
        self._connection = connection
        self._parser = httptools.HttpResponseParser(self)
        self._begun: list[bytes] = []
        self.headers: dict[str, str] = {}
        self.status = 0
        self._final = self._kept_alive = self._surplus = False
        self.on_message_begin()
        self._read_head()
        self.reason = self._reason.decode("latin-1")
        chunked = "transfer-encoding" in self.headers
        length = self.headers.get("content-length", "")
        self.length = int(length) if length and not chunked else None
        self._left = 0 if bodiless else self.length
        if self._left is not None:
            self._left -= sum(map(len, self._begun))
            if self._left < 0:
                raise ProtocolError("the answer is longer than it says")

    # What llhttp calls.

    def on_message_begin(self) -> None:
        """Forget an interim answer (1xx); what comes after the real one is none of ours."""
        if self._final:
            self._surplus = True
            return
        self._reason = b""
        self._lines: list[tuple[bytes, bytes]] = []
        self._complete = False

    def on_status(self, reason: bytes) -> None:
        """Take the words beside the status."""
        if not self._surplus:
            self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; those behind a chunked body are none of ours."""
        if not self._final:
            self._lines.append((name, value))

    def on_headers_complete(self) -> None:
        """See the end of the head."""
        if self._surplus:
            return
        self.headers = {}
        for name, value in self._lines:
            key, text = name.decode("latin-1").lower(), value.decode("latin-1")
            self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text
        self.status = self._parser.get_status_code()
        self._final = self.status >= 200
        self._kept_alive = self._parser.should_keep_alive()  # known only here: it is forgotten at the end

    def on_body(self, data: bytes) -> None:
        """Take what came of the body."""
        if not self._surplus:
            self._begun.append(data)

    def on_message_complete(self) -> None:
        """See the end of a body whose end only llhttp knows."""
        self._complete = True

    def _read_head(self) -> None:
        size, until = 0, time.monotonic() + self._connection.timeouts.crawl
        while not self._final:
            if time.monotonic() > until:
                raise TimeoutError("timed out: the answer's headers crawled")
            if size >= _SCRATCH_BYTES:
                raise ProtocolError(f"the answer's headers are longer than {_SCRATCH_BYTES} bytes")
            count = self._connection.receive(self._connection.scratch)
            if not count:
                raise Disconnected("closed without an answer")
            size += count
            self._feed(count)

    def _feed(self, count: int) -> None:
        try:
            self._parser.feed_data(self._connection.scratch[:count])
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if self._complete:
                self._surplus = True
                return
            raise ProtocolError(f"the answer is no HTTP: {error}") from error

    def readinto(self, buffer: memoryview) -> int:
        """Fill the buffer; less only at the body's end or where it breaks off.

        Raises:
            OSError: it broke off before the first of these bytes.
        """
        got = self._take_begun(buffer)
        if self._left is None:
            return got or self._receive_pieces(buffer)
        if not got:
            return self._receive(buffer, self._left)
        with suppress(OSError):  # the next call meets it
            got += self._receive(buffer[got:], self._left)
        return got

    def _take_begun(self, buffer: memoryview) -> int:
        got = 0
        while self._begun and got < len(buffer):
            piece = self._begun.pop(0)
            taken = piece[: len(buffer) - got]
            buffer[got : got + len(taken)] = taken
            got += len(taken)
            if len(piece) > len(taken):
                self._begun.insert(0, piece[len(taken) :])
        return got

    def _receive(self, buffer: memoryview, left: int) -> int:
        wanted = buffer[:left]
        count = self._connection.receive(wanted, fill=True) if len(wanted) else 0
        self._left = left - count
        return count

    def _receive_pieces(self, buffer: memoryview) -> int:
        until = time.monotonic() + self._connection.timeouts.read
        while not self._begun and not self._complete:
            if time.monotonic() > until:
                raise TimeoutError("timed out: the answer's chunks crawled")
            count = self._connection.receive(self._connection.scratch)
            if not count:
                if "transfer-encoding" in self.headers:
                    raise ProtocolError("the answer broke off")
                self._complete = True
            else:
                self._feed(count)
        return self._take_begun(buffer)

    def read(self, most: int, seconds: float | None = None) -> bytes:
        """Up to `most` bytes of the body, fewer at its end.

        Args:
            most: bytes.
            seconds: for all of them; None: the time for a short body.

        Raises:
            OSError: it broke off; TimeoutError: it did not come in time.
        """
        until = time.monotonic() + (self._connection.timeouts.crawl if seconds is None else seconds)
        data, piece = bytearray(), memoryview(bytearray(min(most, _READ_BYTES)))
        while len(data) < most and (count := self.readinto(piece[: most - len(data)])):
            data += piece[:count]
            if time.monotonic() > until:
                raise TimeoutError("timed out: the answer's body crawled")
        return bytes(data)

    @property
    def reusable(self) -> bool:
        """Whether the connection can carry another request: this answer was read to its end."""
        ended = self._complete if self._left is None else self._left == 0
        return ended and not self._begun and self._kept_alive and not self._surplus
