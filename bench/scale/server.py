"""nginx on loopback with a bucket's listing as files, and what it was asked."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import nginx
from bench.transfer.server import EMPTY

BUCKET = "models"
CONFIGURATION = """
{user}
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections 2048; }}
http {{
  log_format asked '$request_method $request_uri';
  access_log {directory}/access.log asked;
  root {directory};
  client_body_temp_path {directory}/temporary;
  proxy_temp_path {directory}/temporary;
  fastcgi_temp_path {directory}/temporary;
  uwsgi_temp_path {directory}/temporary;
  scgi_temp_path {directory}/temporary;
  default_type application/xml;
  etag off;
  sendfile on;
  keepalive_requests 1000000;
  map $args $page {{
    "~(^|&)(start-after=[^&]|prefix=[^&]|delimiter=[^&])" unknown;
    "~(^|&)uploads(=|&|$)" uploads;
    "~(^|&)location(=|&|$)" location;
    "~(^|&)continuation-token=(?<start>[0-9]+)(&|$)" $start;
    default 0;
  }}
  server {{
    listen 127.0.0.1:{port};
    location = /{bucket} {{ try_files /pages/$page =404; }}
    location = /{bucket}/ {{ try_files /pages/$page =404; }}
    location / {{ return 404; }}
  }}
}}
"""


@dataclass(frozen=True)
class Asked:
    """Requests by kind: pages of the listing, objects' bytes, and all others."""

    lists: int
    gets: int
    others: int


@dataclass
class Server:
    """A running server: its endpoint, and the log of what it is asked."""

    url: str
    log: Path
    _read: int = 0

    def asked(self) -> Asked:
        """What it was asked since the last time."""
        with self.log.open() as log:
            log.seek(self._read)
            lines = [line.partition("?")[0] for line in log.read().splitlines()]
            self._read = log.tell()
        lists = sum(line in {f"GET /{BUCKET}", f"GET /{BUCKET}/"} for line in lines)
        gets = sum(line.startswith("GET ") for line in lines) - lists
        return Asked(lists, gets, len(lines) - lists - gets)


@contextmanager
def serve(directory: Path) -> Iterator[Server]:
    """Serve the pages that lie in `directory/pages`.

    Raises:
        MissingError: nginx cannot be had.
    """
    for page, element in (("uploads", "ListMultipartUploadsResult"), ("location", "LocationConstraint")):
        (directory / "pages" / page).write_text(EMPTY.format(element))
    with socket.create_server(("127.0.0.1", 0), backlog=511) as listening:
        port = listening.getsockname()[1]
        user = "user root;" if os.geteuid() == 0 else ""
        configuration = directory / "nginx.conf"
        configuration.write_text(CONFIGURATION.format(user=user, directory=directory, port=port, bucket=BUCKET))
        with nginx.running(configuration, [listening]):
            yield Server(f"http://127.0.0.1:{port}", directory / "access.log")
