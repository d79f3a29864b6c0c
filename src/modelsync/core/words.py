"""Values in words, for reasons that people read."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

_LAST_SECOND = 253402300799  # of the year 9999
_NAMED = 5
_LONGEST = 120


def moment(seconds: float) -> str:
    """A time since the epoch.

    Examples:
        >>> moment(0.9)
        '1970-01-01 00:00:00 UTC'
    """
    return f"{datetime.fromtimestamp(int(min(max(seconds, 0), _LAST_SECOND)), UTC):%Y-%m-%d %H:%M:%S} UTC"


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
