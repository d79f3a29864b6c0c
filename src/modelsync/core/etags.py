"""Entity tags, as HTTP has them: a strong one names bytes, a weak one (`W/"…"`) only what they mean.

S3's are strong; something between that compresses, or a store that is lax, makes weak ones of them.
"""

from __future__ import annotations

_WEAK = "W/"


def parse_etag(said: str) -> str:
    """Take the quotes off; a weak one keeps its mark."""
    tag = said.strip('"')
    return _WEAK + strong_part(tag).strip('"') if is_weak(tag) else tag


def is_weak(etag: str) -> bool:
    """Whether it says nothing of the bytes."""
    return etag.startswith(_WEAK)


def strong_part(etag: str) -> str:
    """What a weak one was before somebody weakened it."""
    return etag.removeprefix(_WEAK)


def same_object(etag: str, other: str) -> bool:
    """Whether two may be of one object (RFC 9110's weak comparison)."""
    return strong_part(etag) == strong_part(other)
