"""HTTP answers as servers write them, and as they should not."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from modelsync.adapters.s3.http1 import Connection, Disconnected, ProtocolError, Response, Timeouts

Ask = Callable[..., Response]
QUICK = Timeouts(connect=5, read=0.3)


@pytest.fixture
def ask() -> Iterator[Ask]:
    """Send a request to a server that answers with the given pieces, then closes or stays silent."""
    threads: list[threading.Thread] = []
    over = threading.Event()
    connections: list[Connection] = []

    def serve(listener: socket.socket, pieces: tuple[bytes, ...], *, silent: bool) -> None:
        with listener, listener.accept()[0] as client:
            client.recv(65536)
            for piece in pieces:
                client.sendall(piece)
            if silent:
                over.wait(30)

    def request(*pieces: bytes, method: str = "GET", silent: bool = False) -> Response:
        listener = socket.create_server(("127.0.0.1", 0))
        address = listener.getsockname()
        threads.append(threading.Thread(target=serve, args=(listener, pieces), kwargs={"silent": silent}))
        threads[-1].start()
        connections.append(Connection(address, QUICK))
        return connections[-1].request(method, "/", {"Host": "h"})

    yield request
    over.set()
    for thread in threads:
        thread.join()
    for connection in connections:
        connection.close()


def test_a_body_of_known_length_leaves_the_connection_for_the_next_request(ask: Ask) -> None:
    answer = ask(b"HTTP/1.1 200 OK\r\nETag: x\r\nA: 1\r\na: 2\r\nContent-Le", b"ngth: 5\r\n\r\nab", b"cde", silent=True)
    assert (answer.status, answer.reason, answer.length) == (200, "OK", 5)
    assert answer.headers == {"etag": "x", "a": "1, 2", "content-length": "5"}
    assert not answer.reusable
    assert answer.read(100) == b"abcde"
    assert answer.reusable


def test_a_buffer_is_filled_across_packets(ask: Ask) -> None:
    body = bytes(range(256)) * 1000
    answer = ask(b"HTTP/1.1 206 P\r\nContent-Length: 256000\r\n\r\n" + body[:7], body[7:9000], body[9000:])
    buffer = memoryview(bytearray(200_000))
    got = bytearray()
    while count := answer.readinto(buffer):
        got += buffer[:count]
    assert got == body


def test_a_body_in_chunks_is_joined(ask: Ask) -> None:
    answer = ask(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"2;x=y\r\nd",
        b"e\r\n0\r\n\r\n",
        silent=True,
    )
    assert answer.length is None
    assert answer.read(100) == b"abcde"
    assert answer.reusable


def test_a_body_without_a_length_ends_with_the_connection(ask: Ask) -> None:
    answer = ask(b"HTTP/1.1 200 OK\r\n\r\nabc", b"de")
    assert answer.read(100) == b"abcde"
    assert not answer.reusable


def test_a_server_that_closes_afterwards_is_believed(ask: Ask) -> None:
    answer = ask(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\na", silent=True)
    assert answer.read(1) == b"a"
    assert not answer.reusable


def test_the_answer_to_a_head_has_no_body(ask: Ask) -> None:
    answer = ask(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", method="HEAD", silent=True)
    assert (answer.length, answer.read(10)) == (1000000, b"")
    assert answer.reusable


def test_an_interim_answer_is_passed_over(ask: Ask) -> None:
    answer = ask(b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", silent=True)
    assert (answer.status, answer.headers) == (200, {"content-length": "0"})


@pytest.mark.parametrize(
    "pieces",
    [
        [b"SSH-2.0-OpenSSH\r\n"],
        [b"HTTP/1.1 abc OK\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\nA: " + b"x" * 40_000 + b"\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\n"],
        [b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"],
        [],
    ],
)
def test_what_is_no_answer_is_refused(ask: Ask, pieces: list[bytes]) -> None:
    with pytest.raises(ProtocolError):
        ask(*pieces)


def test_a_connection_that_closes_without_an_answer_is_told_apart(ask: Ask) -> None:
    with pytest.raises(Disconnected):
        ask()


def test_chunks_that_break_off_are_no_end(ask: Ask) -> None:
    answer = ask(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab")
    with pytest.raises(ProtocolError):
        answer.read(100)


def test_bytes_that_came_before_a_silence_count(ask: Ask) -> None:
    answer = ask(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab", b"cd", silent=True)
    buffer = memoryview(bytearray(9))
    got = bytearray()
    while len(got) < 4:
        got += buffer[: answer.readinto(buffer)]
    with pytest.raises(TimeoutError, match="in time"):
        answer.readinto(buffer)
    assert got == b"abcd"


def test_a_head_that_does_not_come_is_waited_for_no_longer_than_said(ask: Ask) -> None:
    with pytest.raises(TimeoutError):
        ask(b"HTTP/1.1 200", silent=True)


@pytest.mark.parametrize(
    "surplus",
    [
        b"HTTP/1.1 404 No\r\nContent-Length: 9\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
        b"\0\0",
        b"HTTP/1.1 20",
    ],
)
def test_what_comes_behind_an_answer_is_not_taken_for_another(ask: Ask, surplus: bytes) -> None:
    answer = ask(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na" + surplus, silent=True)
    assert (answer.status, answer.headers, answer.read(9)) == (200, {"content-length": "1"}, b"a")
    assert not answer.reusable


@pytest.mark.parametrize("headers", [{"a": "x\r\nb: y"}, {"a\n": "x"}, {"a": "\0"}, {"a": "€"}])
def test_a_header_that_would_be_two_is_not_sent(headers: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connection = Connection(listener.getsockname(), QUICK)
        with pytest.raises(ValueError, match="HTTP does not allow"):
            connection.request("GET", "/", headers)
        connection.close()
