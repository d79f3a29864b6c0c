"""A server that sends a byte now and then keeps no download for ever."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.authority import Authority
from modelsync.adapters.aws import AwsOptions, AwsSession
from modelsync.adapters.s3 import S3Options, S3Store
from modelsync.adapters.s3.http1 import Timeouts
from modelsync.core.objects import RemoteObject
from modelsync.core.parts import Span
from modelsync.errors import StoreUnavailable

SIZE = 1 << 24
PIECE = bytes(range(256)) * 4


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    made = Authority(tmp_path)
    monkeypatch.setenv("AWS_CA_BUNDLE", made.file)
    return made


@pytest.fixture(params=["http", "https"])
def trickle(request: pytest.FixtureRequest, authority: Authority) -> Iterator[str]:
    """An S3 that sends 1 KiB every tenth of a millisecond, so that some is always on its way."""
    ended = threading.Event()
    tls = authority.server("127.0.0.1") if request.param == "https" else None

    def serve(listener: socket.socket) -> None:
        accepted, _ = listener.accept()
        with contextlib.suppress(OSError), tls.wrap_socket(accepted, server_side=True) if tls else accepted as client:
            client.recv(65536)
            client.sendall(f'HTTP/1.1 200 OK\r\nETag: "e"\r\nContent-Length: {SIZE}\r\n\r\n'.encode())
            while not ended.wait(0.0001):
                client.sendall(PIECE)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        yield f"{request.param}://127.0.0.1:{listener.getsockname()[1]}"
        ended.set()
        thread.join()


def test_an_answer_that_crawls_is_broken_off_with_what_it_brought(trickle: str) -> None:
    store = S3Store(
        S3Options("models", timeouts=Timeouts(crawl=0.1)), AwsSession(AwsOptions("us-east-1", trickle)), lambda _: None
    )
    brought = bytearray()
    done = threading.Event()

    def tend() -> None:
        while not done.wait(0.02):
            store.tend()

    def read() -> None:
        buffer = memoryview(bytearray(SIZE))
        with store.open(RemoteObject("k", SIZE, "e", 0.0), Span(0, SIZE)) as body:
            while count := body.readinto(buffer):
                brought.extend(buffer[:count])

    tending = threading.Thread(target=tend)
    tending.start()
    with pytest.raises(StoreUnavailable, match="broke off"):
        read()
    done.set()
    tending.join()
    assert 0 < len(brought) < SIZE
    assert brought == (PIECE * (len(brought) // len(PIECE) + 1))[: len(brought)], "and nothing else"
