"""What applications and people are told: notices of what readers see or will not see, and the log of activity."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import quote

from modelsync.core import facts
from modelsync.core.facts import Fact, Outcome
from modelsync.core.names import ModelId
from modelsync.core.objects import Revision
from modelsync.core.words import instant

CONTENT_TYPE = "application/cloudevents+json"
HOOK_VARIABLES = frozenset(
    f"MODELSYNC_{name}"
    for name in (
        "EVENT",
        "MODEL",
        "REVISION",
        "PREVIOUS",
        "PATH",
        "REASON",
        "RULE",
        "PINNED",
        "ROLLED_BACK",
        "NOTICE_ID",
        "TIME",
        "SOURCE",
    )
)
"""What commands that we run find in their environment. They may run modelsync itself."""


class Happening(StrEnum):
    """What a notice tells of."""

    PUBLISHED = "published"
    """Readers see the revision from now on."""
    REJECTED = "rejected"
    """The revision is refused; readers keep what they have."""
    UNPUBLISHED = "unpublished"
    """Readers see the model no more; the revision is what they saw last."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that applications are told.

    Attributes:
        id: unique, and the same however often it is sent.
        at: when it happened, in seconds since the epoch.
        previous: for `published`: what readers saw before.
        rule: for `rejected`: the rule that refused it.
        event_at: for `published`: when S3 says the change was made, if an event told of it.
        files, size_bytes: for `published`.
        signer: for `published`: who signed it, if that was asked for.
        pinned: for `published`: it stays so whatever the bucket has.
        rolled_back: for `published`: an operator went back to it.
    """

    id: str
    happening: Happening
    model: ModelId
    revision: Revision
    at: float
    reason: str
    previous: Revision | None = None
    rule: str | None = None
    event_at: float | None = None
    files: int | None = None
    size_bytes: int | None = None
    signer: str | None = None
    pinned: bool | None = None
    rolled_back: bool | None = None


def notice_of(fact: Fact, now: float) -> Notice | None:
    """What applications are told of a fact, if anything.

    Args:
        fact: what happened.
        now: seconds since the epoch, for facts without a time of their own.
    """
    match fact:
        case facts.Published() as done:
            return Notice(
                id=_id(Happening.PUBLISHED, done.model, done.revision, done.published_at),
                happening=Happening.PUBLISHED,
                model=done.model,
                revision=done.revision,
                at=done.published_at,
                reason=done.reason,
                previous=done.previous,
                event_at=done.event_at,
                files=done.files,
                size_bytes=done.size_bytes,
                signer=done.signer,
                pinned=done.pinned,
                rolled_back=done.rolled_back,
            )
        case facts.RevisionRejected(model, revision, sync_id, rule, reason):
            name = _id(Happening.REJECTED, model, revision, sync_id, now)
            return Notice(name, Happening.REJECTED, model, revision, now, reason, rule=rule)
        case facts.Unpublished(model, revision, sync_id, reason):
            name = _id(Happening.UNPUBLISHED, model, revision, sync_id, now)
            return Notice(name, Happening.UNPUBLISHED, model, revision, now, reason)
        case facts.ModelEvicted(model, revision, reason):
            name = _id(Happening.UNPUBLISHED, model, revision, now)
            return Notice(name, Happening.UNPUBLISHED, model, revision, now, reason)
        case _:
            return None


def sighting(seen: facts.PublicationSeen) -> Notice:
    """The notice of a publication that another process made: with the id that it has there."""
    return Notice(
        id=_id(Happening.PUBLISHED, seen.model, seen.revision, seen.published_at),
        happening=Happening.PUBLISHED,
        model=seen.model,
        revision=seen.revision,
        at=seen.published_at,
        reason=f"{'rolled back' if seen.rolled_back else 'published'} by another process; found by a comparison",
        previous=seen.previous,
        pinned=seen.pinned,
        rolled_back=seen.rolled_back,
    )


def _id(*parts: object) -> str:
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose notices they are. `source`: bucket and prefix as a URL; `volume`: where models are linked, as a path."""

    source: str
    volume: str

    def path(self, model: ModelId) -> str:
        """What applications open."""
        return f"{self.volume.rstrip('/')}/{model}"


def cloud_event(notice: Notice, origin: Origin) -> dict[str, Any]:
    """A notice as a CloudEvents 1.0 event, in structured mode.

    Source: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
    """
    published = notice.happening is Happening.PUBLISHED
    data = {
        "model": notice.model,
        "revision": notice.revision,
        "previous": notice.previous,
        "path": origin.path(notice.model),
        "reason": notice.reason,
        "rule": notice.rule,
        "published_at": rfc3339(notice.at) if published else None,
        "event_at": None if notice.event_at is None else rfc3339(notice.event_at),
        "files": notice.files,
        "size_bytes": notice.size_bytes,
        "signer": notice.signer,
        "pinned": notice.pinned,
        "rolled_back": notice.rolled_back,
    }
    return {
        "specversion": "1.0",
        "id": notice.id,
        "source": quote(origin.source, safe="/:~", errors="surrogateescape"),
        "type": f"io.modelsync.model.{notice.happening}",
        "subject": notice.model,
        "time": rfc3339(notice.at),
        "datacontenttype": "application/json",
        "data": {name: value for name, value in data.items() if value is not None},
    }


def hook_variables(notice: Notice, origin: Origin) -> dict[str, str]:
    """A notice as the environment of a command."""
    values = {
        "EVENT": notice.happening.value,
        "MODEL": notice.model,
        "REVISION": notice.revision,
        "PREVIOUS": notice.previous or "",
        "PATH": origin.path(notice.model),
        "REASON": notice.reason,
        "RULE": notice.rule or "",
        "NOTICE_ID": notice.id,
        "TIME": rfc3339(notice.at),
        "SOURCE": origin.source,
        "PINNED": _flag(notice.pinned),
        "ROLLED_BACK": _flag(notice.rolled_back),
    }
    return {f"MODELSYNC_{name}": value for name, value in values.items()}


def _flag(value: bool | None) -> str:  # noqa: FBT001 - None: it does not apply
    return "" if value is None else str(value).lower()


def rfc3339(seconds: float) -> str:
    """Seconds since the epoch as a time in UTC, to the millisecond."""
    return instant(seconds).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Activity:
    """One line of the log of activity. `at`: seconds since the epoch; `model`: None where it is not of one model."""

    at: float
    kind: str
    reason: str
    model: ModelId | None = None
    revision: Revision | None = None


def activity_of(fact: Fact, now: float) -> Activity | None:  # noqa: C901, PLR0912 - one case for each kind of fact
    """What people see of a fact in the log of activity, if anything."""
    notice = sighting(fact) if isinstance(fact, facts.PublicationSeen) else notice_of(fact, now)
    if notice is not None:
        return Activity(notice.at, notice.happening, notice.reason, notice.model, notice.revision)
    match fact:
        case facts.SyncFinished(model=model, outcome=Outcome.ERROR, reason=reason, revision=revision):
            return Activity(now, "failed", reason, model, revision)
        case facts.SyncFinished(model=model, overdue=True, reason=reason):
            return Activity(now, "overdue", reason, model)
        case facts.FetchStarted(model=model, revision=revision, reason=reason):
            return Activity(now, "downloading", reason, model, revision)
        case facts.Pinned(model=model, revision=revision, pin=pin):
            return Activity(now, "pinned", pin, model, revision)
        case facts.Unpinned(model=model, revision=revision, reason=reason):
            return Activity(now, "unpinned", reason, model, revision)
        case facts.ModelGone(model=model, reason=reason):
            return Activity(now, "gone", reason, model)
        case facts.ModelBack(model=model):
            return Activity(now, "back", "it is in the bucket again", model)
        case facts.DamageFound(model=model, revision=revision, finding=finding):
            return Activity(now, "damaged", str(finding), model, revision)
        case facts.ReconcileFailed(reason=reason):
            return Activity(now, "reconcile failed", reason)
        case facts.ServiceStarted(version=version):
            return Activity(now, "started", f"version {version}")
        case facts.ServiceStopping(reason=reason):
            return Activity(now, "stopping", reason)
        case _:
            return None
