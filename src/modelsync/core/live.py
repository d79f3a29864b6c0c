"""What a live page is sent, as it happens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelsync.core import facts
from modelsync.core.facts import Fact
from modelsync.core.names import ModelId
from modelsync.core.objects import Revision


@dataclass(frozen=True, slots=True)
class Entry:
    """One event of the stream.

    Attributes:
        number: counts all events of this process.
        kind: what it tells of.
        data: JSON.
        id: resumes the stream after it; None for what nobody need hear later.
    """

    number: int
    kind: str
    data: Mapping[str, Any]
    id: str | None = None


def sync_event(fact: Fact) -> dict[str, Any] | None:
    """A fact that changes how a model stands, as data of a `sync` event; None if it does not."""
    match fact:
        case facts.SyncStarted(model=model, sync_id=sync_id, why=why):
            return {"model": model, "sync_id": sync_id, "state": "syncing", "reason": why}
        case facts.SyncFinished(model=model, sync_id=sync_id, outcome=outcome, reason=reason, seconds=seconds):
            return {
                "model": model,
                "sync_id": sync_id,
                "state": outcome.value,
                "reason": reason,
                "seconds": round(seconds, 3),
            }
        case _:
            return None


@dataclass(frozen=True, slots=True)
class Transfer:
    """How far a revision's bytes have come. `told_at`: when that was last told, by a monotonic clock."""

    model: ModelId
    revision: Revision
    sync_id: str
    size_bytes: int
    have_bytes: int = 0
    told_at: float = float("-inf")

    @property
    def complete(self) -> bool:
        """Whether all bytes are there."""
        return self.have_bytes >= self.size_bytes

    def event(self) -> dict[str, Any]:
        """Data of a `progress` event."""
        return {
            "model": self.model,
            "revision": self.revision,
            "sync_id": self.sync_id,
            "size_bytes": self.size_bytes,
            "have_bytes": self.have_bytes,
        }
