"""What every `Queue` must do: the real one against moto and LocalStack, the fake in memory."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from fakes.queue import FakeQueue
from modelsync.adapters import sqs as sqs_adapter
from modelsync.adapters.aws import AwsOptions, AwsSession
from modelsync.adapters.sqs import SqsOptions, SqsQueue, sqs_client
from modelsync.demo.emulator import Emulator
from modelsync.errors import QueueMissing, QueueUnavailable
from modelsync.ports import Queue


@dataclass
class Subject:
    """A queue under test, and a way to put messages in."""

    queue: Queue
    send: Callable[[str], object]


def real_queue(emulator_url: str, queue_url: str) -> SqsQueue:
    session = AwsSession(AwsOptions(region="us-east-1", sqs_endpoint_url=emulator_url))
    return SqsQueue(SqsOptions("test", queue_url), sqs_client(session))


@pytest.fixture(params=["moto", "localstack", "fake"])
def subject(
    request: pytest.FixtureRequest, server: Callable[[str], Emulator], monkeypatch: pytest.MonkeyPatch
) -> Subject:
    if request.param == "fake":
        fake = FakeQueue(time.monotonic)
        return Subject(fake, fake.send)
    monkeypatch.setattr(sqs_adapter, "POLL_SECONDS", 1)  # an empty queue need not be waited on for long
    emulator = server(request.param)
    sqs = emulator.client("sqs")
    url = sqs.create_queue(QueueName=f"test-{uuid.uuid4().hex}", Attributes={"VisibilityTimeout": "44"})["QueueUrl"]
    return Subject(real_queue(emulator.url, url), lambda body: sqs.send_message(QueueUrl=url, MessageBody=body))


def test_a_message_is_received_once_until_its_time_is_over(subject: Subject) -> None:
    subject.send("hello")
    [message] = subject.queue.receive(10)
    assert (message.body, message.receive_count) == ("hello", 1)
    assert subject.queue.receive(10) == []


def test_no_more_is_received_than_asked_for(subject: Subject) -> None:
    for number in range(12):
        subject.send(str(number))
    assert len(subject.queue.receive(3)) == 3
    assert len(subject.queue.receive(10)) <= 10


def test_a_hidden_message_can_be_given_back_at_once(subject: Subject) -> None:
    subject.send("hello")
    received = subject.queue.receive(10)
    assert list(subject.queue.hide(received, 0)) == []
    [again] = subject.queue.receive(10)
    assert (again.body, again.receive_count) == ("hello", 2)


def test_deleted_messages_do_not_come_back(subject: Subject) -> None:
    for number in range(15):
        subject.send(str(number))
    received = [message for _ in range(8) for message in subject.queue.receive(10)]
    assert len(received) == 15
    subject.queue.delete(received)
    assert list(subject.queue.hide(received[:1], 0)) in ([], [received[0]]), "hiding what is gone is no error"
    assert subject.queue.receive(10) == []


def test_deleting_nothing_is_no_error(subject: Subject) -> None:
    subject.queue.delete([])
    assert list(subject.queue.hide([], 5)) == []


@pytest.mark.parametrize("kind", ["moto", "localstack", "fake"])
def test_a_queue_that_does_not_exist_is_told(kind: str, server: Callable[[str], Emulator]) -> None:
    queue: Queue = FakeQueue(time.monotonic, missing=True)
    if kind != "fake":
        url = server(kind).url
        queue = real_queue(url, f"{url}/123456789012/no-such-queue")
    for ask in (queue.check, lambda: queue.receive(1)):
        with pytest.raises(QueueMissing):
            ask()


@pytest.mark.parametrize("kind", ["sqs", "fake"])
def test_a_queue_that_cannot_be_reached_is_told(kind: str) -> None:
    dead = "http://127.0.0.1:9"
    queue: Queue = FakeQueue(time.monotonic, outage=True) if kind == "fake" else real_queue(dead, f"{dead}/1/q")
    for ask in (queue.check, lambda: queue.receive(1)):
        with pytest.raises(QueueUnavailable):
            ask()


@pytest.mark.parametrize("kind", ["moto", "localstack"])
def test_the_real_queue_takes_the_visibility_of_its_queue(kind: str, server: Callable[[str], Emulator]) -> None:
    emulator = server(kind)
    sqs = emulator.client("sqs")
    url = sqs.create_queue(QueueName=f"test-{uuid.uuid4().hex}", Attributes={"VisibilityTimeout": "44"})["QueueUrl"]
    queue = real_queue(emulator.url, url)
    assert queue.visibility_seconds == 30, "a safe guess until it was asked for"
    queue.check()
    assert queue.visibility_seconds == 44


@pytest.mark.parametrize("kind", ["moto", "localstack"])
def test_the_real_queue_knows_whether_it_redrives(kind: str, server: Callable[[str], Emulator]) -> None:
    emulator = server(kind)
    sqs = emulator.client("sqs")
    urls = [sqs.create_queue(QueueName=f"test-{uuid.uuid4().hex}")["QueueUrl"] for _ in range(2)]
    queue = real_queue(emulator.url, urls[0])
    assert queue.redrives is None, "not asked yet"
    queue.check()
    assert queue.redrives is False
    arn = sqs.get_queue_attributes(QueueUrl=urls[1], AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": "5"})
    sqs.set_queue_attributes(QueueUrl=urls[0], Attributes={"RedrivePolicy": policy})
    queue.check()
    assert queue.redrives is True
