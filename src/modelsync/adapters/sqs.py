"""An SQS queue."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from modelsync.adapters.aws import AwsSession
from modelsync.adapters.credentials import REFUSED
from modelsync.adapters.network import PROXY_ASKS, explain, one_line
from modelsync.errors import ConfigurationError, QueueMissing, QueueUnavailable, StoreDenied
from modelsync.ports import Message

POLL_SECONDS = 5
"""Shorter than SQS allows (20): a poll that is broken off at shutdown can take a message with it,
which then stays hidden for its whole time-out, so the shutdown waits for the poll's end."""
_BATCH = 10  # SQS' own limit for batch calls
_FALLBACK_VISIBILITY_SECONDS = 30.0
_CONFIG = Config(
    connect_timeout=5,
    read_timeout=POLL_SECONDS + 5,
    retries={"mode": "standard", "total_max_attempts": 2},
    user_agent_extra="modelsync",
)
_MISSING = {"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"}
_NOT_OURS = ("InvalidParameterValue", "MessageNotInflight", "ReceiptHandleIsInvalid")
"""Codes of a delivery that is not ours any more; LocalStack says that this is its own fault."""
_ODD_ANSWER = (KeyError, ValueError, TypeError, AttributeError, IndexError, OSError, RuntimeError)
"""What botocore and the reading of its answers throw at a server or a credential file that is no such thing."""
DENIED = {"AccessDenied", "AccessDeniedException"}
_ADVICE = {
    **dict.fromkeys(DENIED, ": give the role sqs:ReceiveMessage, sqs:DeleteMessage and sqs:ChangeMessageVisibility"),
    **dict.fromkeys(REFUSED, ": the credentials are not valid, or no longer: check the pod's role or the access key"),
    "407": f": {PROXY_ASKS}",
}


@dataclass(frozen=True, slots=True)
class SqsOptions:
    """One queue: `name` as in `SQS_<NAME>_QUEUE_URL`, in lower case."""

    name: str
    url: str


def sqs_client(session: AwsSession) -> Any:
    """One client for all queues. Import and service model cost a third of a second.

    Raises:
        ConfigurationError: profile, region or endpoint cannot be.
    """

    def renew_if_refused(parsed: dict[str, Any], **_: Any) -> None:
        if parsed.get("Error", {}).get("Code") in REFUSED:
            session.credentials.renew()

    try:
        client = session.botocore.create_client(
            "sqs", region_name=session.region, endpoint_url=session.options.sqs_endpoint_url, config=_CONFIG
        )
    except (BotoCoreError, ValueError, OSError) as error:
        raise ConfigurationError(f"SQS cannot be set up: {one_line(error)}") from error
    client.meta.events.register("after-call.sqs", renew_if_refused)
    return client


@contextmanager
def sqs_errors(name: str, what: str) -> Iterator[None]:
    """Translate what botocore and the reading of its answers throw.

    Raises:
        QueueMissing: there is no such queue.
        QueueUnavailable: everything else, with what was being done and what to do.
    """
    try:
        yield
    except ClientError as error:
        code = code_of(error)
        if code in _MISSING:
            variable = f"SQS_{name.upper()}_QUEUE_URL"
            raise QueueMissing(f"queue {name} does not exist: check {variable} and AWS_REGION") from error
        raise QueueUnavailable(f"cannot {what} queue {name}: SQS answered {code}{_ADVICE.get(code, '')}") from error
    except BotoCoreError as error:
        raise QueueUnavailable(f"cannot {what} queue {name}: {explain(error) or one_line(error)}") from error
    except StoreDenied as error:  # there is nothing to sign with
        raise QueueUnavailable(f"cannot {what} queue {name}: {error}") from error
    except _ODD_ANSWER as error:
        raise QueueUnavailable(
            f"cannot {what} queue {name}: no answer as SQS gives it ({type(error).__name__}): check the"
            " endpoint and the credentials"
        ) from error


class SqsQueue:
    """Implements `ports.Queue`."""

    def __init__(self, options: SqsOptions, client: Any) -> None:
        self._options = options
        self._client = client
        self._visibility_seconds = _FALLBACK_VISIBILITY_SECONDS
        self._redrives: bool | None = None
        # Sent with each receive only where the queue's own setting is not known.
        self._asked: dict[str, int] = {"VisibilityTimeout": int(_FALLBACK_VISIBILITY_SECONDS)}

    @property
    def name(self) -> str:
        """The queue's name in logs, metrics and health."""
        return self._options.name

    @property
    def visibility_seconds(self) -> float:
        """For how long a received message stays hidden."""
        return self._visibility_seconds

    @property
    def redrives(self) -> bool | None:
        """Whether the queue has a redrive policy, as of `check`."""
        return self._redrives

    def check(self) -> None:
        """Ask for the queue's visibility time-out; where that is not allowed, use one of our own."""
        try:
            with sqs_errors(self.name, "read the attributes of"):
                answer = self._client.get_queue_attributes(QueueUrl=self._options.url, AttributeNames=["All"])
                attributes = answer["Attributes"]
                seconds = float(attributes["VisibilityTimeout"])
                self._redrives = bool(attributes.get("RedrivePolicy"))
        except QueueUnavailable as error:
            if isinstance(error.__cause__, ClientError) and code_of(error.__cause__) in DENIED:
                return
            raise
        if seconds > 0:
            self._visibility_seconds, self._asked = seconds, {}

    def receive(self, most: int) -> Sequence[Message]:
        """Long-poll for messages."""
        with sqs_errors(self.name, "receive from"):
            answer = self._client.receive_message(
                QueueUrl=self._options.url,
                MaxNumberOfMessages=min(most, _BATCH),
                WaitTimeSeconds=POLL_SECONDS,
                MessageSystemAttributeNames=["ApproximateReceiveCount"],
                **self._asked,
            )
            return [
                Message(
                    receipt=message["ReceiptHandle"],
                    body=message["Body"],
                    receive_count=int(message.get("Attributes", {}).get("ApproximateReceiveCount", 1)),
                )
                for message in answer.get("Messages", [])
            ]

    def delete(self, messages: Sequence[Message]) -> None:
        """Delete deliveries."""
        for batch in _batches(messages):
            entries = [{"Id": str(n), "ReceiptHandle": message.receipt} for n, message in enumerate(batch)]
            with sqs_errors(self.name, "delete from"):
                answer = self._client.delete_message_batch(QueueUrl=self._options.url, Entries=entries)
                self._lost(batch, answer)

    def hide(self, messages: Sequence[Message], seconds: float) -> Sequence[Message]:
        """Hide deliveries for so long from now on."""
        lost: list[Message] = []
        for batch in _batches(messages):
            entries = [
                {"Id": str(n), "ReceiptHandle": message.receipt, "VisibilityTimeout": int(seconds)}
                for n, message in enumerate(batch)
            ]
            with sqs_errors(self.name, "change the visibility in"):
                answer = self._client.change_message_visibility_batch(QueueUrl=self._options.url, Entries=entries)
                lost += self._lost(batch, answer)
        return lost

    def _lost(self, batch: Sequence[Message], answer: dict[str, Any]) -> list[Message]:
        """The deliveries that SQS says are not ours; a fault of its own is an error instead."""
        failed = answer.get("Failed", [])
        if len(failed) + len(answer.get("Successful", [])) != len(batch):
            raise QueueUnavailable(f"queue {self.name} did not answer for every message of a batch")
        for entry in failed:
            code = str(entry.get("Code"))
            if not entry.get("SenderFault", True) and not any(known in code for known in _NOT_OURS):
                raise QueueUnavailable(f"queue {self.name} failed: {code}")
        return [batch[int(entry["Id"])] for entry in failed]


def code_of(error: ClientError) -> str:
    """SQS's word for what is wrong."""
    return str(error.response.get("Error", {}).get("Code", "unknown"))


def _batches(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    return (messages[start : start + _BATCH] for start in range(0, len(messages), _BATCH))
