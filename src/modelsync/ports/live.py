"""The stream of events, as whoever shows it sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from modelsync.core.live import Entry


class Subscription(Protocol):
    """One reader of the stream. Used by one thread."""

    def take(self) -> Sequence[Entry] | None:
        """What has come since the last call; None if the stream has ended, or went on too far without its reader."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class Subscribe(Protocol):
    """Begins to read the stream."""

    def __call__(self, wake: Callable[[], None], last_id: str | None, /) -> Subscription | None:
        """Subscribe.

        Args:
            wake: called by any thread when there is something to take; returns at once and never raises.
            last_id: the last event that the reader has seen; what came after it and is still known comes first.

        Returns:
            None if there are too many readers.
        """
        ...
