"""What S3's status lines and headers mean."""

from __future__ import annotations

import http.client
import re

from modelsync.adapters.s3.xml import parse_error
from modelsync.core.parts import Span
from modelsync.core.proof import ObjectDetails
from modelsync.errors import (
    BucketMissing,
    ConfigurationError,
    ModelSyncError,
    ObjectChanged,
    StoreDenied,
    StoreThrottled,
    StoreUnavailable,
)

_MAX_ERROR_BYTES = 64 << 10
_CHECKSUM = "x-amz-checksum-"
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_THROTTLED = {"SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests"}
_PASSING = {
    "RequestTimeout", "InternalError", "ServiceUnavailable", "OperationAborted",
    "BadDigest", "IncompleteBody", "XAmzContentChecksumMismatch",  # an upload that the network harmed
}  # fmt: skip
_ADVICE = {
    "AccessDenied": (
        "give the role s3:GetObject and s3:ListBucket on the bucket and prefix, and to upload s3:PutObject and"
        " s3:AbortMultipartUpload (and kms:Decrypt, kms:GenerateDataKey)"
    ),
    "AllAccessDisabled": "the bucket is disabled: ask its owner",
    "ExpiredToken": "the credentials have ended and were not refreshed: look at the pod's role",
    "InvalidAccessKeyId": "the access key does not exist: check AWS_ACCESS_KEY_ID",
    "RequestTimeTooSkewed": "this machine's clock is wrong: set it by NTP",
    "SignatureDoesNotMatch": "the secret key does not fit: check AWS_SECRET_ACCESS_KEY",
}


def failure(
    response: http.client.HTTPResponse, *, what: str, bucket: str, document: bytes | None = None
) -> ModelSyncError:
    """Turn an answer that is no success into the error that it means; `document`: its body, if that was read."""
    fields = parse_error(response.read(_MAX_ERROR_BYTES) if document is None else document)
    status, code = response.status, fields.get("Code", "")
    said = f"S3 answered {status} {code or response.reason or ''}".strip() + f" to {what}"
    region = response.headers.get("x-amz-bucket-region") or fields.get("Region")
    if code == "NoSuchBucket":
        return BucketMissing(f"bucket {bucket!r} does not exist: check S3_BUCKET_NAME, AWS_REGION and the endpoint")
    if region and (status in {301, 307} or code in {"PermanentRedirect", "AuthorizationHeaderMalformed"}):
        return ConfigurationError(f"bucket {bucket!r} is in region {region}: set AWS_REGION={region}")
    if status == 429 or code in _THROTTLED:
        return StoreThrottled(said)
    if status in {404, 412, 416}:
        return ObjectChanged(said)
    if status >= 500 or code in _PASSING:
        return StoreUnavailable(said)
    if status in {400, 401, 403}:
        return StoreDenied(
            f"{said}: {_ADVICE.get(code, 'check credentials, permissions and S3_EXPECTED_BUCKET_OWNER')}"
        )
    return StoreUnavailable(said)


def object_details(headers: http.client.HTTPMessage, *, size_bytes: int) -> ObjectDetails:
    """Read the headers of a GET or HEAD answer."""
    checksums = {
        name.lower().removeprefix(_CHECKSUM): value
        for name, value in headers.items()
        if name.lower().startswith(_CHECKSUM) and name.lower() != f"{_CHECKSUM}type"
    }
    return ObjectDetails(
        size_bytes=size_bytes,
        etag=headers.get("ETag", "").strip('"'),
        checksums=checksums,
        checksum_type=headers.get(f"{_CHECKSUM}type"),
        encryption=_encryption(headers),
        version_id=headers.get("x-amz-version-id"),
    )


def _encryption(headers: http.client.HTTPMessage) -> str | None:
    customer = headers.get("x-amz-server-side-encryption-customer-algorithm")
    return f"customer {customer}" if customer else headers.get("x-amz-server-side-encryption")


def whole_size(response: http.client.HTTPResponse, span: Span, *, whole: bool) -> int:
    """Check that an answer carries the span that was asked for, and return the object's whole size.

    Raises:
        StoreUnavailable: it carries something else.
    """
    length = response.length
    if whole and response.status == 200 and length == span.size_bytes:
        return span.size_bytes
    found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if response.status == 206 and found is not None:
        start, last, size = (int(number) for number in found.groups())
        if (start, last + 1) == (span.start, span.end) and length == span.size_bytes:
            return size
    raise StoreUnavailable(
        f"S3 answered {response.status} with {length} bytes and range {response.headers.get('Content-Range')!r} to a"
        f" request for bytes {span.start} to {span.end}"
    )
