"""From a queue message's body to the keys that may have changed.

An event is a hint: whatever it says happened, the model is listed anew. So all event families
are one here, and everything but bucket, key and time is ignored.

Formats: https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html,
https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html,
https://docs.aws.amazon.com/sns/latest/dg/sns-sqs-as-subscriber.html
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import unquote_plus

MAX_DEPTH = 4
MAX_BODY_CHARACTERS = 1 << 20
MAX_RECORDS = 10_000
_CEPH = "ceph:s3"
"""Its keys are not encoded, though S3 encodes them, and this may change: either may be meant."""


@dataclass(frozen=True, slots=True)
class ObjectEvent:
    """An object may have changed. `at`: when, in seconds since the epoch, if the event says so."""

    bucket: str
    key: str
    at: float | None


@dataclass(frozen=True, slots=True)
class Unparsable:
    """The body, or a part of it, is no S3 notification in any known envelope. `events`: those that can be read."""

    reason: str
    events: tuple[ObjectEvent, ...] = ()


class _Bad(Exception):
    pass


def parse_events(body: str) -> tuple[ObjectEvent, ...] | Unparsable:
    """Read a message body: an S3 notification, plain or wrapped by SNS or EventBridge, nested or not.

    A test event has no records and gives an empty tuple. Never raises.
    """
    if len(body) > MAX_BODY_CHARACTERS:
        return Unparsable(f"it is longer than {MAX_BODY_CHARACTERS} characters")
    events: list[ObjectEvent] = []
    reason = _collect(lambda: _events(body, MAX_DEPTH, events))
    return Unparsable(reason, tuple(events)) if reason else tuple(events)


def _collect(read: Callable[[], None]) -> str | None:
    """Read, and say what cannot be read; what was found before that stands."""
    try:
        read()
    except _Bad as error:
        return str(error)
    except (ValueError, RecursionError):
        return "it is no JSON"
    return None


def _events(body: str, depth: int, found: list[ObjectEvent]) -> None:
    if depth == 0:
        raise _Bad(f"it has more than {MAX_DEPTH} envelopes")
    document = json.loads(body)
    match document:
        case {"Records": list(records)}:
            if len(records) > MAX_RECORDS:
                raise _Bad(f"it has more than {MAX_RECORDS} records")
            # One that cannot be read takes nothing from the others.
            reasons = [_collect(partial(_record, record, depth, found)) for record in records]
            if bad := [reason for reason in reasons if reason]:
                raise _Bad(bad[0])
        case {"detail-type": str(), "detail": {"bucket": {"name": str(bucket)}, "object": {"key": str(key)}}}:
            found.append(ObjectEvent(bucket, key, _time(document.get("time"))))
        case {"Message": str(inner)} if "TopicArn" in document or document.get("Type") == "Notification":
            _events(inner, depth - 1, found)
        case {"Event": "s3:TestEvent"}:
            return
        case _:
            raise _Bad("it is no S3 notification")


def _record(record: Any, depth: int, found: list[ObjectEvent]) -> None:
    match record:
        case {"s3": {"bucket": {"name": str(bucket)}, "object": {"key": str(key)}}}:
            at, decoded = _time(record.get("eventTime")), unquote_plus(key)
            found.append(ObjectEvent(bucket, decoded, at))
            if decoded != key and record.get("eventSource") == _CEPH:
                found.append(ObjectEvent(bucket, key, at))
        case {"Sns": {"Message": str(inner)}} | {"body": str(inner)}:
            _events(inner, depth - 1, found)
        case _:
            raise _Bad("a record is no S3 notification")


def _time(text: Any) -> float | None:
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
