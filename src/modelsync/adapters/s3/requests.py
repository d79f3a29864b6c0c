"""Signed requests to one bucket, and the errors that their answers mean."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from botocore.auth import UNSIGNED_PAYLOAD, S3SigV4Auth
from botocore.awsrequest import AWSRequest

from modelsync import __version__
from modelsync.adapters.aws import AwsSession
from modelsync.adapters.s3.answers import failure
from modelsync.adapters.s3.connections import Answer, Connections, Timeouts
from modelsync.adapters.s3.endpoint import bucket_endpoint
from modelsync.core.facts import StoreCalled
from modelsync.errors import ModelSyncError
from modelsync.ports import Observer


@dataclass(frozen=True)
class S3Options:
    """Which bucket, and how.

    Attributes:
        bucket: its name.
        expected_owner: account id; a bucket of another account is refused by S3.
        timeouts: bounds on single calls of the network.
    """

    bucket: str
    expected_owner: str | None = None
    timeouts: Timeouts = field(default_factory=Timeouts)


class Requests:
    """What every client of a bucket sends. Thread-safe."""

    def __init__(self, options: S3Options, session: AwsSession, observe: Observer) -> None:
        """Find the bucket's address; nothing is sent yet.

        Raises:
            ConfigurationError: region or endpoint cannot be.
        """
        self._options = options
        self._session = session
        self._observe = observe
        self._endpoint = bucket_endpoint(
            options.bucket,
            region=session.region,
            endpoint_url=session.options.s3_endpoint_url,
            dns_suffix=session.dns_suffix,
        )
        self.connections = Connections(self._endpoint, options.timeouts)

    @contextmanager
    def send(
        self,
        operation: str,
        method: str,
        key: str | None,
        *,
        what: str,
        query: dict[str, str],
        headers: Mapping[str, str],
        body: Iterable[memoryview] | None = None,
    ) -> Iterator[Answer]:
        """Send a request to an object, or to the bucket without a key.

        Args:
            operation: its name in metrics.
            method: of HTTP.
            key: the object's key.
            what: what is being done, for messages.
            query: parameters.
            headers: beside those that every request has.
            body: what is sent along; gone through anew for each attempt. The headers give its length.

        Raises:
            ModelSyncError: what an answer means that is no success.
        """
        headers = {"Host": self._endpoint.netloc, "User-Agent": f"modelsync/{__version__}", **headers}
        if self._options.expected_owner:
            headers["x-amz-expected-bucket-owner"] = self._options.expected_owner
        target = self._endpoint.target(key, query)
        signed = self._signed(method, target, headers, with_body=body is not None)
        with _observed(self._observe, operation), self.connections.request(method, target, signed, body) as answer:
            if answer.response.status not in {200, 204, 206}:
                raise self.failure(answer, what=what)
            yield answer

    def failure(self, answer: Answer, *, what: str, document: bytes | None = None) -> ModelSyncError:
        """The error that an answer means; `document`: its body, if that was read already."""
        return failure(answer.response, what=what, bucket=self._options.bucket, document=document)

    def _signed(self, method: str, target: str, headers: dict[str, str], *, with_body: bool) -> dict[str, str]:
        url = f"{self._endpoint.scheme}://{self._endpoint.netloc}{target}"
        request = AWSRequest(method, url, headers=headers)
        signer = _UnsignedPayload if with_body else S3SigV4Auth
        signer(self._session.credentials(), "s3", self._session.region).add_auth(request)
        return dict(request.headers.items())


class _UnsignedPayload(S3SigV4Auth):
    """Signs the headers alone: a CRC64NVME among them proves the body, which need not be read twice."""

    def payload(self, request: AWSRequest) -> str:  # noqa: ARG002 - botocore's signature
        return UNSIGNED_PAYLOAD


@contextmanager
def _observed(observe: Callable[[StoreCalled], None], operation: str) -> Iterator[None]:
    try:
        yield
    except ModelSyncError as error:
        observe(StoreCalled(operation, type(error).__name__))
        raise
    observe(StoreCalled(operation, "ok"))
