"""How the sync of one model ended."""

from __future__ import annotations

from dataclasses import dataclass

from modelsync.core.facts import Outcome
from modelsync.core.manifest import Published
from modelsync.core.objects import Revision
from modelsync.core.plan import Build, Decision, Gone, Leave, Noop, Refuse, Switch, Unpublish, Wait
from modelsync.errors import ModelSyncError


@dataclass(frozen=True)
class SyncResult:
    """How a sync ended.

    Attributes:
        outcome: in a word.
        reason: in a sentence.
        revision: what readers see, or what was refused.
        wait_seconds: when to come back, a better guess than backoff.
        overdue: for outcome `waiting`: it waits for what should have come long ago.
        error: what failed, for outcome `error`.
    """

    outcome: Outcome
    reason: str
    revision: Revision | None = None
    wait_seconds: float | None = None
    overdue: bool = False
    error: ModelSyncError | None = None


def as_result(decision: Decision, on_volume: Published | None = None) -> SyncResult:
    """A decision that asks for no work, or none that may be done, as a result."""
    match decision:
        case Wait(reason=reason, seconds=seconds, overdue=overdue):
            return SyncResult(Outcome.WAITING, reason, wait_seconds=seconds, overdue=overdue)
        case Refuse(revision=revision, reason=reason):
            return SyncResult(Outcome.REJECTED, reason, revision)
        case Build(revision=revision, reason=reason) | Switch(revision=revision, reason=reason):
            return SyncResult(Outcome.SUCCESS, reason, revision)
        case Noop(reason=reason) | Gone(reason=reason) | Leave(reason=reason) | Unpublish(reason=reason):
            return SyncResult(Outcome.NOOP, reason, on_volume.linked if on_volume else None)
