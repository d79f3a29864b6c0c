"""An S3 on a real socket that does what it is told: right answers, but for its faults.

A fault is a function that changes one `Exchange` before it goes out; `S3.fault` says which
requests it befalls. Faults on the same request add up.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Literal
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from awscrt.checksums import crc64nvme

BUCKET = "models"
_CHUNK_BYTES = 64 << 10
_NO_UPLOADS = b"<ListMultipartUploadsResult></ListMultipartUploadsResult>"
_NO_VERSIONING = b"<VersioningConfiguration/>"
_NO_EVENTS = b"<NotificationConfiguration/>"


@dataclass(frozen=True)
class Stored:
    """An object. `parts`: sizes of the parts that it was uploaded in."""

    content: bytes
    etag: str
    modified: int
    headers: Mapping[str, str]
    parts: tuple[int, ...] = ()


@dataclass
class Exchange:
    """A request and its answer. `kind`: of an object GET, HEAD or PART, a HEAD for one part; of the bucket LIST,
    UPLOADS, VERSIONING, NOTIFICATION or BUCKET, a HEAD for it.

    `end` says what follows the last byte that is sent. `stop_in_head` and `stop_in_body` send no
    more than so many bytes, `pace` one byte at a time, or with `swift_head` those of the body alone.
    """

    kind: str
    key: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    connection: int
    stored: Stored | None = field(default=None, repr=False)
    status: str = "200 OK"
    answer: dict[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)
    extra: bytes = b""
    line: bytes | None = None
    stop_in_head: int | None = None
    stop_in_body: int | None = None
    pace_seconds: float = 0.0
    swift_head: bool = False
    end: Literal["keep", "close", "reset", "hang"] = "keep"

    def wire(self) -> bytes:
        """Everything that is sent."""
        line = self.line or f"HTTP/1.1 {self.status}\r\n".encode()
        head = line + "".join(f"{name}: {value}\r\n" for name, value in self.answer.items()).encode("latin-1") + b"\r\n"
        if self.stop_in_head is not None:
            return head[: self.stop_in_head]
        body = b"" if self.kind in {"HEAD", "PART", "BUCKET"} else self.body
        return head + body[: self.stop_in_body] + self.extra


Fault = Callable[[Exchange], object]


def _kind_of_bucket(method: str, query: Container[str]) -> str:
    asked = next((name for name in ("uploads", "versioning", "notification") if name in query), None)
    return asked.upper() if asked else "BUCKET" if method == "HEAD" else "LIST"


@dataclass
class _Rule:
    kind: str
    key: str | None
    at: Container[int] | None
    fault: Fault
    seen: int = 0

    def befalls(self, exchange: Exchange) -> bool:
        if exchange.kind != self.kind or self.key not in {None, exchange.key}:
            return False
        self.seen += 1
        return self.at is None or self.seen in self.at


class S3:
    """One bucket. `log` has all exchanges; `url` is the endpoint, by https with `tls`."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.log: list[Exchange] = []
        self.heeds_if_match = True
        self.page_keys = 1000
        self._now = 1_700_000_000
        self._objects: dict[str, Stored] = {}
        self._rules: list[_Rule] = []
        self.lock = threading.RLock()
        self._ended = threading.Event()
        self._clients: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    # The bucket

    def put(self, key: str, content: bytes, *, etag: str | None = None, parts: tuple[int, ...] = (),
            **headers: str) -> None:  # fmt: skip
        """Upload an object; its checksum is CRC64NVME, or what `headers` say (`sha256="…"`, `type="…"`)."""
        etag = etag or hashlib.md5(content, usedforsecurity=False).hexdigest()
        crc = base64.b64encode(crc64nvme(content).to_bytes(8, "big")).decode()
        checksums = headers or {"crc64nvme": crc, "type": "FULL_OBJECT"}
        told = {f"x-amz-checksum-{name}": value for name, value in checksums.items()}
        with self.lock:
            self._now += 1
            self._objects[key] = Stored(content, etag, self._now, told, parts)

    def corrupt(self, key: str, content: bytes) -> None:
        """Change what is stored behind ETag and checksum, which stay."""
        with self.lock:
            old = self._objects[key]
            self._objects[key] = Stored(content, old.etag, old.modified, old.headers, old.parts)

    def requests(self, kind: str, key: str | None = None) -> list[Exchange]:
        """The exchanges of a kind so far."""
        with self.lock:
            return [exchange for exchange in self.log if exchange.kind == kind and key in {None, exchange.key}]

    # Faults

    def fault(self, kind: str, *faults: Fault, key: str | None = None, at: Container[int] | None = None) -> None:
        """Let faults befall requests: all of a kind, of a key, or the n-th of these, from 1."""
        with self.lock:
            self._rules += [_Rule(kind, key, at, fault) for fault in faults]

    def calm(self) -> None:
        """Answer rightly from now on."""
        with self.lock:
            self._rules.clear()

    # The server

    def close(self) -> None:
        """End, and wait for all threads."""
        self._ended.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        with self.lock:
            for client in self._clients:
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(client, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._tls is not None:
                # The handshake is made by the thread that reads.
                client = self._tls.wrap_socket(client, server_side=True, do_handshake_on_connect=False)
            with self.lock:
                self._clients.add(client)
                self._threads.append(threading.Thread(target=self._serve, args=(client, len(self._threads))))
            self._threads[-1].start()

    def _serve(self, client: socket.socket, connection: int) -> None:
        with client, client.makefile("rb") as lines, contextlib.suppress(OSError):
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while (line := lines.readline()) and not self._ended.is_set():
                headers = dict(self._headers(lines))
                exchange = self._answer(line.decode().split()[0], line.decode().split()[1], headers, connection)
                self._send(client, exchange)
                if exchange.end != "keep":
                    break
        with self.lock:
            self._clients.discard(client)

    @staticmethod
    def _headers(lines: Iterator[bytes]) -> Iterator[tuple[str, str]]:
        for line in lines:
            if line == b"\r\n":
                return
            name, _, value = line.decode("latin-1").partition(":")
            yield name.lower(), value.strip()

    def _answer(self, method: str, target: str, headers: Mapping[str, str], connection: int) -> Exchange:
        parts = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        key = unquote(parts.path.removeprefix(f"/{BUCKET}/"))
        kind = "PART" if "partNumber" in query else method if key else _kind_of_bucket(method, query)
        exchange = Exchange(kind, key, headers, query, connection)
        exchange.answer = {"Content-Length": "", "Date": formatdate(usegmt=True)}
        with self.lock:
            self.log.append(exchange)
            exchange.stored = self._objects.get(key)
            fixed = {"UPLOADS": _NO_UPLOADS, "VERSIONING": _NO_VERSIONING, "NOTIFICATION": _NO_EVENTS, "BUCKET": b""}
            if kind in fixed:
                exchange.body = fixed[kind]
            else:
                {"LIST": self._list, "PART": self._part}.get(kind, self._object)(exchange)
            exchange.answer["Content-Length"] = str(len(exchange.body))
            faults = [rule.fault for rule in self._rules if rule.befalls(exchange)]
        for fault in faults:
            fault(exchange)
        return exchange

    def _list(self, exchange: Exchange) -> None:
        prefix, after = exchange.query.get("prefix", ""), exchange.query.get("continuation-token", "")
        keys = sorted(key for key in self._objects if key.startswith(prefix) and key > after)
        page = keys[: self.page_keys]
        more = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if keys[len(page) :] else ""
        exchange.body = (
            f"<ListBucketResult><IsTruncated>{str(bool(more)).lower()}</IsTruncated>{more}"
            + "".join(self._entry(key) for key in page)
            + "</ListBucketResult>"
        ).encode()

    def _entry(self, key: str) -> str:
        stored = self._objects[key]
        modified = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(stored.modified))
        return (
            f"<Contents><Key>{escape(key)}</Key><Size>{len(stored.content)}</Size>"
            f"<ETag>{escape(quoted(stored.etag))}</ETag><LastModified>{modified}Z</LastModified></Contents>"
        )

    def _object(self, exchange: Exchange) -> None:
        stored = exchange.stored
        if stored is None:
            return refuse(404, "NoSuchKey")(exchange)
        tag = quoted(stored.etag)
        wanted = exchange.headers.get("if-match")
        if self.heeds_if_match and wanted is not None and (wanted != tag or tag.startswith("W/")):
            return refuse(412, "PreconditionFailed")(exchange)
        exchange.body = stored.content
        exchange.answer["ETag"] = tag
        if span := re.fullmatch(r"bytes=(\d+)-(\d+)", exchange.headers.get("range", "")):
            serve_range(int(span[1]), int(span[2]))(exchange)
        elif exchange.headers.get("x-amz-checksum-mode") == "ENABLED":
            exchange.answer |= stored.headers
        return None

    def _part(self, exchange: Exchange) -> None:
        sizes = exchange.stored.parts if exchange.stored else ()
        exchange.status = "206 Partial Content"
        exchange.answer["x-amz-mp-parts-count"] = str(len(sizes))
        exchange.body = bytes(sizes[int(exchange.query["partNumber"]) - 1]) if sizes else b""

    def _send(self, client: socket.socket, exchange: Exchange) -> None:
        wire = exchange.wire()
        exchange.body = b""  # the log is kept, and bodies are large
        step = 1 if exchange.pace_seconds else _CHUNK_BYTES
        begin = wire.index(b"\r\n\r\n") + 4 if exchange.swift_head else 0
        client.sendall(wire[:begin])
        for start in range(begin, len(wire), step):
            client.sendall(wire[start : start + step])
            if self._ended.wait(exchange.pace_seconds) if exchange.pace_seconds else self._ended.is_set():
                return
        if exchange.end == "hang":
            client.recv(1)  # until the client or `close` ends it
        elif exchange.end == "reset":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def quoted(etag: str) -> str:
    """An ETag as HTTP has it; `W/x` is a weak one."""
    return f'W/"{etag[2:]}"' if etag.startswith("W/") else f'"{etag}"'


# Faults of the network


def reset_after(count: int) -> Fault:
    """Send so many bytes of the body, then a TCP reset."""
    return lambda exchange: vars(exchange).update(stop_in_body=count, end="reset")


def close_after(count: int) -> Fault:
    """Send so many bytes of the body, then an orderly end."""
    return lambda exchange: vars(exchange).update(stop_in_body=count, end="close")


def hang_after(count: int) -> Fault:
    """Send so many bytes of the body, then nothing for ever."""
    return lambda exchange: vars(exchange).update(stop_in_body=count, end="hang")


def hang_at_once(exchange: Exchange) -> None:
    """Send nothing for ever."""
    exchange.stop_in_head, exchange.end = 0, "hang"


def cut_head(before: str) -> Fault:
    """End in an orderly way in the middle of the headers, before the one of this name."""

    def fault(exchange: Exchange) -> None:
        head = exchange.wire().lower()
        exchange.stop_in_head, exchange.end = max(head.find(before.lower().encode()), 0), "close"

    return fault


def crawl(exchange: Exchange) -> None:
    """Send a byte every 50 ms, headers and all: a listing takes more than 20 s."""
    exchange.pace_seconds = 0.05


def head_apart(exchange: Exchange) -> None:
    """Send the headers by themselves; with TLS in a record of their own."""
    exchange.swift_head = True


def crawl_in_body(exchange: Exchange) -> None:
    """Send the headers at once, then a byte every 50 ms."""
    exchange.pace_seconds, exchange.swift_head = 0.05, True


def flip(at: int) -> Fault:
    """Change a bit of the body."""

    def fault(exchange: Exchange) -> None:
        changed = bytearray(exchange.body)
        if changed:
            changed[at % len(changed)] ^= 1
        exchange.body = bytes(changed)

    return fault


def longer(extra: bytes) -> Fault:
    """Send more after the body than was said."""
    return lambda exchange: vars(exchange).update(extra=extra)


# Faults of the server


def refuse(status: int, code: str, **headers: str) -> Callable[[Exchange], None]:
    """Answer with an error document."""

    def fault(exchange: Exchange) -> None:
        exchange.status = f"{status} {code}"
        exchange.body = f"<Error><Code>{code}</Code></Error>".encode()
        exchange.answer |= {"Content-Length": str(len(exchange.body))} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }

    return fault


def serve_range(start: int, last: int) -> Fault:
    """Answer with this range, whatever was asked for."""

    def fault(exchange: Exchange) -> None:
        content = exchange.stored.content if exchange.stored else b""
        exchange.status = "206 Partial Content"
        exchange.body = content[start : last + 1]
        exchange.answer |= {
            "Content-Range": f"bytes {start}-{min(last, len(content) - 1)}/{len(content)}",
            "Content-Length": str(len(exchange.body)),
        }

    return fault


def serve_whole(exchange: Exchange) -> None:
    """Answer 200 with everything to a request for a range."""
    exchange.status = "200 OK"
    exchange.body = exchange.stored.content if exchange.stored else b""
    exchange.answer["Content-Length"] = str(len(exchange.body))
    exchange.answer.pop("Content-Range", None)


def header(name: str, value: str | None) -> Fault:
    """Say something else in a header; None: leave it out."""

    def fault(exchange: Exchange) -> None:
        exchange.answer.pop(name, None)
        if value is not None:
            exchange.answer[name] = value

    return fault


def chunked(exchange: Exchange) -> None:
    """Send the body in chunks, without a Content-Length."""
    exchange.answer.pop("Content-Length", None)
    exchange.answer["Transfer-Encoding"] = "chunked"
    exchange.body = f"{len(exchange.body):x}\r\n".encode() + exchange.body + b"\r\n0\r\n\r\n"


def endless_chunk(exchange: Exchange) -> None:
    """Announce a chunk, and never come to its end."""
    chunked(exchange)
    exchange.body = b"5;" + b"x" * 10_000


def say(body: bytes) -> Fault:
    """Answer with another body."""

    def fault(exchange: Exchange) -> None:
        exchange.body = body
        exchange.answer["Content-Length"] = str(len(body))

    return fault


def first_line(line: bytes) -> Fault:
    """Send something in the status line's place."""
    return lambda exchange: vars(exchange).update(line=line)


def many_headers(exchange: Exchange) -> None:
    """Send 10,000 headers of 100 bytes."""
    exchange.answer |= {f"x-{number}": "x" * 100 for number in range(10_000)}
