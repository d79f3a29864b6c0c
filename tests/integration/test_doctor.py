"""`modelsync doctor` in this process, on servers that refuse, are set up wrongly or misbehave."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path

import pytest

from fakes.cloud import REGION, SigningS3, SigningSqs
from fakes.hostile_s3 import BUCKET as HOSTILE
from fakes.hostile_s3 import S3, header, refuse, say
from fakes.loopback import Answer, Request
from fakes.sigv4 import Key, Keyring
from modelsync.adapters.clock import SystemClock
from modelsync.adapters.s3.notification import parse_notification
from modelsync.adapters.volume.mounts import mount_of
from modelsync.app.looks import Looks
from modelsync.cli.doctor import document
from modelsync.config import load
from modelsync.core.doctor.notification import Notification, Rule
from modelsync.errors import ModelSyncError
from modelsync.service.doctor import examining
from support.doctor import Told, read
from support.signed import BUCKET

KEY = Key("AKIASTATIC", "static/secret+")
Examine = Callable[..., Told]


@pytest.fixture
def examine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Examine:
    """Runs the checks with these variables."""

    def run(**variables: str) -> Told:
        for name, value in {"MODELS_BASE_PATH": str(tmp_path), "S3_PREFIX": "voices/", **variables}.items():
            monkeypatch.setenv(name, value)
        with examining(load()) as doctor:
            return read(document(doctor.run()))

    return run


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[SigningS3, SigningSqs]]:
    keys = Keyring(KEY)
    with SigningS3(BUCKET, keys) as s3, SigningSqs(keys) as sqs:
        s3.put("voices/alice/model.onnx", b"weights")
        variables = {
            "S3_BUCKET_NAME": BUCKET, "AWS_REGION": REGION, "AWS_ENDPOINT_URL_S3": s3.url,
            "AWS_ENDPOINT_URL_SQS": sqs.url, "AWS_ACCESS_KEY_ID": KEY.id, "AWS_SECRET_ACCESS_KEY": KEY.secret,
            "SQS_MODELS_QUEUE_URL": sqs.queue_url,
        }  # fmt: skip
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield s3, sqs


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    s3 = S3()
    s3.put("voices/alice/model.onnx", b"weights")
    monkeypatch.setenv("S3_BUCKET_NAME", HOSTILE)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.url)
    # Nobody listens there: what the bucket tells of the queue can be judged all the same.
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:9")
    monkeypatch.setenv("SQS_MODELS_QUEUE_URL", "http://127.0.0.1:9/123456789012/models")
    yield s3
    s3.close()


def test_permissions_that_are_missing_are_named(
    cloud: tuple[SigningS3, SigningSqs], examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3, sqs = cloud
    s3.objects["voices/alice/model.onnx"] = replace(
        s3.objects["voices/alice/model.onnx"], refusal=("AccessDenied", "no")
    )
    in_order, of_queue = s3.answer, sqs.answer
    denied = Answer(403, b"<Error><Code>AccessDenied</Code></Error>")

    def s3_answers(request: Request) -> Answer:
        return denied if request.query.keys() & {"uploads", "versioning", "notification"} else in_order(request)

    def sqs_answers(request: Request) -> Answer:
        if request.headers["x-amz-target"].endswith(("ReceiveMessage", "GetQueueAttributes")):
            return Answer(403, b'{"__type": "com.amazonaws.sqs#AccessDenied", "message": "no"}')
        if request.headers["x-amz-target"].endswith(("DeleteMessage", "ChangeMessageVisibility")):
            return Answer(400, b'{"__type": "com.amazonaws.sqs#ReceiptHandleIsInvalid", "message": "no"}')
        return of_queue(request)

    monkeypatch.setattr(s3, "answer", s3_answers)
    monkeypatch.setattr(sqs, "answer", sqs_answers)
    told = examine()
    assert told.status("credentials/signature") == "ok"
    for name, status, permission in (
        ("bucket/reading", "failed", "s3:GetObject"),
        ("bucket/uploads", "warning", "s3:ListBucketMultipartUploads"),
        ("bucket/versioning", "skipped", "s3:GetBucketVersioning"),
        ("queue/queue", "warning", "sqs:GetQueueAttributes"),
        ("queue/permissions", "failed", "allow sqs:ReceiveMessage on the queue"),
        ("queue/notification", "skipped", "s3:GetBucketNotification"),
    ):
        assert told.status(name) == status
        assert permission in told.text(name)


def test_a_bucket_that_may_not_be_listed(
    cloud: tuple[SigningS3, SigningSqs], examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3, _ = cloud
    monkeypatch.setattr(s3, "answer", lambda _: Answer(403, b"<Error><Code>AccessDenied</Code></Error>"))
    told = examine(S3_EXPECTED_BUCKET_OWNER="123456789012")
    assert told.status("bucket/listing") == "failed"
    assert "allow s3:ListBucket on the bucket for this prefix ('voices/')" in told.text("bucket/listing")
    assert "S3_EXPECTED_BUCKET_OWNER=123456789012" in told.text("bucket/listing")


def test_a_bucket_of_another_region(
    cloud: tuple[SigningS3, SigningSqs], examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3, _ = cloud
    moved = Answer(301, b"<Error><Code>PermanentRedirect</Code></Error>", {"x-amz-bucket-region": "us-west-2"})
    monkeypatch.setattr(s3, "answer", lambda _: moved)
    told = examine()
    assert told.text("bucket/bucket").endswith("is in region us-west-2 -> set AWS_REGION=us-west-2")


@pytest.mark.parametrize(("ahead", "status"), [(-300, "warning"), (-3600, "failed"), (3600, "failed")])
def test_a_clock_that_is_wrong(hostile: S3, examine: Examine, ahead: int, status: str) -> None:
    hostile.fault("BUCKET", header("Date", formatdate(time.time() - ahead, usegmt=True)))
    told = examine()
    assert told.status("credentials/clock") == status
    assert ("behind" if ahead < 0 else "ahead of") in told.text("credentials/clock")


def test_a_store_without_versioning_and_notification(hostile: S3, examine: Examine) -> None:
    for kind in ("VERSIONING", "NOTIFICATION"):
        hostile.fault(kind, refuse(501, "NotImplemented"))
    told = examine()
    assert told.status("bucket/versioning") == told.status("queue/notification") == "skipped"


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\xfe", b"", b"<a>" * 100_000, b"<x>" + b"y" * (2 << 20),
        b'<!DOCTYPE x [<!ENTITY a "b">]><NotificationConfiguration>&a;</NotificationConfiguration>',
        b"<NotificationConfiguration><QueueConfiguration><Queue>\x1b[31m" + b"q" * 100_000,
        b"<NotificationConfiguration><QueueConfiguration><Queue>" + b"q" * 100_000
        + b"</Queue></QueueConfiguration></NotificationConfiguration>",
    ],
    ids=["no text", "empty", "deep", "long", "entities", "cut", "a long name"],
)  # fmt: skip
def test_hostile_answers_are_findings(hostile: S3, examine: Examine, body: bytes) -> None:
    for kind in ("VERSIONING", "NOTIFICATION"):
        hostile.fault(kind, say(body))
    told = examine()
    assert told.status("bucket/listing") == "ok"
    assert told.status("queue/notification") in {"skipped", "failed"}


EVERYWHERE = b"""<NotificationConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
<TopicConfiguration><Id>a</Id><Topic>arn:t</Topic><Event>s3:ObjectCreated:*</Event></TopicConfiguration>
<QueueConfiguration><Id>b</Id><Queue>arn:q</Queue><Event>s3:ObjectCreated:Put</Event><Event>s3:ObjectRemoved:*</Event>
<Filter><S3Key><FilterRule><Name>Prefix</Name><Value>voices/</Value></FilterRule>
<FilterRule><Name>suffix</Name><Value>.onnx</Value></FilterRule></S3Key></Filter></QueueConfiguration>
<CloudFunctionConfiguration><CloudFunction>arn:f</CloudFunction><Event>s3:*</Event></CloudFunctionConfiguration>
<EventBridgeConfiguration/></NotificationConfiguration>"""


def test_a_bucket_that_sends_its_events_everywhere() -> None:
    assert parse_notification(EVERYWHERE) == Notification(
        (
            Rule("topic", "arn:t", ("s3:ObjectCreated:*",)),
            Rule("queue", "arn:q", ("s3:ObjectCreated:Put", "s3:ObjectRemoved:*"), "voices/", ".onnx"),
            Rule("function", "arn:f", ("s3:*",)),
        ),
        event_bridge=True,
    )
    assert parse_notification(b"") == parse_notification(b"<NotificationConfiguration/>") == Notification()


def test_events_that_take_another_way(hostile: S3, examine: Examine) -> None:
    hostile.fault("NOTIFICATION", say(EVERYWHERE))
    told = examine()
    assert told.status("queue/notification") == "warning"
    assert "the SNS topic 'arn:t' and EventBridge" in told.text("queue/notification")


@pytest.mark.parametrize(
    ("look", "words"),
    [
        (lambda: time.sleep(5), "no answer within 0 s"),
        (lambda: 1 // 0, "the check itself failed (ZeroDivisionError"),
    ],
)
def test_a_look_that_hangs_or_is_at_fault_is_an_answer(look: Callable[[], object], words: str) -> None:
    seen = Looks(SystemClock(), look_seconds=0.2, total_seconds=60).see(look)
    assert isinstance(seen, ModelSyncError)
    assert words in str(seen)


def test_no_look_gets_more_than_what_is_left_of_the_whole_time() -> None:
    assert isinstance(Looks(SystemClock(), look_seconds=60, total_seconds=0).see(lambda: time.sleep(5)), ModelSyncError)


def test_the_mount_of_a_path(tmp_path: Path) -> None:
    found = mount_of(tmp_path)
    assert found is not None
    assert str(tmp_path).startswith(found.point)
    assert mount_of(tmp_path / "none") is None
