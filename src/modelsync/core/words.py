"""Values in words, for reasons that people read."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

_LAST_SECOND = 253402300799  # of the year 9999
_NAMED = 5
_LONGEST = 120
_SIZES = ("bytes", "KiB", "MiB", "GiB")
_SPANS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def instant(seconds: float) -> datetime:
    """A time since the epoch as one in UTC; what no date can tell becomes the first or last that can."""
    return datetime.fromtimestamp(min(max(seconds, 0), _LAST_SECOND), UTC)


def moment(seconds: float) -> str:
    """A time since the epoch.

    Examples:
        >>> moment(0.9)
        '1970-01-01 00:00:00 UTC'
    """
    return f"{instant(seconds):%Y-%m-%d %H:%M:%S} UTC"


def some(names: Iterable[str]) -> str:
    """The first few names in order, and how many there are beside them.

    Examples:
        >>> some(["b", "a"])
        'a, b'
        >>> some("abcdefg")
        'a, b, c, d, e and 2 more'
    """
    ordered = sorted(names)
    more = f" and {len(ordered) - _NAMED} more" if len(ordered) > _NAMED else ""
    return ", ".join(ordered[:_NAMED]) + more


def quoted(text: str) -> str:
    """A foreign text in a sentence: quoted, printable, bounded.

    Examples:
        >>> quoted("voices/")
        "'voices/'"
    """
    return repr(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…")


def counted(number: int, what: str) -> str:
    """A number of things that have a regular plural.

    Examples:
        >>> counted(1, "model"), counted(1000, "model")
        ('1 model', '1,000 models')
    """
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def duration(seconds: float) -> str:
    """A span of time, in its two largest units.

    Examples:
        >>> duration(0.4)
        '0 s'
        >>> duration(90)
        '1 min 30 s'
        >>> duration(7200)
        '2 h'
    """
    left = int(seconds)
    words: list[str] = []
    for length, name in _SPANS:
        count, left = divmod(left, length)
        if count and len(words) < 2:
            words.append(f"{count} {name}")
        elif words:
            break
    return " ".join(words) or "0 s"


def size(size_bytes: int) -> str:
    """A number of bytes.

    Examples:
        >>> size(3 << 29)
        '1.5 GiB'
    """
    power = min((max(size_bytes, 1).bit_length() - 1) // 10, len(_SIZES) - 1)
    return f"{size_bytes / (1 << 10 * power):.{1 if power else 0}f} {_SIZES[power]}"
