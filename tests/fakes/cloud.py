"""S3 and SQS that believe nobody: every request's signature is checked, and what was asked is kept."""

from __future__ import annotations

import hashlib
import json
import re
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from urllib.parse import quote, unquote
from xml.sax.saxutils import escape

from fakes.loopback import Answer, LoopbackServer, Request
from fakes.sigv4 import Keyring

REGION = "eu-central-1"
_RANGE = re.compile(r"bytes=(\d+)-(\d+)")
_STATUS = {"NoSuchBucket": 404, "NoSuchKey": 404, "PreconditionFailed": 412, "ExpiredToken": 400, "InvalidToken": 400,
           "InvalidRequest": 400}  # fmt: skip


@dataclass(frozen=True)
class Stored:
    """An object. `headers` come with each answer; `refusal` instead of its bytes, as code and message."""

    content: bytes
    etag: str
    headers: Mapping[str, str] = field(default_factory=dict)
    refusal: tuple[str, str] | None = None


class SigningS3(LoopbackServer):
    """One bucket, by path or by host as Amazon names them."""

    def __init__(
        self,
        bucket: str,
        keys: Keyring,
        *,
        region: str = REGION,
        tls: ssl.SSLContext | None = None,
        payer: bool = False,
    ) -> None:
        self.bucket = bucket
        self._keys = keys
        self._region = region
        self._payer = payer
        self.objects: dict[str, Stored] = {}
        self.before_answer: Callable[[Request], None] = lambda _: None
        super().__init__(tls)

    def put(
        self, key: str, content: bytes, *, etag: str = "", refusal: tuple[str, str] | None = None, **headers: str
    ) -> None:
        """Store an object; `x_amz_…` names one of its headers."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.objects[key] = Stored(content, etag or hashlib.md5(content).hexdigest(), named, refusal)

    def gets(self) -> list[Request]:
        """The requests for objects' bytes."""
        return [
            request
            for request in self.seen
            if request.method == "GET" and not {"list-type", "uploads"} & set(request.query)
        ]

    def answer(self, request: Request) -> Answer:
        self.before_answer(request)
        if (code := self._keys.refuse(request, "s3", self._region)) is not None:
            return _error(code)
        if self._payer and request.headers.get("x-amz-request-payer") != "requester":
            return _error("AccessDenied")
        bucket, key = self._locate(request)
        if bucket != self.bucket:
            return _error("NoSuchBucket")
        if not key:
            return self._list(request.query.get("prefix", ""))
        stored = self.objects.get(key)
        if stored is None:
            return _error("NoSuchKey")
        if stored.refusal is not None:
            return _error(*stored.refusal)
        if request.headers.get("if-match", f'"{stored.etag}"') != f'"{stored.etag}"':
            return _error("PreconditionFailed")
        return _content(stored, request)

    def _locate(self, request: Request) -> tuple[str, str]:
        path = unquote(request.path[1:])
        host = request.headers["host"]
        if (virtual := re.fullmatch(rf"([a-z0-9-]+)\.s3\.{self._region}\.amazonaws\.com", host)) is not None:
            return virtual[1], path
        bucket, _, key = path.partition("/")
        return bucket, key

    def _list(self, prefix: str) -> Answer:
        entries = "".join(
            f"<Contents><Key>{escape(quote(key, safe='/'))}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
            f"<ETag>&quot;{stored.etag}&quot;</ETag><Size>{len(stored.content)}</Size></Contents>"
            for key, stored in sorted(self.objects.items())
            if key.startswith(prefix)
        )
        page = f"<ListBucketResult><EncodingType>url</EncodingType>{entries}</ListBucketResult>"
        return Answer(200, page.encode(), {"Date": formatdate(usegmt=True)})


def _content(stored: Stored, request: Request) -> Answer:
    headers = {"ETag": f'"{stored.etag}"', **stored.headers}
    if (span := _RANGE.fullmatch(request.headers.get("range", ""))) is not None:
        start, last = int(span[1]), int(span[2])
        headers["Content-Range"] = f"bytes {start}-{last}/{len(stored.content)}"
        return Answer(206, stored.content[start : last + 1], headers)
    return Answer(200, stored.content, headers)


def _error(code: str, message: str = "no") -> Answer:
    body = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    return Answer(_STATUS.get(code, 403), body.encode(), {"Content-Type": "application/xml"})


class SigningSqs(LoopbackServer):
    """One queue without messages, by SQS's JSON protocol."""

    def __init__(self, keys: Keyring, *, region: str = REGION, tls: ssl.SSLContext | None = None) -> None:
        self._keys = keys
        self._region = region
        super().__init__(tls)
        self.queue_url = f"{self.url}/123456789012/models"

    def answer(self, request: Request) -> Answer:
        if (code := self._keys.refuse(request, "sqs", self._region)) is not None:
            # SQS has a word of its own for this.
            code = "InvalidClientTokenId" if code == "InvalidAccessKeyId" else code
            return Answer(403, json.dumps({"__type": f"com.amazon.coral.service#{code}", "message": "no"}).encode())
        operation = request.headers["x-amz-target"].partition(".")[2]
        if operation == "ReceiveMessage":
            time.sleep(0.1)  # a long poll, of a kind
        answers = {"GetQueueAttributes": {"Attributes": {"VisibilityTimeout": "30"}}, "ReceiveMessage": {}}
        return Answer(200, json.dumps(answers[operation]).encode(), {"Content-Type": "application/x-amz-json-1.0"})
