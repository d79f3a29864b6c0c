"""When a model that left the bucket is withdrawn from its readers, and when that is refused.

A model goes in two steps: the first listing without it sets a tombstone, and once the grace is
over another one confirms it. All models pass one breaker: if too many would go at once, none goes.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from modelsync.core.manifest import Current, Published
from modelsync.core.plan import Gone, Leave, Noop, Unpublish
from modelsync.core.words import moment, some

_LEAST_WINDOW_SECONDS = 3600.0
"""Models that went one after the other within this time went at once, however short the grace is."""


class Policy(StrEnum):
    """What becomes of models that left the bucket."""

    KEEP = "keep"
    UNPUBLISH = "unpublish"


@dataclass(frozen=True, slots=True)
class DeletionRules:
    """What deletions go by.

    Attributes:
        policy: what becomes of models that left the bucket.
        grace_seconds: from the first listing without a model to its withdrawal.
        max_fraction: the largest share of the published models that may go at once.
    """

    policy: Policy = Policy.UNPUBLISH
    grace_seconds: float = 3600.0
    max_fraction: float = 0.3

    @property
    def window_seconds(self) -> float:
        """What goes within this time goes at once."""
        return max(self.grace_seconds, _LEAST_WINDOW_SECONDS)


def depart(published: Published, *, now: float, rules: DeletionRules) -> Gone | Noop | Leave | Unpublish:
    """Decide about a model that a complete listing does not have.

    Args:
        published: the model on the volume.
        now: seconds since the epoch.
        rules: what deletions go by.
    """
    current = published.current
    if current is None or (current.unpublished_at is not None and published.linked is None):
        return Gone("no weight file in the bucket" + (": what is published stays" if published.linked else ""))
    if current.pin is not None:
        return Noop(f"pinned to {current.revision}: {current.pin}; the bucket has it no more")
    known = current.gone_since is not None and current.gone_since <= now
    since = current.gone_since if current.gone_since is not None and known else now
    left = f"it left the bucket, seen first at {moment(since)}"
    if published.linked is None:
        return Unpublish(current.revision, f"{left}; its link is gone already", since, visible=False)
    if rules.policy is Policy.KEEP:
        return Leave(f"{left}; DELETE_POLICY=keep leaves it to its readers", since, known=known)
    due = since + rules.grace_seconds
    if known and now >= due:
        return Unpublish(current.revision, left, since)
    reason = f"{left}; unless it comes back, its link is withdrawn after {moment(due)}"
    return Leave(reason, since, known=known, seconds=due - now)


def lapsed(published: Published) -> bool:
    """Whether a model that a complete listing does not have leaves something to clear: what nobody will use any more.

    That is what was staged of it, and a record by which it could come back from the bucket.
    """
    current = published.current
    withdrawn = current is not None and current.unpublished_at is not None and published.linked is None
    return published.leftover or (current is not None and withdrawn and (current.evicted or current.gone_since is None))


@dataclass(frozen=True, slots=True)
class Review:
    """What all deletions together come to.

    Attributes:
        gone: models that readers see and the bucket has no more, without pinned ones.
        missing: the most that were gone at once since deletions are held back; 0 while they are not.
        held: why none of them is withdrawn, or None if they may be.
        summary: the state in a sentence.
    """

    gone: int
    missing: int
    held: str | None
    summary: str


def review(
    records: Collection[Current], *, now: float, rules: DeletionRules, missing: int = 0, bucket_empty: bool = False
) -> Review:
    """Decide whether models may be withdrawn.

    No more than `max_fraction` of the models that readers saw at the start of the window go within
    it; one by itself may, as long as others stay. Models that are all gone stay all: an empty
    bucket is a mistake more often than a wish. Once held back, deletions stay so until the bucket
    has all of the models again, or the fraction allows for as many as were gone.

    Args:
        records: of all models on the volume.
        now: seconds since the epoch.
        rules: what deletions go by.
        missing: of the review before.
        bucket_empty: the last complete listing had no model at all.
    """
    published = [record for record in records if record.unpublished_at is None]
    gone = [record.model for record in published if record.gone_since is not None and record.pin is None]
    if bucket_empty and published:
        held = (
            f"the bucket has no model, {len(published)} are published: none is withdrawn; check S3_BUCKET_NAME,"
            " S3_PREFIX, MODEL_DEPTH and MODEL_FILE_EXTENSIONS"
        )
        return Review(len(gone), max(missing, len(gone)), held, held)
    if not gone:
        return Review(0, 0, None, "no published model has left the bucket")
    told = f"{len(gone)} of {len(published)} published models left the bucket ({some(gone)})"
    if rules.policy is Policy.KEEP:
        return Review(len(gone), 0, None, f"{told}: kept, by DELETE_POLICY=keep")
    if len(gone) == len(published):
        held = (
            f"{told}: none is withdrawn, for an empty bucket is never taken for a deletion; upload them again, or"
            " remove their links by hand"
        )
        return Review(len(gone), max(missing, len(gone)), held, held)
    left = (record.unpublished_at for record in records if not record.evicted)
    went = sum(1 for at in left if _within(at, now - rules.window_seconds))
    share = (max(len(gone), missing) + went) / (len(published) + went)
    if max(len(gone), missing) + went > 1 and share > rules.max_fraction:
        earlier = f", {went} were withdrawn since {moment(now - rules.window_seconds)}" if went else ""
        most = f", {missing} were missing at once" if missing > len(gone) else ""
        held = (
            f"{told}{earlier}{most}: more than DELETE_MAX_FRACTION={rules.max_fraction:g}, none is withdrawn; upload"
            f" them again, or set DELETE_MAX_FRACTION to {math.ceil(share * 100) / 100:g} or more if they are to go"
        )
        return Review(len(gone), max(missing, len(gone)), held, held)
    return Review(len(gone), 0, None, f"{told}: withdrawn after their grace")


def _within(moment_seconds: float | None, start: float) -> bool:
    return moment_seconds is not None and moment_seconds >= start
