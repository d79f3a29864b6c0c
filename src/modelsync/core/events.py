"""From a queue message's body to the keys that may have changed.

An event is a hint: whatever it says happened, the model is listed anew. So all event families
are one here, and everything but bucket, key and time is ignored.

Formats: https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html,
https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html,
https://docs.aws.amazon.com/sns/latest/dg/sns-sqs-as-subscriber.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote_plus

MAX_DEPTH = 4
MAX_BODY_CHARACTERS = 1 << 20
MAX_RECORDS = 10_000


@dataclass(frozen=True, slots=True)
class ObjectEvent:
    """An object may have changed. `at`: when, in seconds since the epoch, if the event says so."""

    bucket: str
    key: str
    at: float | None


@dataclass(frozen=True, slots=True)
class Unparsable:
    """The body is no S3 notification in any known envelope."""

    reason: str


class _Bad(Exception):
    pass


def parse_events(body: str) -> tuple[ObjectEvent, ...] | Unparsable:
    """Read a message body: an S3 notification, plain or wrapped by SNS or EventBridge, nested or not.

    A test event has no records and gives an empty tuple. Never raises.
    """
    if len(body) > MAX_BODY_CHARACTERS:
        return Unparsable(f"it is longer than {MAX_BODY_CHARACTERS} characters")
    try:
        return tuple(_events(body, MAX_DEPTH))
    except _Bad as error:
        return Unparsable(str(error))
    except (ValueError, RecursionError):
        return Unparsable("it is no JSON")


def _events(body: str, depth: int) -> Iterator[ObjectEvent]:
    if depth == 0:
        raise _Bad(f"it has more than {MAX_DEPTH} envelopes")
    document = json.loads(body)
    match document:
        case {"Records": list(records)}:
            if len(records) > MAX_RECORDS:
                raise _Bad(f"it has more than {MAX_RECORDS} records")
            for record in records:
                yield from _record(record, depth)
        case {"detail-type": str(), "detail": {"bucket": {"name": str(bucket)}, "object": {"key": str(key)}}}:
            yield ObjectEvent(bucket, key, _time(document.get("time")))
        case {"Message": str(inner)} if "TopicArn" in document or document.get("Type") == "Notification":
            yield from _events(inner, depth - 1)
        case {"Event": "s3:TestEvent"}:
            return
        case _:
            raise _Bad("it is no S3 notification")


def _record(record: Any, depth: int) -> Iterator[ObjectEvent]:
    match record:
        case {"s3": {"bucket": {"name": str(bucket)}, "object": {"key": str(key)}}}:
            yield ObjectEvent(bucket, unquote_plus(key), _time(record.get("eventTime")))
        case {"Sns": {"Message": str(inner)}} | {"body": str(inner)}:
            yield from _events(inner, depth - 1)
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
