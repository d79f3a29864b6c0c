"""Whether the bucket's changes reach a queue."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from modelsync.core.doctor.findings import Finding, failed, ok, skipped, warning
from modelsync.core.names import Naming
from modelsync.core.words import duration, quoted
from modelsync.errors import ModelSyncError, NotOffered

_CREATED = (
    "ObjectCreated:Put",
    "ObjectCreated:Post",
    "ObjectCreated:Copy",
    "ObjectCreated:CompleteMultipartUpload",
)
_REMOVED = ("ObjectRemoved:Delete", "ObjectRemoved:DeleteMarkerCreated")
_SEND = "have the bucket send s3:ObjectCreated:* and s3:ObjectRemoved:*"


@dataclass(frozen=True, slots=True)
class Rule:
    """One destination of a bucket's events.

    Attributes:
        kind: `queue`, `topic` or `function`.
        arn: the destination.
        events: names, such as `s3:ObjectCreated:*`.
        prefix: only keys that start with it.
        suffix: only keys that end with it.
    """

    kind: str
    arn: str
    events: tuple[str, ...]
    prefix: str = ""
    suffix: str = ""

    def covers(self, event: str, prefix: str, ending: str) -> bool:
        """Whether it takes such an event of every key with this prefix and ending."""
        return self.takes(event) and prefix.startswith(self.prefix) and ending.endswith(self.suffix)

    def takes(self, event: str) -> bool:
        """Whether it takes such an event of any key."""
        names = (name.removeprefix("s3:") for name in self.events)
        return any(name == event or (name.endswith("*") and event.startswith(name[:-1])) for name in names)


@dataclass(frozen=True)
class Notification:
    """Where a bucket sends its events. `event_bridge`: to EventBridge too."""

    rules: tuple[Rule, ...] = ()
    event_bridge: bool = False


def judge_notification(
    notification: Notification | ModelSyncError, *, url: str, arn: str, naming: Naming, reconcile_seconds: float
) -> Finding:
    """Judge whether the events of our keys reach a queue.

    Args:
        notification: what the bucket is set to.
        url: the queue's address.
        arn: its name; empty: not known.
        naming: which keys are ours.
        reconcile_seconds: time between comparisons, which see what no event told; 0: there are none.
    """
    name = "notification"
    if isinstance(notification, NotOffered):
        return skipped(name, str(notification), "allow s3:GetBucketNotification on the bucket to have this checked")
    if isinstance(notification, ModelSyncError):
        return skipped(name, f"not known: {notification}")
    direct = [rule for rule in notification.rules if rule.kind == "queue" and _is_of(rule.arn, url, arn)]
    if not direct:
        return _roundabout(notification, name)
    created = list(_missing(direct, _CREATED, naming))
    removed = list(_missing(direct, _REMOVED, naming))
    wanted = _endings(naming)
    if len(created) == len(_CREATED) * len(wanted):
        return failed(name, _why_none(direct, naming), f"{_SEND}, with no filter narrower than {_filter(naming)}")
    otherwise = (
        f"they are seen by the comparison alone, every {duration(reconcile_seconds)}"
        if reconcile_seconds
        else "nothing else sees them, since RECONCILE_INTERVAL_SECONDS=0"
    )
    if created or removed:
        advice = f"{_SEND}, with no filter narrower than {_filter(naming)}"
        return warning(name, f"no event tells of {_gap(created, removed, wanted)}: {otherwise}", advice)
    return ok(name, f"the bucket sends what is created and removed below {_filter(naming)} to this queue")


def _roundabout(notification: Notification, name: str) -> Finding:
    """There is no direct way to the queue: tell of others."""
    topics = [rule.arn for rule in notification.rules if rule.kind == "topic"]
    if topics or notification.event_bridge:
        via = [f"the SNS topic {quoted(arn)}" for arn in topics] + ["EventBridge"] * notification.event_bridge
        advice = "see that a subscription or rule there leads to this queue, for created and removed objects"
        return warning(
            name,
            f"the bucket sends events to {' and '.join(via)}, not to this queue itself: where they go from there"
            " cannot be seen",
            advice,
        )
    others = [quoted(rule.arn) for rule in notification.rules]
    found = f"the bucket sends events to {', '.join(others[:3])} only" if others else "the bucket sends no events"
    return failed(name, found, f"{_SEND} to this queue, whose policy must let it (docs/troubleshooting.md)")


def _is_of(named: str, url: str, arn: str) -> bool:
    """Whether a destination is the queue: by its name, else by account and name, which the address ends in."""
    return named == arn if arn else named.split(":")[-2:] == urlsplit(url).path.split("/")[-2:]


def _endings(naming: Naming) -> tuple[str, ...]:
    return (*naming.weight_extensions, *naming.companion_extensions, f"/{naming.commit_file}")


def _missing(rules: Iterable[Rule], events: Iterable[str], naming: Naming) -> Iterator[tuple[str, str]]:
    """Each event and ending that no rule covers."""
    rules = list(rules)
    for event in events:
        for ending in _endings(naming):
            if not any(rule.covers(event, naming.prefix, ending) for rule in rules):
                yield event, ending


def _why_none(rules: list[Rule], naming: Naming) -> str:
    if not any(rule.takes(event) for rule in rules for event in _CREATED):
        return "the bucket sends this queue no events of created objects"
    narrow = ", ".join(f"prefix {quoted(rule.prefix)} and suffix {quoted(rule.suffix)}" for rule in rules[:3])
    return f"the bucket sends this queue only events of keys with {narrow}, which does not cover {_filter(naming)}"


def _gap(created: list[tuple[str, str]], removed: list[tuple[str, str]], wanted: tuple[str, ...]) -> str:
    """What is not told: by endings where they make the difference, by events where these do."""
    if not created and len(removed) == len(_REMOVED) * len(wanted):
        return "removed objects"
    missing = created + removed
    endings = dict.fromkeys(ending.removeprefix("/") for _, ending in missing)
    if len(endings) < len(wanted):
        return f"changes of files like {', '.join(endings)}"
    return ", ".join(dict.fromkeys(event for event, _ in missing))


def _filter(naming: Naming) -> str:
    return quoted(naming.prefix) if naming.prefix else "the whole bucket"
