"""An S3 stand-in that costs next to nothing: one bucket, files made up front, bodies by sendfile.

Serves ListObjectsV2 pages, and GET with ranges and If-Match; takes objects by PUT. Every object
has a real ETag and a real CRC64NVME, so that verification is real. Bound to loopback; ends with its parent.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qs, quote, unquote, urlsplit

from awscrt.checksums import crc64nvme

PAGE = 1000
CHUNK = 8 << 20
MULTIPART_BYTES = 64 << 20
PACED_BYTES = 256 << 10


class Bucket:
    """The objects below a directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.objects: dict[str, tuple[int, str, str]] = {}
        for path in root.rglob("*"):
            if path.is_file():
                self.objects[path.relative_to(root).as_posix()] = describe(path)
        self.keys = sorted(self.objects, key=str.encode)

    def put(self, key: str, data: bytes) -> None:
        """Take an object, new or in another's place."""
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self.objects[key] = describe(path)
        self.keys = sorted(self.objects, key=str.encode)

    def page(self, prefix: str, start: int) -> bytes:
        keys = [key for key in self.keys if key.startswith(prefix)][start:]
        shown = [(key, *self.objects[key][:2]) for key in keys[:PAGE]]
        return render_page(shown, start + PAGE if len(keys) > PAGE else None)


def render_page(entries: Iterable[tuple[str, int, str]], after: int | None) -> bytes:
    """A page of a listing as S3 words it.

    Args:
        entries: key, size and ETag of each object.
        after: the number of the next page's first object, if there is one.
    """
    contents = "".join(
        f"<Contents><Key>{quote(key)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
        f"<ETag>&quot;{etag}&quot;</ETag><ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm>"
        f"<ChecksumType>FULL_OBJECT</ChecksumType><Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
        for key, size, etag in entries
    )
    more = after is not None
    token = f"<NextContinuationToken>{after}</NextContinuationToken><NextMarker>{after}</NextMarker>" if more else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{contents}</ListBucketResult>"
    ).encode()


def describe(path: Path) -> tuple[int, str, str]:
    """Size, ETag and CRC64NVME of a file. A large one has the ETag of an upload in parts."""
    size, crc, md5 = path.stat().st_size, 0, hashlib.md5(usedforsecurity=False)
    in_parts = size >= MULTIPART_BYTES
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            md5.update(hashlib.md5(chunk, usedforsecurity=False).digest() if in_parts else chunk)
            crc = crc64nvme(chunk, crc)
    etag = md5.hexdigest() + (f"-{-(-size // CHUNK)}" if in_parts else "")
    return size, etag, base64.b64encode(crc.to_bytes(8, "big")).decode()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    bucket: ClassVar[Bucket]
    pause_seconds: ClassVar[float] = 0.0

    def log_message(self, *_: object) -> None:
        """Be quiet."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_PUT(self) -> None:
        key = unquote(self.path).lstrip("/").partition("/")[2]
        self.bucket.put(key, self.rfile.read(int(self.headers["Content-Length"])))
        self.answer(200, 0, {})

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        key = unquote(parts.path).lstrip("/").partition("/")[2]
        if not key:
            query = parse_qs(parts.query)
            data = self.bucket.page(query.get("prefix", [""])[0], int(query.get("continuation-token", ["0"])[0]))
            self.answer(200, len(data), {"Content-Type": "application/xml"})
            self.wfile.write(data)
            return
        if key not in self.bucket.objects:
            self.answer(404, 0, {})
            return
        size, etag, crc = self.bucket.objects[key]
        if self.headers.get("If-Match", f'"{etag}"') != f'"{etag}"':
            self.answer(412, 0, {})
            return
        start, end, status = 0, size, 200
        headers = {"ETag": f'"{etag}"'}
        if (found := re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))) is not None:
            start, end, status = int(found[1]), int(found[2]) + 1, 206
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        else:
            headers |= {"x-amz-checksum-crc64nvme": crc, "x-amz-checksum-type": "FULL_OBJECT"}
        self.answer(status, end - start, headers)
        if self.command == "GET":
            self.wfile.flush()
            with (self.bucket.root / key).open("rb") as file:
                while start < end:
                    start += os.sendfile(self.connection.fileno(), file.fileno(), start, min(end - start, PACED_BYTES))
                    time.sleep(self.pause_seconds if start < end else 0)

    def answer(self, status: int, length: int, headers: dict[str, str]) -> None:
        self.send_response_only(status)
        self.send_header("Date", formatdate(usegmt=True))
        self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


@contextmanager
def stand_in(root: Path, pause_seconds: float = 0.0) -> Iterator[str]:
    """Serve a directory as bucket `models`, with a pause behind each 256 KiB of a body; yields the endpoint's URL."""
    command = [sys.executable, "-m", "bench.standin", str(root), str(pause_seconds)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.stdin.close()
        process.terminate()
        process.wait()
        process.stdout.close()


def main() -> None:
    Handler.bucket, Handler.pause_seconds = Bucket(Path(sys.argv[1])), float(sys.argv[2])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True

    def end_with_parent() -> None:
        sys.stdin.read()
        os._exit(0)

    threading.Thread(target=end_with_parent, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
