"""An HTTP answer that comes to an end, whatever the network and the server do."""

from __future__ import annotations

import http.client
import io
import socket
import time
from typing import Any


class Incoming(io.RawIOBase):
    """What a socket brings. Whyever it ends, it ends as a file does: what came before reaches the reader.

    Attributes:
        deadline: when it ends, on the monotonic clock; a read under way adds the socket's time-out at most.
        ended: why nothing more comes; None while something may.
    """

    def __init__(self, raw: io.RawIOBase) -> None:
        self._raw = raw
        self.deadline = float("inf")
        self.ended: OSError | None = None

    def readable(self) -> bool:
        """Say yes, for `io.BufferedReader`."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Read some bytes; 0 at the end."""
        if self.ended is None:
            try:
                if time.monotonic() > self.deadline:
                    raise TimeoutError("the answer crawled")
                if count := self._raw.readinto(buffer):
                    return count
                self.ended = http.client.RemoteDisconnected("the server closed the connection")
            except OSError as error:
                self.ended = error
        return 0

    def close(self) -> None:
        """Let go of the socket."""
        self._raw.close()
        super().close()


class Response(http.client.HTTPResponse):
    """An answer with a deadline. `http.client` alone takes an end within the headers for the end of the headers."""

    def __init__(self, sock: socket.socket, *args: Any, crawl_seconds: float, **more: Any) -> None:
        super().__init__(sock, *args, **more)
        self.incoming = Incoming(self.fp.detach())
        self.fp = io.BufferedReader(self.incoming)
        self.pace(crawl_seconds)

    def pace(self, seconds: float) -> None:
        """Give what is read next so much time."""
        self.incoming.deadline = time.monotonic() + seconds

    def begin(self) -> None:
        """Read the status line and the headers.

        Raises:
            OSError: they broke off, or took too long.
            http.client.HTTPException: they are no HTTP.
        """
        try:
            super().begin()
        finally:
            if self.incoming.ended is not None:
                raise self.incoming.ended
