"""A queue of events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Message:
    """One delivery of a queue message. `receipt` names the delivery, not the message."""

    receipt: str
    body: str
    receive_count: int = 1


class Queue(Protocol):
    """A queue with visibility time-outs and at-least-once delivery, as SQS is.

    Raises, from every method:
        QueueUnavailable: try again.
        QueueMissing: there is no such queue.
    """

    @property
    def name(self) -> str:
        """The queue's name in logs, metrics and health."""
        ...

    @property
    def visibility_seconds(self) -> float:
        """For how long a received message stays hidden from others."""
        ...

    @property
    def redrives(self) -> bool | None:
        """Whether a message that is received too often is moved to another queue; None if `check` could not see it."""
        ...

    def check(self) -> None:
        """Ask whether the queue can be used."""
        ...

    def receive(self, most: int) -> Sequence[Message]:
        """Wait for messages, some seconds at the longest, and take at most `most` (1 to 10)."""
        ...

    def delete(self, messages: Sequence[Message]) -> None:
        """Delete deliveries. One that is no longer ours is passed over."""
        ...

    def hide(self, messages: Sequence[Message], seconds: float) -> Sequence[Message]:
        """Hide deliveries for so long from now on; 0 returns them at once.

        Returns:
            Those that are no longer ours: another worker may own them.
        """
        ...
