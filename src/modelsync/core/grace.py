"""How the time to end in is shared out."""

from __future__ import annotations

from dataclasses import dataclass

_PARK_SECONDS = 3.0  # parking downloads and returning messages
TELL_SECONDS = 5.0
"""At most so long notices that wait are handed over."""


@dataclass(frozen=True, slots=True)
class Grace:
    """Seconds from the beginning of the end.

    Attributes:
        park_seconds: when running syncs are parked.
        work_seconds: when they, and all else but the notices, have to be over.
    """

    park_seconds: float
    work_seconds: float


def share(grace_seconds: float, *, telling: bool) -> Grace:
    """Share out the grace: what ends with the work must leave time to tell of it.

    Args:
        grace_seconds: all of it.
        telling: somebody is to be told.
    """
    tell_seconds = min(TELL_SECONDS, grace_seconds / 4) if telling else 0.0
    work_seconds = grace_seconds - tell_seconds
    return Grace(work_seconds - min(_PARK_SECONDS, work_seconds / 2), work_seconds)
