"""What is told of one model: what readers see, and why that is not what the bucket has, if so."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from modelsync.core.manifest import Published, Quarantine
from modelsync.core.names import ModelId
from modelsync.core.objects import Revision
from modelsync.core.rollout import Consumer, Rollout
from modelsync.core.words import moment


class State(StrEnum):
    """How a model stands; the label of a metric."""

    PUBLISHED = "published"
    """Readers see the newest version that is known of."""
    SYNCING = "syncing"
    """A worker is at it."""
    WAITING = "waiting"
    """The newest upload is not complete."""
    REJECTED = "rejected"
    """The newest version is refused; readers keep the one before it, if there is one."""
    FAILING = "failing"
    """The newest version could not be had; it is tried again."""
    GONE = "gone"
    """Readers still see it, but the bucket has it no more."""
    EVICTED = "evicted"
    """It was withdrawn to make room on the volume, and comes back when somebody syncs it by its name."""
    ABSENT = "absent"
    """Nothing is published, and nothing is known to be on its way."""


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """What a running service knows of a model.

    Attributes:
        model: its name.
        state: how it stands.
        revision: what readers see.
        published_at: since when, in seconds since the epoch.
        reason: why readers do not see what the bucket has, if so.
        event_at: when S3 says that the last change was made that an event told of.
        synced_at: when it was last found, or brought, in step with the bucket.
        lag_seconds: from S3's event time to its last publication that an event told of.
        pinned: it stays at its revision whatever the bucket has.
    """

    model: ModelId
    state: State
    revision: Revision | None = None
    published_at: float | None = None
    reason: str | None = None
    event_at: float | None = None
    synced_at: float | None = None
    lag_seconds: float | None = None
    pinned: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """The last version that was refused. `rejected_at`: seconds since the epoch; `path`: the file that is why."""

    revision: Revision
    rule: str
    reason: str
    rejected_at: float
    path: str | None = None


@dataclass(frozen=True, slots=True)
class KeptRevision:
    """A revision that is whole on the volume. `superseded_at`: until when readers saw it, if they did."""

    revision: Revision
    current: bool
    superseded_at: float | None = None


@dataclass(frozen=True, slots=True)
class ModelView:
    """A model as the API and `modelsync status` show it. Times are seconds since the epoch.

    Attributes:
        id: its name.
        revision: what readers see.
        state: how it stands.
        published_at: since when readers see it.
        reason: why readers do not see what the bucket has, if so.
        pinned: it stays at its revision whatever the bucket has.
        revisions: what is whole on the volume, the current one first, then the youngest.
        refusal: the last version that was refused, whatever became of it since.
        event_at: when S3 says that the last change was made that an event told of.
        synced_at: when it was last found, or brought, in step with the bucket; None while it is pinned.
        consumers: applications that have reported lately which revision they run; told of one model alone.
        rollout: how far the revision has come with them; None while none has reported.
        signer: who signed what readers see: the fingerprint of a key, or the subject of a certificate.
        unsigned: why that counts as signed by nobody, where signatures are asked for.
    """

    id: ModelId
    revision: Revision | None
    state: State
    published_at: float | None = None
    reason: str | None = None
    pinned: bool = False
    revisions: tuple[KeptRevision, ...] = ()
    refusal: Refusal | None = None
    event_at: float | None = None
    synced_at: float | None = None
    consumers: tuple[Consumer, ...] = ()
    rollout: Rollout | None = None
    signer: str | None = None
    unsigned: str | None = None


@dataclass(frozen=True, slots=True)
class ModelPage:
    """Some models in order of their names. `next`: what to ask for `after` to go on, or None at the end."""

    models: tuple[ModelView, ...]
    next: ModelId | None


def view_of(model: ModelId, published: Published, known: ModelStatus | None) -> ModelView:
    """Put together what volume and service know of a model.

    Args:
        model: its name.
        published: what the volume says: the truth about what readers see.
        known: what a running service knows beyond that: how it stands with the bucket.
    """
    current = published.current
    refusal = max(published.quarantined, key=lambda record: record.rejected_at, default=None)
    state, reason = (known.state, known.reason) if known else _by_volume(published, refusal)
    pin = current.pin if current else None
    return ModelView(
        id=model,
        revision=published.linked,
        state=state,
        published_at=current.published_at if current else None,
        reason=reason if pin is None else f"pinned: {pin}" + (f"; {reason}" if reason else ""),
        pinned=pin is not None,
        revisions=_revisions(published),
        refusal=_refusal(refusal) if refusal else None,
        event_at=known.event_at if known else None,
        synced_at=known.synced_at if known and pin is None else None,
        signer=current.signer if current else None,
        unsigned=current.unsigned if current else None,
    )


def _refusal(record: Quarantine) -> Refusal:
    path = record.file.path if record.file else record.mismatch.path if record.mismatch else None
    return Refusal(record.revision, record.rule, record.reason, record.rejected_at, path)


def _by_volume(published: Published, refusal: Quarantine | None) -> tuple[State, str | None]:
    """How a model stands as far as the volume alone can tell."""
    current = published.current
    if refusal and (current is None or refusal.rejected_at > current.published_at):
        return State.REJECTED, refusal.reason
    if published.linked is not None:
        return State.PUBLISHED, None
    if current is not None and current.evicted and current.unpublished_at is not None:
        return State.EVICTED, f"it was withdrawn to make room at {moment(current.unpublished_at)}: sync it by its name"
    if published.leftover:
        return State.WAITING, "its first download has begun"
    if current is not None and current.unpublished_at is not None:
        return State.ABSENT, f"it left the bucket, and its link was withdrawn at {moment(current.unpublished_at)}"
    return State.ABSENT, "no revision is published"


def _revisions(published: Published) -> tuple[KeptRevision, ...]:
    previous = published.current.previous if published.current else ()
    superseded = {old.revision: old.superseded_at for old in reversed(previous)}
    kept = [
        KeptRevision(revision, revision == published.linked, superseded.get(revision)) for revision in published.kept
    ]
    return tuple(sorted(kept, key=lambda one: (not one.current, -(one.superseded_at or 0.0), one.revision)))


def told(published: Published, known: ModelStatus | None) -> bool:
    """Whether there is anything to tell of a model: it is, or was, on the volume, or a service has seen it."""
    return known is not None or bool(
        published.current or published.linked or published.kept or published.quarantined or published.leftover
    )


def enriched(view: ModelView | None, live: ModelView | None) -> ModelView | None:
    """Add to what a volume tells of a model what a running service knows beyond that.

    A service that names another revision speaks of another volume, or of another moment: it is not heeded.
    """
    if live is None or live.revision != (view.revision if view else None):
        return view
    if view is None:
        return live
    return replace(view, state=live.state, reason=live.reason, event_at=live.event_at, synced_at=live.synced_at)


@dataclass(frozen=True, slots=True)
class Arrived:
    """Readers see the revision."""


@dataclass(frozen=True, slots=True)
class TurnedDown:
    """The revision was refused, and will be until something changes."""

    reason: str


@dataclass(frozen=True, slots=True)
class Underway:
    """Not yet: why."""

    reason: str


def arrival(
    view: ModelView | None, revision: Revision, refused_before: float | None
) -> Arrived | TurnedDown | Underway:
    """Judge whether a pushed revision has reached its readers.

    Args:
        view: what a worker says of the model; None: it does not know it.
        revision: what was pushed.
        refused_before: when the last version before the push was refused; None: none was, or nothing
            was uploaded, so that a refusal stands.
    """
    if view is None:
        return Underway("the worker does not know the model yet")
    if view.state is State.PUBLISHED and view.revision == revision:
        return Arrived()
    refusal = view.refusal
    if (
        view.state is State.REJECTED
        and refusal is not None
        and refusal.revision == revision
        and refusal.rejected_at != refused_before
    ):
        return TurnedDown(refusal.reason)
    sees = f"readers see {view.revision}" if view.revision else "readers see nothing"
    return Underway(f"{view.state}: {view.reason or sees}")
