"""An S3 stand-in near the machine's limit: nginx on loopback, objects in memory, listings rendered up front.

Every object has a real ETag and a real CRC64NVME, and If-Match is heeded, so that verification is
real. Three ports: `http`, `https` with a certificate of the bench's own CA, and `paced`, where a
connection has a ceiling and the first byte a delay.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import nginx, standin
from bench.transfer import install
from bench.transfer.scenarios import CAP_BYTES_PER_SECOND, FIRST_BYTE_SECONDS, MODEL, Bucket

SO_MAX_PACING_RATE = 47  # Linux; Python has no name for it
MEMORY = "/dev/shm"
PORTS = ("http", "https", "paced")
EMPTY = '<?xml version="1.0" encoding="UTF-8"?><{0} xmlns="http://s3.amazonaws.com/doc/2006-03-01/"></{0}>'

# nginx would compare If-Match with ETags of its own making: it is compared here, and hidden from nginx.
CONFIGURATION = """
load_module {modules}/ngx_http_echo_module.so;
load_module {modules}/ngx_http_headers_more_filter_module.so;
{user}
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections 2048; }}
http {{
  access_log off;
  root {directory};
  default_type binary/octet-stream;
  client_body_temp_path {directory}/temporary;
  proxy_temp_path {directory}/temporary;
  fastcgi_temp_path {directory}/temporary;
  uwsgi_temp_path {directory}/temporary;
  scgi_temp_path {directory}/temporary;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000;
  open_file_cache max=10000 inactive=1h;
  etag off;
  ssl_certificate {directory}/server.pem;
  ssl_certificate_key {directory}/server.key;
  map_hash_max_size 65536;
  map_hash_bucket_size 256;
  map $uri $object_etag {{ include {directory}/etags; }}
  map $uri $object_crc {{ include {directory}/crcs; }}
  map "$http_x_amz_checksum_mode $http_range" $checksum_type {{ "ENABLED " FULL_OBJECT; }}
  map $checksum_type $checksum {{ FULL_OBJECT $object_crc; }}
  map "$http_if_match $object_etag" $changed {{ "~^ " 0; "~^(?<wanted>\\S+) \\k<wanted>$" 0; default 1; }}
  map $args $page {{
    "~(^|&)(start-after=[^&]|prefix=(?!({model}(/|%2F)?)?(&|$)))" unknown;
    "~(^|&)uploads(=|&|$)" uploads;
    "~(^|&)location(=|&|$)" location;
    "~(^|&)(continuation-token|marker)=(?<start>[0-9]+)(&|$)" $start;
    default 0;
  }}
  server {{
    listen 127.0.0.1:{http};
    listen 127.0.0.1:{https} ssl;
    location / {{ {answer_object} }}
    {listings}
  }}
  server {{
    listen 127.0.0.1:{paced};
    location / {{ echo_sleep {delay}; echo_exec @object; }}
    location @object {{ {answer_object} }}
    {delayed_listings}
  }}
}}
"""
ANSWER_OBJECT = """
    if ($changed) { return 412; }
    more_clear_input_headers If-Match;
    add_header ETag $object_etag;
    add_header x-amz-checksum-crc64nvme $checksum;
    add_header x-amz-checksum-type $checksum_type;
"""
LISTING = """
    location = /{0} {{ default_type application/xml; try_files /pages/{0}/$page =404; }}
    location = /{0}/ {{ default_type application/xml; try_files /pages/{0}/$page =404; }}
"""
DELAYED_LISTING = """
    location = /{0} {{ echo_sleep {1}; echo_exec @{0}; }}
    location = /{0}/ {{ echo_sleep {1}; echo_exec @{0}; }}
    location @{0} {{ default_type application/xml; try_files /pages/{0}/$page =404; }}
"""


@dataclass(frozen=True)
class Server:
    """A running server: its endpoints by port's name, the CA to trust, and the objects' files and CRCs."""

    urls: dict[str, str]
    ca: Path
    directory: Path
    crcs: dict[str, str]


@contextmanager
def serve(buckets: list[Bucket]) -> Iterator[Server]:
    """Make the buckets in memory and serve them from a core of its own.

    Raises:
        MissingError: nginx, a module of it, openssl or the memory for the objects cannot be had.
    """
    needed = sum(bucket.total_bytes for bucket in buckets)
    if shutil.disk_usage(MEMORY).free < needed:
        raise install.MissingError(f"the objects need {needed / (1 << 30):.1f} GiB free in {MEMORY}")
    debian = install.debian(*nginx.PACKAGES)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="modelsync-bench-", dir=MEMORY)))
        directory.chmod(0o755)
        crcs = write_objects(buckets, directory)
        write_certificates(directory)
        sockets = {name: stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=511)) for name in PORTS}
        sockets["paced"].setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, CAP_BYTES_PER_SECOND)
        ports = {name: listening.getsockname()[1] for name, listening in sockets.items()}
        configuration = directory / "nginx.conf"
        configuration.write_text(render(buckets, directory, debian, ports))
        stack.enter_context(nginx.running(configuration, list(sockets.values())))
        urls = {name: f"{'https' if name == 'https' else 'http'}://127.0.0.1:{port}" for name, port in ports.items()}
        yield Server(urls, directory / "ca.pem", directory, crcs)


def render(buckets: list[Bucket], directory: Path, debian: Path, ports: dict[str, int]) -> str:
    return CONFIGURATION.format(
        modules=debian / "usr/lib/nginx/modules",
        user="user root;" if os.geteuid() == 0 else "",
        directory=directory,
        model=MODEL,
        delay=FIRST_BYTE_SECONDS,
        answer_object=ANSWER_OBJECT,
        listings="".join(LISTING.format(bucket.name) for bucket in buckets),
        delayed_listings="".join(DELAYED_LISTING.format(bucket.name, FIRST_BYTE_SECONDS) for bucket in buckets),
        **ports,
    )


def write_objects(buckets: list[Bucket], directory: Path) -> dict[str, str]:
    """Make objects, listings and nginx's tables of ETags and CRCs; return the CRCs by `bucket/key`."""
    etags, crcs = {}, {}
    for bucket in buckets:
        bucket.fill(directory / bucket.name)
        described = standin.Bucket(directory / bucket.name)
        pages = directory / "pages" / bucket.name
        pages.mkdir(parents=True)
        for start in range(0, bucket.objects, standin.PAGE):
            (pages / str(start)).write_bytes(described.page("", start))
        (pages / "uploads").write_text(EMPTY.format("ListMultipartUploadsResult"))
        (pages / "location").write_text(EMPTY.format("LocationConstraint"))
        for key, (_, etag, crc) in described.objects.items():
            etags[f"{bucket.name}/{key}"] = f"'\"{etag}\"'"
            crcs[f"{bucket.name}/{key}"] = crc
    for name, values in (("etags", etags), ("crcs", crcs)):
        (directory / name).write_text("".join(f"/{path} {value};\n" for path, value in values.items()))
    return crcs


def write_certificates(directory: Path) -> None:
    """Make a CA and a certificate of it for the server."""
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    authority = ["-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=modelsync bench"]
    install.run([*make, *authority, "-addext", "keyUsage=critical,keyCertSign"], cwd=directory)
    server = ["-keyout", "server.key", "-out", "server.pem", "-subj", "/CN=127.0.0.1", "-CA", "ca.pem"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"]
    install.run([*make, *server, "-CAkey", "ca.key", *names], cwd=directory)
