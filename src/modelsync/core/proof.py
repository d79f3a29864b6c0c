"""Which checksum proves that an object's bytes arrived as they were uploaded.

S3's rules: https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum


class Proof(StrEnum):
    """How a file was proven, the strongest first; the label of a metric."""

    COMMIT = "commit-sha256"
    """The SHA-256 that the commit file demands."""
    SHA256 = "sha256"
    SHA1 = "sha1"
    CRC64NVME = "crc64nvme"
    CRC32C = "crc32c"
    CRC32 = "crc32"
    MD5 = "etag-md5"
    SIZE = "size"


_OFFERED = (Proof.SHA256, Proof.SHA1, Proof.CRC64NVME, Proof.CRC32C, Proof.CRC32)
_MD5 = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class ObjectDetails:
    """What a HEAD or GET answer says of an object, beyond the listing.

    Attributes:
        size_bytes: size of the whole object.
        etag: without its quotes.
        checksums: algorithm's name in lower case to value in base64, as S3 gives it.
        composite: the checksums are made of the parts' checksums, not of the bytes.
        encryption: `AES256`, `aws:kms`, `aws:kms:dsse`, a customer's key's algorithm, or None.
        version_id: None where the bucket keeps no versions.
    """

    size_bytes: int
    etag: str
    checksums: dict[str, str] = field(default_factory=dict)
    composite: bool = False
    encryption: str | None = None
    version_id: str | None = None


@dataclass(frozen=True, slots=True)
class Expected:
    """The value that a file's bytes must have: base64 for S3's checksums, hex for an MD5, else decimal."""

    proof: Proof
    value: str


def expected(details: ObjectDetails) -> Expected:
    """Choose the strongest proof that S3 offers for an object.

    An ETag is the MD5 of the bytes only for a single-part upload that is not encrypted with a
    key from KMS or the customer.
    """
    if not details.composite:
        for proof in _OFFERED:
            value = details.checksums.get(proof.value)
            # "base64-N" is composite even where the type is not said.
            if value is not None and "-" not in value:
                return Expected(proof, value)
    if _MD5.fullmatch(details.etag) and details.encryption in {None, "AES256"}:
        return Expected(Proof.MD5, details.etag)
    return Expected(Proof.SIZE, str(details.size_bytes))
