"""Whether a download fits on the volume."""

from __future__ import annotations

_UNITS = ("bytes", "KiB", "MiB", "GiB")


def too_full(needed_bytes: int, *, free_bytes: int, reserved_bytes: int, min_free_bytes: int) -> str | None:
    """Return why a download must not begin, or None if it may.

    Args:
        needed_bytes: what it will write.
        free_bytes: free on the volume now.
        reserved_bytes: what other downloads still will write.
        min_free_bytes: what must stay free.
    """
    left = free_bytes - reserved_bytes - needed_bytes
    if left >= min_free_bytes:
        return None
    others = f", {_size(reserved_bytes)} of them for downloads under way" if reserved_bytes else ""
    return (
        f"{_size(needed_bytes)} are needed, {_size(free_bytes)} are free{others}, and {_size(min_free_bytes)} must stay"
        " free: enlarge the volume, free space on it, or lower VOLUME_MIN_FREE_BYTES"
    )


def _size(size_bytes: int) -> str:
    """A size for people.

    Examples:
        >>> _size(3 << 29)
        '1.5 GiB'
    """
    power = min((max(size_bytes, 1).bit_length() - 1) // 10, len(_UNITS) - 1)
    return f"{size_bytes / (1 << 10 * power):.{1 if power else 0}f} {_UNITS[power]}"
