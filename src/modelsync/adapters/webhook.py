"""Notices by HTTP: CloudEvents, signed as Standard Webhooks are.

The receiver's name is looked up for every attempt, and the connection goes to the very address that
was judged: a name that leads somewhere else the next moment leads nowhere. What it answers is
hostile: its status and `Retry-After` are all that is read of it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from urllib.parse import quote, unquote, urlsplit

from modelsync import __version__
from modelsync.adapters.network import one_line
from modelsync.adapters.s3.http1 import Connection, Timeouts
from modelsync.core.addresses import refusal
from modelsync.core.notices import CONTENT_TYPE, Notice, Origin, cloud_event
from modelsync.errors import ConfigurationError, NoticeRefused, NotTold
from modelsync.ports.telling import Attend

Resolve = Callable[[str, int], Sequence[str]]
"""Looks up a host's addresses. Raises OSError."""

_TICK_SECONDS = 1.0
_TARGET = "%/:=&?~+!$,;'@()*[]"  # what stands as it is in a path with its query


@dataclass(frozen=True)
class WebhookOptions:
    """One receiver.

    Attributes:
        name: what it is called.
        url: where it is; a secret may be in it.
        shown: the same without secrets.
        origin: whose notices these are.
        key: signs them, if there is one.
        link_local: addresses that `core.addresses` refuses are allowed.
        timeouts: of one connection.
        total_seconds: for an answer, from the connection on.
        lookup_seconds: for the name.
    """

    name: str
    url: str = field(repr=False)
    shown: str
    origin: Origin
    key: bytes | None = field(default=None, repr=False)
    link_local: bool = False
    timeouts: Timeouts = field(default_factory=lambda: Timeouts(connect=5.0, read=10.0, crawl=10.0))
    total_seconds: float = 15.0
    lookup_seconds: float = 15.0


def resolve(host: str, port: int) -> list[str]:
    """Look up a host's addresses by the system's resolver.

    Raises:
        OSError: it has none, or nobody can say.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class Lookup:
    """Looks a name up in a thread of its own: the system's resolver may take minutes, and nothing ends it."""

    def __init__(self, look: Callable[[], Sequence[str]]) -> None:
        self._look = look
        self._running: Future[Sequence[str]] | None = None

    def addresses(self, seconds: float, attend: Attend) -> Sequence[str]:
        """What the name leads to. A lookup that was not waited for to its end is waited for again, and none beside it.

        Raises:
            OSError: to nothing, or nobody said within so many seconds.
            Stopped: `attend` said so.
        """
        until = time.monotonic() + seconds
        running = self._running or self._begin()
        while not running.done() and (left := until - time.monotonic()) > 0:
            wait([running], min(left, _TICK_SECONDS))
            attend()
        if not running.done():
            raise OSError(f"the name was not looked up within {seconds:g} s")
        self._running = None
        return running.result()

    def _begin(self) -> Future[Sequence[str]]:
        self._running = running = Future[Sequence[str]]()

        def run() -> None:
            try:
                running.set_result(self._look())
            except BaseException as error:  # noqa: BLE001 - whoever asks for the result gets it
                running.set_exception(error)

        threading.Thread(target=run, name="look up a receiver", daemon=True).start()
        return running


class Webhook:
    """Implements `ports.telling.Receiver`. Proxies of the environment are not used: they would choose the address."""

    def __init__(
        self, options: WebhookOptions, *, resolve: Resolve = resolve, now: Callable[[], float] = time.time
    ) -> None:
        """Make it; nothing is sent yet.

        Args:
            options: where and how.
            resolve: looks up names.
            now: seconds since the epoch.

        Raises:
            ConfigurationError: the host's name cannot be.
        """
        parts = urlsplit(options.url)
        self.name = f"{options.name} ({options.shown})"
        self._options = options
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        try:
            self._host = (parts.hostname or "").encode("idna").decode()
        except UnicodeError as error:
            raise ConfigurationError(f"NOTIFY_WEBHOOK_URLS: {options.shown} names no possible host") from error
        self._port = parts.port or (443 if self._tls else 80)
        self._target = quote(f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}", safe=_TARGET)
        host = f"[{self._host}]" if ":" in self._host else self._host
        self._headers = {
            "Host": host if parts.port is None else f"{host}:{parts.port}",
            "User-Agent": f"modelsync/{__version__}",
            "Content-Type": CONTENT_TYPE,
            "Connection": "close",
        }
        if parts.username is not None:
            user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._headers["Authorization"] = f"Basic {base64.b64encode(user.encode()).decode()}"
        self._lookup = Lookup(lambda: resolve(self._host, self._port))
        self._now = now

    def tell(self, notice: Notice, attend: Attend) -> None:
        """Post a notice."""
        attend()
        body = json.dumps(cloud_event(notice, self._options.origin)).encode()
        sent_at = int(self._now())
        headers = {**self._headers, "Content-Length": str(len(body)), "webhook-id": notice.id}
        headers["webhook-timestamp"] = str(sent_at)
        if self._options.key is not None:
            headers["webhook-signature"] = signature(self._options.key, notice.id, sent_at, body)
        try:
            status, pause = self._post(headers, body, attend)
        except OSError as error:
            raise NotTold(f"no answer: {one_line(error)}") from error
        if status // 100 == 2:
            return
        if status == 429 or status >= 500:
            raise NotTold(f"it answered {status}", self._pause_seconds(pause))
        if status // 100 == 3:
            raise NoticeRefused(f"it answered {status}: redirects are not followed, so name the final address")
        raise NoticeRefused(f"it answered {status}")

    def _post(self, headers: Mapping[str, str], body: bytes, attend: Attend) -> tuple[int, str]:
        connection = self._connect(self._lookup.addresses(self._options.lookup_seconds, attend))
        # Whoever drips its answer byte by byte meets no time-out of the socket's.
        guard = threading.Timer(self._options.total_seconds, connection.break_off)
        guard.daemon = True
        guard.start()
        try:
            if self._tls is not None:
                connection.encrypt(self._tls, self._host, None)
            answer = connection.request("POST", self._target, headers, [memoryview(body)])
            return answer.status, answer.headers.get("retry-after", "")
        finally:
            guard.cancel()
            connection.close()

    def _connect(self, addresses: Sequence[str]) -> Connection:
        """Connect to the first address that may be connected to and answers."""
        until = time.monotonic() + self._options.total_seconds
        failure: OSError = OSError("the name has no address")
        for address in addresses:
            if not self._options.link_local and (reason := refusal(address)) is not None:
                failure = OSError(f"{address} is {reason}: set NOTIFY_ALLOW_LINK_LOCAL=true if that is meant")
                continue
            try:
                return Connection((address, self._port), self._options.timeouts)
            except OSError as error:
                failure = error
                if time.monotonic() > until:
                    break
        raise failure

    def _pause_seconds(self, said: str) -> float:
        """Read `Retry-After`: seconds, or a date."""
        if said.isascii() and said.isdigit():
            return float(said[:6])
        try:
            return max(parsedate_to_datetime(said).timestamp() - self._now(), 0.0)
        except (ValueError, OverflowError):
            return 0.0


def signature(key: bytes, notice_id: str, sent_at: int, body: bytes) -> str:
    """The header `webhook-signature`.

    Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    """
    signed = b".".join((notice_id.encode(), str(sent_at).encode(), body))
    return f"v1,{base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}"


def key_of(secret: str) -> bytes:
    """The key that a secret stands for: `whsec_` and base64, as Standard Webhooks write it, or the text itself.

    Raises:
        ValueError: what follows `whsec_` is no base64.
    """
    if secret.startswith("whsec_"):
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    return secret.encode()
