"""What S3's status lines and headers mean."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from modelsync.adapters.credentials import REFUSED
from modelsync.adapters.network import PROXY_ASKS
from modelsync.adapters.s3.http1 import Response
from modelsync.adapters.s3.xml import parse_error
from modelsync.core.etags import parse_etag
from modelsync.core.parts import Span
from modelsync.core.proof import ObjectDetails
from modelsync.errors import (
    BucketMissing,
    ConfigurationError,
    CredentialsRefused,
    ModelSyncError,
    ObjectChanged,
    Rejected,
    StoreDenied,
    StoreThrottled,
    StoreUnavailable,
)

_MAX_ERROR_BYTES = 64 << 10
_CHECKSUM = "x-amz-checksum-"
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19})")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}")
_CHECKSUM_VALUE = re.compile(r"[A-Za-z0-9+/=]{1,100}(-[0-9]{1,5})?")
_VERSION_ID = re.compile(r"[!-~]{1,1024}")
_RETRY_AFTER = re.compile(r"[0-9]{1,6}")
_THROTTLED = {"SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests"}
_PASSING = {
    "RequestTimeout", "InternalError", "ServiceUnavailable", "OperationAborted",
    "BadDigest", "IncompleteBody", "XAmzContentChecksumMismatch",  # an upload that the network harmed
}  # fmt: skip
_UPLOAD_LOST = "the store has not kept all parts of the upload: push again"
_ADVICE = {
    "AccessDenied": (
        "give the role s3:GetObject and s3:ListBucket on the bucket and prefix, and to upload s3:PutObject and"
        " s3:AbortMultipartUpload (and kms:Decrypt, kms:GenerateDataKey)"
    ),
    "AllAccessDisabled": "the bucket is disabled: ask its owner",
    "ExpiredToken": "the credentials have ended and were not refreshed: look at the pod's role",
    "InvalidAccessKeyId": "the access key does not exist: check AWS_ACCESS_KEY_ID",
    "EntityTooLarge": "the object is larger than the store takes: cut the file",
    "InvalidPart": _UPLOAD_LOST,
    "InvalidPartOrder": _UPLOAD_LOST,
    "InvalidObjectState": "the object is archived: restore it, or upload it again in a storage class for reading",
    "RequestTimeTooSkewed": "this machine's clock is wrong: set it by NTP",
    "SignatureDoesNotMatch": "the secret key does not fit: check AWS_SECRET_ACCESS_KEY",
}
_KMS_ADVICE = "the object's KMS key cannot be used: enable it, and give the role kms:Decrypt on it"
_UNFIT = (
    "the request does not fit what the store has or knows: try again, and if it stays so check the endpoint and that no"
    " proxy changes requests"
)
_OF_CREDENTIALS = re.compile("Access|Auth|Credential|Signature|Token")
_OTHERWISE = "check credentials, permissions, S3_EXPECTED_BUCKET_OWNER and, if the requester pays, S3_REQUEST_PAYER"


def failure(
    response: Response, *, what: str, bucket: str, of_object: bool = False, document: bytes | None = None
) -> ModelSyncError:
    """Turn an answer that is no success into the error that it means.

    Args:
        response: the answer.
        what: what was being done.
        bucket: the bucket's name.
        of_object: an object was asked for.
        document: the answer's body, if that was read.
    """
    fields = parse_error(response.read(_MAX_ERROR_BYTES) if document is None else document)
    status, code = response.status, _word(fields.get("Code"))
    said = f"S3 answered {status} {code or _word(response.reason)}".strip() + f" to {what}"
    region = _word(response.headers.get("x-amz-bucket-region")) or _word(fields.get("Region"))
    pause = response.headers.get("retry-after", "")
    pause_seconds = float(pause) if _RETRY_AFTER.fullmatch(pause) else 0.0
    if code == "NoSuchBucket":
        return BucketMissing(f"bucket {bucket!r} does not exist: check S3_BUCKET_NAME, AWS_REGION and the endpoint")
    if region and (status in {301, 307} or code in {"PermanentRedirect", "AuthorizationHeaderMalformed"}):
        return ConfigurationError(f"bucket {bucket!r} is in region {region}: set AWS_REGION={region}")
    if status == 429 or code in _THROTTLED:
        return StoreThrottled(said, pause_seconds)
    if status in {404, 412, 416}:
        return ObjectChanged(said)
    if status >= 500 or code in _PASSING:
        return StoreUnavailable(said, pause_seconds)
    if status == 407:
        return StoreUnavailable(f"S3 cannot be reached: {PROXY_ASKS}")
    if code == "InvalidRequest" and "Server Side Encryption" in fields.get("Message", ""):
        return Rejected("encryption", f"{said}: it is encrypted with a customer's key (SSE-C): use SSE-S3 or SSE-KMS")
    if status in {400, 401, 403}:
        told = f"{said}: {_advice(status, code)}"
        if code in REFUSED:
            return CredentialsRefused(told)
        return StoreDenied(told, of_object=of_object and code != "RequestTimeTooSkewed")
    return StoreUnavailable(said)


def _advice(status: int, code: str) -> str:
    """What an operator can do about a refusal."""
    if code.startswith("KMS."):
        return _KMS_ADVICE
    says_nothing_of_them = status == 400 and code and not _OF_CREDENTIALS.search(code)
    return _ADVICE.get(code, _UNFIT if says_nothing_of_them else _OTHERWISE)


def answered_at(headers: Mapping[str, str]) -> float | None:
    """When S3 answered, by its own clock, in seconds since the epoch; None if it does not say."""
    try:
        return parsedate_to_datetime(headers["date"]).timestamp()
    except (TypeError, ValueError, KeyError, OverflowError):
        return None


def region_in(headers: Mapping[str, str]) -> str | None:
    """The bucket's region, if S3 says it."""
    return _word(headers.get("x-amz-bucket-region")) or None


def _word(said: str | None) -> str:
    """What a server said, if it can stand in a message; a hostile one can say anything."""
    return said if said and _WORD.fullmatch(said) else ""


def object_details(headers: Mapping[str, str], *, size_bytes: int) -> ObjectDetails:
    """Read the headers of a GET or HEAD answer, their names in lower case.

    A checksum that cannot be one still counts: no bytes have it.
    """
    checksums = {
        name.removeprefix(_CHECKSUM): value if _CHECKSUM_VALUE.fullmatch(value) else "something unreadable"
        for name, value in headers.items()
        if name.startswith(_CHECKSUM) and name != f"{_CHECKSUM}type"
    }
    version_id = headers.get("x-amz-version-id", "")
    return ObjectDetails(
        size_bytes=size_bytes,
        etag=parse_etag(headers.get("etag", "")),
        checksums=checksums,
        checksum_type=headers.get(f"{_CHECKSUM}type"),
        encryption=_encryption(headers),
        version_id=version_id if _VERSION_ID.fullmatch(version_id) else None,
    )


def _encryption(headers: Mapping[str, str]) -> str | None:
    customer = headers.get("x-amz-server-side-encryption-customer-algorithm")
    return f"customer {customer}" if customer else headers.get("x-amz-server-side-encryption")


def whole_size(response: Response, span: Span, *, whole: bool) -> int:
    """Check that an answer carries the span that was asked for, and return the object's whole size.

    Raises:
        StoreUnavailable: it carries something else.
    """
    length = response.length
    if whole and response.status == 200 and length == span.size_bytes:
        return span.size_bytes
    said = response.headers.get("content-range", "")
    found = _CONTENT_RANGE.fullmatch(said)
    if response.status == 206 and found is not None:
        start, last, size = (int(number) for number in found.groups())
        if (start, last + 1) == (span.start, span.end) and length == span.size_bytes:
            return size
    carries = "no Content-Length" if length is None else f"{length} bytes"
    if said:
        carries += f", range {said[:60]!r},"
    raise StoreUnavailable(
        f"S3 answered {response.status} with {carries} to a request for bytes {span.start} to {span.end}"
    )
