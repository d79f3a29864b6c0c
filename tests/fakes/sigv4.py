"""The server's side of AWS Signature Version 4, made from its specification and nothing of botocore's.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hashlib
import hmac
import re
import threading
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, unquote

from fakes.loopback import Request

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request,"
    r" ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})"
)
_SKEW_SECONDS = 900


@dataclass(frozen=True)
class Key:
    """An access key. `ends_at`: seconds since the epoch."""

    id: str
    secret: str
    token: str | None = None
    ends_at: float = float("inf")


class Keyring:
    """The access keys that a cloud knows. Thread-safe."""

    def __init__(self, *keys: Key) -> None:
        self._lock = threading.Lock()
        self._keys = {key.id: key for key in keys}
        self.issued: list[Key] = []

    def issue(self, seconds: float) -> Key:
        """Make a key for so long."""
        name = uuid.uuid4().hex[:12]
        with self._lock:
            key = Key(f"ASIA{name.upper()}", f"secret/{name}+=", f"token/{name}+==", time.time() + seconds)
            self._keys[key.id] = key
            self.issued.append(key)
        return key

    def add(self, key: Key) -> None:
        with self._lock:
            self._keys[key.id] = key

    def remove(self, key: Key) -> None:
        with self._lock:
            del self._keys[key.id]

    def refuse(self, request: Request, service: str, region: str) -> str | None:
        """Check a request's signature; return S3's code for what is wrong with it, or None."""
        found = _AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
        if found is None:
            return "AccessDenied"
        access_key, day, signed_region, signed_service, names, signature = found.groups()
        with self._lock:
            key = self._keys.get(access_key)
        if key is None:
            return "InvalidAccessKeyId"
        if request.headers.get("x-amz-security-token") != key.token:
            return "InvalidToken"
        if time.time() > key.ends_at:
            return "ExpiredToken"
        if (signed_region, signed_service) != (region, service):
            return "AuthorizationHeaderMalformed"
        at = request.headers.get("x-amz-date", "")
        if not at.startswith(day) or abs(_seconds(at) - time.time()) > _SKEW_SECONDS:
            return "RequestTimeTooSkewed"
        signed = names.split(";")
        if not {"host", *(name for name in request.headers if name.startswith("x-amz-"))} <= set(signed):
            return "AccessDenied"  # S3: there were headers present in the request which were not signed
        wanted = _signature(key, _canonical(request, signed, service), at, f"{day}/{region}/{service}/aws4_request")
        return None if hmac.compare_digest(wanted, signature) else "SignatureDoesNotMatch"


def _seconds(at: str) -> float:
    try:
        return datetime.strptime(at, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return 0.0


def _canonical(request: Request, signed: list[str], service: str) -> str:
    # Decoded and encoded again, as the specification has it: a client that encodes otherwise fails.
    path = quote(unquote(request.path, errors="surrogateescape"), safe="/-_.~", errors="surrogateescape")
    if service != "s3":
        path = quote(path, safe="/-_.~")
    pairs = parse_qsl(request.target.partition("?")[2].replace("+", "%2B"), keep_blank_values=True)
    query = "&".join(sorted(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in pairs))
    headers = "".join(f"{name}:{' '.join(request.headers.get(name, '').split())}\n" for name in signed)
    digest = request.headers.get("x-amz-content-sha256") or hashlib.sha256(request.body).hexdigest()
    return "\n".join([request.method, path, query, headers, ";".join(signed), digest])


def _signature(key: Key, canonical: str, at: str, scope: str) -> str:
    digest = f"AWS4{key.secret}".encode()
    for part in scope.split("/"):
        digest = hmac.digest(digest, part.encode(), "sha256")
    text = "\n".join(["AWS4-HMAC-SHA256", at, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    return hmac.digest(digest, text.encode(), "sha256").hex()
