"""Which revisions stay on the volume, and why the others go: a total function that explains itself.

After `ApplyPolicy` of restic (internal/restic/snapshot_policy.go): everything that is looked at gets a verdict.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from modelsync.core.layout import QUARANTINE, REVISIONS, STAGING
from modelsync.core.manifest import Current
from modelsync.core.names import ModelId
from modelsync.core.objects import Revision
from modelsync.core.words import duration


@dataclass(frozen=True, slots=True)
class RetentionRules:
    """What is kept.

    Attributes:
        keep: revisions per model beside the one that readers see.
        stale_seconds: least time between a revision's last day and its removal, for readers that hold no lease.
        evict_current: what readers see may be withdrawn for space, for volumes that are caches.
    """

    keep: int = 2
    stale_seconds: float = 900.0
    evict_current: bool = False


class Kind(StrEnum):
    """What a directory is: it stands in the folder of that name."""

    REVISION = REVISIONS
    STAGED = STAGING
    REFUSED = QUARANTINE


@dataclass(frozen=True, slots=True)
class Holding:
    """A directory of a revision.

    Attributes:
        model, revision: what it holds.
        name: the directory's; a revision that was built anew has several.
        kind: complete, in progress, or kept of a refusal.
        made_at: when it was last put together or set aside, in seconds since the epoch.
        linked: readers see it.
        whole: it can be used; else it was found damaged.
        leased: a reader holds a lease on it.
        renamed: it was renamed away to be removed, and is no revision any more.
        size_bytes: what its removal frees by itself, as far as that is known.
        shared_bytes: what other revisions have too, by hard links: it is freed with the last of them.
        used_at: when it was last seen in use; 0: not known.
    """

    model: ModelId
    revision: Revision
    name: str
    made_at: float
    linked: bool = False
    whole: bool = True
    leased: bool = False
    renamed: bool = False
    size_bytes: int = 0
    used_at: float = 0.0
    shared_bytes: int = 0
    kind: Kind = Kind.REVISION

    @property
    def place(self) -> str:
        """Where it is, below what is kept of its model."""
        return f"{self.kind}/{self.name}"


@dataclass(frozen=True, slots=True)
class Holdings:
    """What the volume has of one model.

    Attributes:
        current: its record; None if there is none or it cannot be read.
        directories: of its revisions.
        changed_at: when its link was made or its record written, whatever came last, by the file system's clock.
    """

    current: Current | None
    directories: tuple[Holding, ...] = ()
    changed_at: float = 0.0


class Why(StrEnum):
    """Why a revision is removed, as metrics tell it."""

    SUPERSEDED = "superseded"
    DAMAGED = "damaged"
    SPACE = "space"
    INTERRUPTED = "interrupted"


class Rank(StrEnum):
    """What goes first when space is needed, in this order."""

    REFUSED = "0 refused"
    SUPERSEDED = "1 superseded"
    GONE = "2 gone"
    CURRENT = "3 current"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a directory.

    Attributes:
        holding: the directory.
        reason: for people.
        remove: why it goes; None: it stays.
        rank: it may go if space is needed.
        leaving: it was withdrawn for space, and goes when its readers had their time.
    """

    holding: Holding
    reason: str
    remove: Why | None = None
    rank: Rank | None = None
    leaving: bool = False


def retain(found: Holdings, rules: RetentionRules, *, now: float) -> list[Verdict]:
    """Judge all directories of one model, in their order; `now` in seconds since the epoch."""
    current = found.current
    superseded = sorted(
        (
            held
            for held in found.directories
            if _is_revision(held) and held.whole and not held.linked and not _last(current, held)
        ),
        key=lambda held: (ended_at(found, held), held.made_at, held.name),
        reverse=True,
    )
    kept = {held.name for held in superseded[: rules.keep]}
    return [_verdict(found, held, rules, now=now, counted=held.name in kept) for held in found.directories]


def make_room(verdicts: Iterable[Verdict], need_bytes: int) -> list[Verdict]:
    """Have more go, least recently used first, until so much is freed or nothing more may go.

    Args:
        verdicts: of all models, sizes filled in where there is a rank, and where it is leaving.
        need_bytes: what is to be freed, beside what goes anyway.
    """
    found = list(verdicts)
    leaving_bytes = sum(item.holding.size_bytes for item in found if item.leaving)
    order = sorted(
        (item for item in found if item.rank is not None),
        key=lambda item: (item.rank or "", item.holding.used_at, item.holding.model, item.holding.place),
    )
    chosen = set()
    for item in order:
        # What readers see stays while what was withdrawn before it is still to be freed.
        if need_bytes <= (leaving_bytes if item.rank is Rank.CURRENT else 0):
            break
        chosen.add((item.holding.model, item.holding.place))
        need_bytes -= item.holding.size_bytes
    return [
        replace(item, reason=f"space is needed: {item.reason}", remove=Why.SPACE, rank=None)
        if (item.holding.model, item.holding.place) in chosen
        else item
        for item in found
    ]


def forgettable(found: Holdings) -> bool:
    """Whether a model left the bucket and its readers, and nothing is left of it that could be of use."""
    current = found.current
    if current is not None and current.evicted:
        return False  # whoever wants it back asks for it
    left = current is not None and current.unpublished_at is not None and current.gone_since is not None
    return left and all(held.kind is Kind.REFUSED for held in found.directories)


def ended_at(found: Holdings, held: Holding) -> float:
    """When readers saw a directory last, as far as is known: then its clock starts.

    It is the latest moment that anything tells of. A worker's clock wrote the record; directories have the file
    server's.
    """
    current = found.current
    if current is None:  # if it was lost, nobody can say when this one was superseded: not after the last change
        return max(held.made_at, found.changed_at)
    ends = [old.superseded_at for old in current.previous if old.revision == held.revision]
    if current.revision == held.revision:
        ends.append(current.unpublished_at or current.published_at)
        if not held.whole:  # a repair that died before its record was written has switched the link
            ends.append(found.changed_at)
    if not held.whole or not ends:
        ends.append(held.made_at)
    return max(ends)


def _on_record(current: Current | None, held: Holding) -> bool:
    """Whether it is of the revision on record: what readers see, or saw last."""
    return current is not None and _is_revision(held) and held.revision == current.revision


def _last(current: Current | None, held: Holding) -> bool:
    """The same of one that can be used."""
    return held.whole and _on_record(current, held)


def _is_revision(held: Holding) -> bool:
    return held.kind is Kind.REVISION and not held.renamed


def _verdict(found: Holdings, held: Holding, rules: RetentionRules, *, now: float, counted: bool) -> Verdict:
    if not _is_revision(held):
        return _no_revision(held, now=now)
    current = found.current
    published = current is not None and current.unpublished_at is None
    if held.linked or (published and _last(current, held)):
        if current is not None and current.pin is not None:
            return Verdict(held, f"readers see it, pinned: {current.pin}")
        # After a crash between link and record this is not what the record would say was withdrawn, and its readers
        # would have no time: first a sync mends that.
        settled = (
            current is not None
            and published
            and _on_record(current, held)
            and now - current.published_at >= rules.stale_seconds
        )
        may_go = rules.evict_current and held.linked and not held.leased and settled
        return Verdict(held, "readers see it", rank=Rank.CURRENT if may_go else None)
    if held.leased:
        return Verdict(held, "a reader holds a lease on it")
    evicted = current is not None and current.evicted and _on_record(current, held)
    age = now - ended_at(found, held)
    since = f"{duration(max(age, 0.0))} ago"
    if age < rules.stale_seconds:
        reason = f"out of use since {since}, and kept for {duration(rules.stale_seconds)}"
        return Verdict(held, reason, leaving=evicted)
    if not held.whole:
        return Verdict(held, f"set aside as damaged, {since}", Why.DAMAGED)
    if evicted:
        return Verdict(held, f"withdrawn to make room, {since}", Why.SPACE)
    if _last(current, held):
        return Verdict(held, f"the model left the bucket; withdrawn {since}", rank=Rank.GONE)
    if counted:
        return Verdict(held, f"one of the last {rules.keep}, superseded {since}", rank=Rank.SUPERSEDED)
    return Verdict(held, f"superseded {since}, and no more one of the last {rules.keep}", Why.SUPERSEDED)


def _no_revision(held: Holding, *, now: float) -> Verdict:
    if held.renamed:
        return Verdict(held, "its removal was interrupted", Why.INTERRUPTED)
    if held.kind is Kind.REFUSED:
        return Verdict(held, "kept of a refusal, to be looked into", rank=Rank.REFUSED)
    # Whether the bucket still has it is for a sync to find out, which goes on with it or clears it.
    return Verdict(held, f"a download in progress or parked, begun {duration(max(now - held.made_at, 0.0))} ago")
