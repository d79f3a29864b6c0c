"""A queue's settings and permissions, for `modelsync doctor`. No message is received, hidden or deleted."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from modelsync.adapters.network import one_line
from modelsync.adapters.sqs import DENIED, SqsOptions, code_of, sqs_errors
from modelsync.core.doctor.queue import QueueState
from modelsync.errors import NotOffered, QueueUnavailable

_NO_RECEIPT = "modelsync-doctor"


class SqsInspection:
    """Implements `ports.doctor.QueueInspection`."""

    def __init__(self, options: SqsOptions, client: Any) -> None:
        self._options = options
        self._client = client

    @property
    def name(self) -> str:
        """As in `SQS_<NAME>_QUEUE_URL`, in lower case."""
        return self._options.name

    @property
    def url(self) -> str:
        """Its address."""
        return self._options.url

    def state(self) -> QueueState:
        """The queue's attributes."""
        try:
            with sqs_errors(self.name, "read the attributes of"):
                answer = self._client.get_queue_attributes(QueueUrl=self.url, AttributeNames=["All"])
                return _state(answer["Attributes"])
        except QueueUnavailable as error:
            if isinstance(error.__cause__, ClientError) and code_of(error.__cause__) in DENIED:
                raise NotOffered(f"the attributes of queue {self.name} may not be read") from error
            raise

    def refused(self) -> tuple[str, ...]:
        """The permissions on messages that SQS denies.

        Each call has a value that SQS cannot accept, so it does nothing, whatever it answers. A
        lenient server that receives nevertheless hides the message for no time.
        """
        of_nothing = {"QueueUrl": self.url, "ReceiptHandle": _NO_RECEIPT}
        asked: dict[str, Callable[[], Any]] = {
            "sqs:ReceiveMessage": lambda: self._client.receive_message(
                QueueUrl=self.url, MaxNumberOfMessages=0, VisibilityTimeout=0, WaitTimeSeconds=0
            ),
            "sqs:DeleteMessage": lambda: self._client.delete_message(**of_nothing),
            "sqs:ChangeMessageVisibility": lambda: self._client.change_message_visibility(
                **of_nothing, VisibilityTimeout=0
            ),
        }
        refused = []
        for permission, ask in asked.items():
            with sqs_errors(self.name, "ask for permissions on"):
                try:
                    ask()
                except ClientError as error:
                    if code_of(error) in DENIED:
                        refused.append(permission)
        return tuple(refused)


def _state(attributes: Mapping[str, str]) -> QueueState:
    redrive = json.loads(attributes.get("RedrivePolicy") or "{}")
    most, retention = redrive.get("maxReceiveCount"), attributes.get("MessageRetentionPeriod")
    key = attributes.get("KmsMasterKeyId")
    return QueueState(
        arn=one_line(attributes.get("QueueArn", "")),
        visibility_seconds=float(attributes["VisibilityTimeout"]),
        redrives=bool(redrive),
        most_receives=None if most is None else int(most),
        retention_seconds=None if retention is None else float(retention),
        waiting=int(attributes.get("ApproximateNumberOfMessages", 0)),
        in_flight=int(attributes.get("ApproximateNumberOfMessagesNotVisible", 0)),
        kms_key=one_line(key) if key else None,
    )
