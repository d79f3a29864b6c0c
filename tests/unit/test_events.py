"""Every envelope that S3 events come in."""

from __future__ import annotations

import json

import pytest

from modelsync.core.events import ObjectEvent, Unparsable, parse_events

AT = "2026-11-23T16:56:19.136Z"
SECONDS = 1795452979.136


def record(key: str = "v%2Fa+b%2B%C3%A9.onnx", **changes: object) -> dict[str, object]:
    s3 = {"bucket": {"name": "b"}, "object": {"key": key, "size": 10, "eTag": "e"}}
    return {"eventVersion": "2.1", "eventSource": "aws:s3", "eventTime": AT, "eventName": "ObjectCreated:Put",
            "s3": s3} | changes  # fmt: skip


PLAIN = json.dumps({"Records": [record()]})
EVENT = ObjectEvent("b", "v/a b+é.onnx", SECONDS)
BRIDGE = json.dumps(
    {"version": "0", "detail-type": "Object Created", "source": "aws.s3", "time": AT,
     "detail": {"bucket": {"name": "b"}, "object": {"key": "v/a b+é.onnx", "size": 10, "version-id": "x"}}}
)  # fmt: skip


def sns(message: str) -> str:
    return json.dumps({"Type": "Notification", "TopicArn": "arn:aws:sns:x:1:t", "Message": message})


@pytest.mark.parametrize(
    "body",
    [PLAIN, BRIDGE, sns(PLAIN), sns(BRIDGE), sns(sns(PLAIN)), json.dumps({"Records": [{"Sns": {"Message": PLAIN}}]})],
    ids=["plain", "eventbridge", "sns", "sns eventbridge", "sns sns", "lambda sns"],
)
def test_the_key_is_found_in_every_envelope(body: str) -> None:
    assert parse_events(body) == (EVENT,)


@pytest.mark.parametrize("name", ["ObjectRemoved:Delete", "LifecycleExpiration:Delete", "ObjectTagging:Put", "?"])
def test_every_event_family_marks_the_model(name: str) -> None:
    body = json.dumps({"Records": [record(eventName=name, eventSource="minio:s3", eventVersion="2.0")]})
    assert parse_events(body) == (EVENT,)


def test_a_batch_has_many_events() -> None:
    body = json.dumps({"Records": [record(f"k{n}") for n in range(3)]})
    events = parse_events(body)
    assert not isinstance(events, Unparsable)
    assert [event.key for event in events] == ["k0", "k1", "k2"]


def test_the_test_event_says_nothing() -> None:
    assert parse_events('{"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"}') == ()


@pytest.mark.parametrize("at", [None, 3, "yesterday", "9999999-01-01"])
def test_a_time_that_cannot_be_read_is_no_time(at: object) -> None:
    events = parse_events(json.dumps({"Records": [record(eventTime=at)]}))
    assert not isinstance(events, Unparsable)
    assert events[0].at is None


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("", "no JSON"),
        ("null", "no S3 notification"),
        ("[" * 100_000, "no JSON"),
        ('{"Records": [{}]}', "record is no S3 notification"),
        ('{"Records": {}}', "no S3 notification"),
        ('{"hello": "world"}', "no S3 notification"),
        ('{"Message": "x"}', "no S3 notification"),
        (sns("x"), "no JSON"),
        (sns(sns(sns(sns(sns(PLAIN))))), "envelopes"),
        ('{"Records": [' + ",".join(["0"] * 10_001) + "]}", "10000 records"),
        (" " * ((1 << 20) + 1), "longer"),
    ],
)
def test_what_is_no_notification_is_told_not_raised(body: str, why: str) -> None:
    found = parse_events(body)
    assert isinstance(found, Unparsable)
    assert why in found.reason
