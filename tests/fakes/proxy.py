"""A network before S3 that tests can make slow or take away."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from urllib.parse import urlsplit

_REQUEST_LINE = re.compile(rb"([A-Z]+) (\S+) HTTP/1.1\r\n")


class Proxy:
    """Passes TCP on, and notes the requests: method and target.

    `hold_after_bytes` stops each answer there until `release`, `hold_requests_after_bytes` what each
    connection sends; `down` refuses everything.
    """

    def __init__(self, target_url: str) -> None:
        parts = urlsplit(target_url)
        self._target = (str(parts.hostname), int(parts.port or 80))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.hold_after_bytes: int | None = None
        self.hold_requests_after_bytes: int | None = None
        self.requests: list[tuple[str, str]] = []
        self.down = False
        self.held = threading.Event()
        """Set once something is being held."""
        self._released = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def release(self) -> None:
        """Let everything through from now on."""
        self.hold_after_bytes = self.hold_requests_after_bytes = None
        self._released.set()

    def close(self) -> None:
        """End."""
        self.release()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.down:
                client.close()
                continue
            server = socket.create_connection(self._target)
            threading.Thread(target=self._pass, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._pass, args=(server, client, True), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, answer: bool) -> None:  # noqa: FBT001
        passed = 0
        try:
            while data := source.recv(65536):
                hold = self.hold_after_bytes if answer else self.hold_requests_after_bytes
                if not answer and (line := _REQUEST_LINE.match(data)) is not None:
                    self.requests.append((line[1].decode(), line[2].decode()))
                if hold is not None and passed + len(data) > hold:
                    sink.sendall(data[: max(hold - passed, 0)])
                    data = data[max(hold - passed, 0) :]
                    passed = max(hold, passed)
                    self.held.set()
                    self._released.wait(120)
                sink.sendall(data)
                passed += len(data)
        except OSError:
            pass  # one end broke off: so does the other
        finally:
            for end in (source, sink):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            source.close()  # the other direction's thread closes the other end
