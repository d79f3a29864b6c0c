"""Which checksum proves that an object's bytes arrived as they were uploaded.

S3's rules: https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum

from modelsync.core.etags import is_weak, strong_part


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
_MULTIPART = re.compile(r"[0-9a-f]{32}-([1-9][0-9]{0,4})")
_COMPOSITE = re.compile(r"[A-Za-z0-9+/=]+-([1-9][0-9]{0,4})")


@dataclass(frozen=True)
class ObjectDetails:
    """What a HEAD or GET answer says of an object, beyond the listing.

    Attributes:
        size_bytes: size of the whole object.
        etag: without its quotes; a weak one begins with `W/`.
        checksums: algorithm's name in lower case to value in base64, as S3 gives it.
        checksum_type: `FULL_OBJECT`, `COMPOSITE` (made of the parts' checksums), or None if not said.
        encryption: `AES256`, `aws:kms`, `aws:kms:dsse`, a customer's key's algorithm, or None.
        version_id: None where the bucket keeps no versions.
    """

    size_bytes: int
    etag: str
    checksums: dict[str, str] = field(default_factory=dict)
    checksum_type: str | None = None
    encryption: str | None = None
    version_id: str | None = None


@dataclass(frozen=True, slots=True)
class Expected:
    """The value that a file's bytes must have: base64 for S3's checksums, hex for an MD5, else decimal.

    `parts`: how many parts it is made of; their own checksums, joined, were summed once more. 0: it
    is made of the bytes.
    """

    proof: Proof
    value: str
    parts: int = 0

    @property
    def label(self) -> str:
        """Its name in records and metrics."""
        return f"{self.proof.value}-parts" if self.parts else self.proof.value


def expected(details: ObjectDetails, *, parts_known: bool = True) -> Expected:
    """Choose the strongest proof that S3 offers for an object.

    A checksum of the whole object goes before one that is made of the parts', and both before an
    ETag, which is made of MD5s unless a key from KMS or the customer encrypts the object. Of an
    object uploaded in parts only CRC64NVME is known to be of the bytes if S3 does not say so.

    Args:
        details: what S3 says of it.
        parts_known: the sizes of its parts can be had.
    """
    in_parts = _MULTIPART.fullmatch(strong_part(details.etag))
    of_bytes = details.checksum_type == "FULL_OBJECT" or (details.checksum_type is None and not in_parts)
    for proof in _OFFERED:
        value = details.checksums.get(proof.value, "-")
        if "-" not in value and (of_bytes or proof is Proof.CRC64NVME):
            return Expected(proof, value)
    if parts_known:
        for proof in _OFFERED:
            if (found := _COMPOSITE.fullmatch(details.checksums.get(proof.value, ""))) is not None:
                return Expected(proof, found[0], int(found[1]))
    if details.encryption in {None, "AES256"} and not is_weak(details.etag):
        if _MD5.fullmatch(details.etag):
            return Expected(Proof.MD5, details.etag)
        if in_parts and parts_known:
            return Expected(Proof.MD5, details.etag, int(in_parts[1]))
    return Expected(Proof.SIZE, str(details.size_bytes))
