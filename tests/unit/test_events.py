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


MINIO = """{
  "EventName": "s3:ObjectCreated:Put",
  "Key": "voices/v/a b+é.onnx",
  "Records": [
    {
      "eventVersion": "2.0", "eventSource": "minio:s3", "awsRegion": "", "eventTime": "2026-11-23T16:56:19.136Z",
      "eventName": "s3:ObjectCreated:Put",
      "userIdentity": {"principalId": "minio"},
      "requestParameters": {"principalId": "minio", "region": "", "sourceIPAddress": "172.18.0.1"},
      "responseElements": {
        "x-amz-id-2": "dd9025bab4ad464b049177c95eb6ebf374d3b3fd1af9251148b658df7ac2e3e8",
        "x-amz-request-id": "17D2B0FD8F1A7C2B",
        "x-minio-deployment-id": "cd7a0eb7-a1f9-48d9-b21a-56366d75cfdd",
        "x-minio-origin-endpoint": "http://172.18.0.6:9000"
      },
      "s3": {
        "s3SchemaVersion": "1.0",
        "configurationId": "Config",
        "bucket": {"name": "b", "ownerIdentity": {"principalId": "minio"}, "arn": "arn:aws:s3:::b"},
        "object": {
          "key": "v%2Fa+b%2B%C3%A9.onnx", "size": 10, "eTag": "ebed21f6f77b0a64673a3c96b0c623ba",
          "contentType": "application/octet-stream", "userMetadata": {"content-type": "application/octet-stream"},
          "sequencer": "17D2B0FD8F6C2F52"
        }
      },
      "source": {"host": "172.18.0.1", "port": "", "userAgent": "MinIO (linux; amd64) minio-go/v7.0.70 mc"}
    }
  ]
}"""
"""As https://github.com/minio/minio/issues/7665 shows it: the slash is encoded too, the key above it is not."""

CEPH = """{
  "Records": [
    {
      "eventVersion": "2.2", "eventSource": "ceph:s3", "awsRegion": "zonegroup1",
      "eventTime": "2026-11-23T16:56:19.136000Z", "eventName": "ObjectCreated:Put",
      "userIdentity": {"principalId": "tester"},
      "requestParameters": {"sourceIPAddress": ""},
      "responseElements": {
        "x-amz-request-id": "503a4c37-85eb-47cd-8681-2817e80b4281.5330.903595", "x-amz-id-2": "14d2-zone1-zonegroup1"
      },
      "s3": {
        "s3SchemaVersion": "1.0",
        "configurationId": "mynotif1",
        "bucket": {
          "name": "b", "ownerIdentity": {"principalId": "tester"}, "arn": "arn:aws:s3:zonegroup1::b",
          "id": "503a4c37-85eb-47cd-8681-2817e80b4281.5332.38"
        },
        "object": {
          "key": "v/a b+é.onnx", "size": "10", "eTag": "37b51d194a7513e45b56f6524f2d51f2", "versionId": "",
          "sequencer": "F7E6D75DC742D108", "metadata": [{"key": "x-amz-meta-a", "val": "b"}], "tags": []
        }
      },
      "eventId": "1574430455.124724.37b51d194a7513e45b56f6524f2d51f2",
      "opaqueData": "me@example.com"
    }
  ]
}"""
"""As https://docs.ceph.com/en/latest/radosgw/notifications/ and rgw_pubsub.cc have it: the key is not encoded."""


def test_minio_repeats_the_key_outside_its_records() -> None:
    assert parse_events(MINIO) == (EVENT,)


def test_a_key_of_ceph_is_taken_both_ways_where_that_makes_a_difference() -> None:
    assert parse_events(CEPH) == (ObjectEvent("b", "v/a b é.onnx", SECONDS), EVENT)
    plain = parse_events(CEPH.replace("+é", ""))
    assert plain == (ObjectEvent("b", "v/a b.onnx", SECONDS),)


def test_a_record_that_cannot_be_read_takes_nothing_from_the_others() -> None:
    found = parse_events(json.dumps({"Records": [{}, record(), {"Sns": {"Message": "x"}}, record()]}))
    assert found == Unparsable("a record is no S3 notification", (EVENT, EVENT))


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
