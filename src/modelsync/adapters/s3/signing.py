"""AWS Signature Version 4 for S3, by headers.

https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html. botocore's own takes
several times as long (docs/adr/0007); tests hold the two against each other.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping
from functools import lru_cache

from modelsync.adapters.credentials import Keys

UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
_UNSIGNED = frozenset({"user-agent", "expect", "transfer-encoding"})  # proxies may change them


def signed(
    method: str,
    target: str,
    headers: Mapping[str, str],
    *,
    credentials: Keys,
    region: str,
    at: float,
    payload_sha256: str = EMPTY_SHA256,
) -> dict[str, str]:
    """Add to a request's headers those that sign it.

    Args:
        method: of the request.
        target: path and query, encoded, the query sorted by name.
        headers: with `Host`.
        credentials: who asks.
        region: the bucket's.
        at: seconds since the epoch.
        payload_sha256: of the body in hex, or `UNSIGNED_PAYLOAD`.
    """
    timestamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at))
    found = {**headers, "x-amz-content-sha256": payload_sha256, "x-amz-date": timestamp}
    if credentials.token:
        found["x-amz-security-token"] = credentials.token
    canonical = sorted((name.lower(), " ".join(value.split())) for name, value in found.items())
    chosen = [(name, value) for name, value in canonical if name not in _UNSIGNED]
    names = ";".join(name for name, _ in chosen)
    path, _, query = target.partition("?")
    request = "\n".join((method, path, query, *map(":".join, chosen), "", names, payload_sha256))
    scope = f"{timestamp[:8]}/{region}/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{timestamp}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    signature = hmac.digest(_key(credentials.secret_key, timestamp[:8], region), text.encode(), "sha256").hex()
    found["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return found


@lru_cache(maxsize=4)
def _key(secret: str, date: str, region: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for word in (date, region, "s3", "aws4_request"):
        key = hmac.digest(key, word.encode(), "sha256")
    return key
