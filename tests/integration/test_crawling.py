"""A server that sends a byte now and then keeps no download for ever."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from modelsync.adapters.aws import AwsOptions, AwsSession
from modelsync.adapters.s3 import S3Options, S3Store
from modelsync.adapters.s3.http1 import Timeouts
from modelsync.core.objects import RemoteObject
from modelsync.core.parts import Span
from modelsync.errors import StoreUnavailable

SIZE = 1000


@pytest.fixture
def trickle() -> Iterator[tuple[str, threading.Event]]:
    """An S3 that sends a byte every 10 ms, and the event that ends it."""
    ended = threading.Event()

    def serve(listener: socket.socket) -> None:
        client, _ = listener.accept()
        with client:
            client.recv(65536)
            client.sendall(f'HTTP/1.1 200 OK\r\nETag: "e"\r\nContent-Length: {SIZE}\r\n\r\n'.encode())
            try:
                while not ended.wait(0.01):
                    client.sendall(b"x")
            except OSError:
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", ended
        ended.set()
        thread.join()


def test_an_answer_that_crawls_is_broken_off_with_what_it_brought(trickle: tuple[str, threading.Event]) -> None:
    url, _ = trickle
    store = S3Store(
        S3Options("models", timeouts=Timeouts(crawl=0.5)), AwsSession(AwsOptions("us-east-1", url)), lambda _: None
    )
    brought: list[int] = []
    done = threading.Event()

    def tend() -> None:
        while not done.wait(0.02):
            store.tend()

    def read() -> None:
        buffer = memoryview(bytearray(SIZE))
        with store.open(RemoteObject("k", SIZE, "e", 0.0), Span(0, SIZE)) as body:
            while count := body.readinto(buffer):
                brought.append(count)

    tending = threading.Thread(target=tend)
    tending.start()
    with pytest.raises(StoreUnavailable, match="broke off"):
        read()
    done.set()
    tending.join()
    assert 0 < sum(brought) < SIZE
