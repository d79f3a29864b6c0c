"""nginx as a server of the bench: on a core of its own, on sockets that the bench opened."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.transfer import install
from bench.transfer.process import SERVER_CORE

PACKAGES = ("nginx", "libnginx-mod-http-echo", "libnginx-mod-http-headers-more-filter")


@contextmanager
def running(configuration: Path, sockets: Sequence[socket.socket]) -> Iterator[None]:
    """Run nginx with a configuration that says `daemon off` and names `nginx.pid` beside itself.

    Raises:
        MissingError: nginx cannot be had.
    """
    directory = configuration.parent
    descriptors = [listening.fileno() for listening in sockets]
    nginx = install.debian(*PACKAGES) / "usr/sbin/nginx"
    process = subprocess.Popen(
        ["taskset", "-c", str(SERVER_CORE), nginx, "-c", configuration, "-p", directory],
        pass_fds=descriptors,
        env={"NGINX": "".join(f"{number};" for number in descriptors)},  # how nginx inherits sockets
        stderr=subprocess.DEVNULL,
    )
    try:
        while not (directory / "nginx.pid").exists():
            if process.poll() is not None:
                raise SystemExit(f"nginx did not start: {(directory / 'error.log').read_text()}")
            time.sleep(0.01)
        yield
    finally:
        process.terminate()
        process.wait()
