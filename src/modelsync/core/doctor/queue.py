"""What a queue is set to, and what it allows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from modelsync.core.doctor.findings import Finding, failed, failure, ok, skipped, warning
from modelsync.core.health import NO_REDRIVE, NO_REDRIVE_ADVICE
from modelsync.core.words import counted, duration, quoted
from modelsync.errors import ConfigurationError, ModelSyncError, NotOffered

_HOST = re.compile(r"sqs\.([a-z0-9-]+)\.amazonaws\.com(\.cn)?|([a-z0-9-]+)\.queue\.amazonaws\.com")
_LEAST_VISIBILITY_SECONDS = 10
_MOST_VISIBILITY_SECONDS = 3600
_LEAST_RECEIVES = 5
_LEAST_RETENTION_SECONDS = 3600
_BACKLOG = 1000
_SETTINGS = "settings"
_MANAGED_KEY = "alias/aws/sqs"
_UNREACHED = "check AWS_ENDPOINT_URL_SQS, DNS, proxies and network policies between this pod and SQS"


@dataclass(frozen=True, slots=True)
class QueueState:
    """A queue's attributes.

    Attributes:
        arn: its name for the bucket's notification; empty if the store gives none.
        visibility_seconds: for how long a received message stays hidden.
        redrives: it has a redrive policy.
        most_receives: after so many receives a message is moved; None: not known.
        retention_seconds: for how long it keeps messages; None: not known.
        waiting: messages that wait.
        in_flight: messages received and not deleted yet.
        kms_key: that encrypts it; None: no key of KMS.
    """

    arn: str
    visibility_seconds: float
    redrives: bool
    most_receives: int | None = None
    retention_seconds: float | None = None
    waiting: int = 0
    in_flight: int = 0
    kms_key: str | None = None


def region_of(url: str) -> str | None:
    """The region in a queue's address on AWS; None elsewhere."""
    found = _HOST.fullmatch(urlsplit(url).hostname or "")
    return (found[1] or found[3]) if found else None


def judge_queue(state: QueueState | ModelSyncError, url: str, variable: str, *, region: str, on_aws: bool) -> Finding:
    """Judge whether there is such a queue, and whether messages pile up in it.

    Args:
        state: its attributes; NotOffered: they may not be read.
        url: its address.
        variable: that sets it.
        region: that requests go to.
        on_aws: no endpoint of one's own is set.
    """
    name = "queue"
    said = region_of(url)
    if on_aws and said not in {None, region}:
        return failed(
            name, f"{variable} is in region {said}, but requests go to {region}", "use a queue in the bucket's region"
        )
    if urlsplit(url).path.endswith(".fifo"):
        return failed(name, "it is a FIFO queue, and S3 sends events to none of that kind", "use a standard queue")
    if isinstance(state, NotOffered):
        return warning(
            name,
            "its settings may not be read: the worker hides messages by a time-out of its own",
            "allow sqs:GetQueueAttributes on the queue",
        )
    if isinstance(state, ModelSyncError):
        return failure(name, state, f"check {variable}" if isinstance(state, ConfigurationError) else _UNREACHED)
    found = f"it exists, with {counted(state.waiting, 'message')} waiting and {state.in_flight:,} in flight"
    if state.waiting > _BACKLOG:
        return warning(name, found, "see that a worker runs on this queue and keeps up: SYNC_WORKERS, /health, its log")
    return ok(name, found)


def judge_permissions(refused: Sequence[str] | ModelSyncError) -> Finding:
    """Judge what may be done with messages.

    Args:
        refused: permissions that SQS denied; they were asked for with values that SQS cannot accept, so that no
            message is touched: what is refused is certain, what is not is likely.
    """
    name = "permissions"
    if isinstance(refused, ModelSyncError):
        return skipped(name, f"not known: {refused}")
    if refused:
        missing = ", ".join(refused)
        return failed(name, f"SQS refuses {missing}", f"allow {missing} on the queue")
    return ok(name, "nothing says that receiving, hiding and deleting is refused (tried without touching a message)")


def judge_settings(state: QueueState) -> list[Finding]:
    """Judge what the queue is set to: one finding for each thing that is odd, or one that nothing is."""
    odd = [*_redrive(state), *_times(state), *_encryption(state)]
    after = f" after {state.most_receives} receives" if state.most_receives else ""
    hidden = duration(state.visibility_seconds)
    well = f"a message stays hidden for {hidden} at a time, and is moved to the dead-letter queue{after}"
    return odd or [ok(_SETTINGS, well)]


def _redrive(state: QueueState) -> Iterator[Finding]:
    if not state.redrives:
        yield warning(_SETTINGS, f"the queue {NO_REDRIVE}", NO_REDRIVE_ADVICE)
    elif state.most_receives is not None and state.most_receives < _LEAST_RECEIVES:
        yield warning(
            _SETTINGS,
            f"messages are moved to the dead-letter queue after {state.most_receives} receives, but one whose model"
            " another replica is at is put back and received again",
            f"set maxReceiveCount to {_LEAST_RECEIVES} or more",
        )


def _times(state: QueueState) -> Iterator[Finding]:
    hidden = duration(state.visibility_seconds)
    if state.visibility_seconds < _LEAST_VISIBILITY_SECONDS:
        yield warning(
            _SETTINGS,
            f"received messages come back after {hidden}, often before the work is done",
            "set the visibility time-out to 30 s or more",
        )
    if state.visibility_seconds > _MOST_VISIBILITY_SECONDS:
        yield warning(
            _SETTINGS,
            f"after a crash, what a worker had received stays hidden for up to {hidden}",
            "set the visibility time-out to some minutes: the worker extends it while it needs to",
        )
    if state.retention_seconds is not None and state.retention_seconds < _LEAST_RETENTION_SECONDS:
        yield warning(
            _SETTINGS,
            f"messages are dropped after {duration(state.retention_seconds)}, received or not",
            "set the retention period to a day or more",
        )


def _encryption(state: QueueState) -> Iterator[Finding]:
    if state.kms_key is None:
        return
    if state.kms_key.endswith(_MANAGED_KEY):
        yield failed(
            _SETTINGS,
            f"it is encrypted with AWS's own key {_MANAGED_KEY}, which S3 may not use: no event arrives",
            "use SSE-SQS, or a key of yours whose policy lets s3.amazonaws.com use it",
        )
        return
    yield warning(
        _SETTINGS,
        f"it is encrypted with the KMS key {quoted(state.kms_key)}",
        "see that the key's policy lets s3.amazonaws.com use it (kms:GenerateDataKey, kms:Decrypt), and allow the"
        " worker kms:Decrypt; SSE-SQS needs neither",
    )
