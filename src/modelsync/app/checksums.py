"""Checksums over bytes as they pass."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from awscrt import checksums

from modelsync.core.proof import Proof


class Hasher(Protocol):
    """A checksum that is being computed."""

    def update(self, data: memoryview, /) -> None:
        """Take the next bytes."""
        ...

    def value(self) -> str:
        """The checksum of all bytes so far, written as `core.proof.Expected` has it."""
        ...


class Crc:
    """A CRC; `crc` is its value as a number."""

    def __init__(self, compute: Callable[[bytes, int], int], width_bytes: int) -> None:
        self._compute = compute
        self._width_bytes = width_bytes
        self.crc = 0

    def update(self, data: memoryview, /) -> None:
        """Take the next bytes."""
        self.crc = self._compute(data, self.crc)  # type: ignore[arg-type]  # takes any buffer

    def value(self) -> str:
        """The checksum in base64."""
        return crc_base64(self.crc, self._width_bytes)


COMBINED = frozenset({Proof.CRC64NVME, Proof.CRC32C, Proof.CRC32})
"""Checksums of a whole that can be made from those of its parts."""


def combine(proof: Proof, parts: Iterable[tuple[int, int]]) -> int:
    """Make the CRC of a whole.

    Args:
        proof: one of `COMBINED`.
        parts: the CRC and size in bytes of each, in order; at least one.
    """
    join: Callable[[int, int, int], int] = {
        Proof.CRC64NVME: checksums.combine_crc64nvme,
        Proof.CRC32C: checksums.combine_crc32c,
        Proof.CRC32: checksums.combine_crc32,
    }[proof]
    rest = iter(parts)
    whole, _ = next(rest)
    for crc, size_bytes in rest:
        whole = join(whole, crc, size_bytes)
    return whole


class _Digest:
    def __init__(self, algorithm: str, *, as_hex: bool = False) -> None:
        self._digest = hashlib.new(algorithm, usedforsecurity=False)
        self._as_hex = as_hex

    def update(self, data: memoryview, /) -> None:
        self._digest.update(data)

    def value(self) -> str:
        return self._digest.hexdigest() if self._as_hex else base64.b64encode(self._digest.digest()).decode()


class _Size:
    def __init__(self) -> None:
        self._size_bytes = 0

    def update(self, data: memoryview, /) -> None:
        self._size_bytes += len(data)

    def value(self) -> str:
        return str(self._size_bytes)


def hasher(proof: Proof) -> Hasher:
    """Make the hasher that a proof needs."""
    match proof:
        case Proof.CRC64NVME:
            return crc64nvme_hasher()
        case Proof.CRC32C:
            return Crc(checksums.crc32c, 4)
        case Proof.CRC32:
            return Crc(checksums.crc32, 4)
        case Proof.SHA256 | Proof.SHA1:
            return _Digest(proof.value)
        case Proof.COMMIT:
            return _Digest("sha256", as_hex=True)
        case Proof.MD5:
            return _Digest("md5", as_hex=True)
        case Proof.SIZE:
            return _Size()


class Composite:
    """Sums up a file as S3 sums up an upload in parts: the checksum of the parts' checksums, joined, as `…-N`."""

    def __init__(self, proof: Proof, sizes: Sequence[int]) -> None:
        """Take nothing yet; `sizes`: of the parts, in bytes."""
        self._proof = proof
        self._count = len(sizes)
        self._sizes = iter(sizes)
        self._whole = hasher(proof)
        self._begin()

    def _begin(self) -> None:
        """Turn to the next part that has bytes."""
        self._part = hasher(self._proof)
        while (left := next(self._sizes, None)) == 0:
            self._end()
        self._left = left

    def _end(self) -> None:
        digest = self._part.value()
        raw = bytes.fromhex(digest) if self._proof is Proof.MD5 else base64.b64decode(digest)
        self._whole.update(memoryview(raw))

    def update(self, data: memoryview, /) -> None:
        """Take the next bytes, no more than the parts have."""
        while data and self._left:
            self._part.update(data[: self._left])
            data, self._left = data[self._left :], self._left - min(self._left, len(data))
            if not self._left:
                self._end()
                self._begin()

    def value(self) -> str:
        """The value as S3 writes it, once all bytes are taken."""
        return f"{self._whole.value()}-{self._count}"


def crc64nvme(data: memoryview) -> int:
    """The checksum that every file gets, of bytes that are all here."""
    crc: int = checksums.crc64nvme(data)
    return crc


def crc64nvme_hasher() -> Crc:
    """The same for bytes that pass."""
    return Crc(checksums.crc64nvme, 8)


def crc_base64(crc: int, width_bytes: int) -> str:
    """Write a CRC as S3 does."""
    return base64.b64encode(crc.to_bytes(width_bytes, "big")).decode()
