"""Which consumers run which revision, as they report it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from modelsync.core.objects import Revision


@dataclass(frozen=True, slots=True)
class Consumer:
    """An application that uses a model. `reported_at`: seconds since the epoch."""

    name: str
    revision: Revision
    reported_at: float


@dataclass(frozen=True, slots=True)
class Rollout:
    """How far a revision has come.

    Attributes:
        consumers: how many have reported lately.
        current: how many of them run what readers see.
        complete: all of them do, and there is one.
    """

    consumers: int
    current: int
    complete: bool


def rollout(consumers: Iterable[Consumer], revision: Revision | None) -> Rollout:
    """Judge how far the revision that readers see has come.

    Args:
        consumers: those that count.
        revision: what readers see.
    """
    known = list(consumers)
    current = sum(consumer.revision == revision for consumer in known)
    return Rollout(len(known), current, complete=0 < current == len(known))
