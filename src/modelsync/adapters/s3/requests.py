"""Signed requests to one bucket, and the errors that their answers mean."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from modelsync import __version__
from modelsync.adapters.aws import AwsSession
from modelsync.adapters.s3.answers import failure
from modelsync.adapters.s3.connections import Connections
from modelsync.adapters.s3.endpoint import bucket_endpoint
from modelsync.adapters.s3.http1 import Response, Timeouts
from modelsync.adapters.s3.signing import EMPTY_SHA256, UNSIGNED_PAYLOAD, signed
from modelsync.core.facts import StoreCalled
from modelsync.errors import CredentialsRefused, ModelSyncError, NotOffered, ObjectChanged, StoreDenied
from modelsync.ports import Observer


@dataclass(frozen=True)
class S3Options:
    """Which bucket, and how.

    Attributes:
        bucket: its name.
        expected_owner: account id; a bucket of another account is refused by S3.
        request_payer: `requester`, who then pays for requests and bytes where the bucket's owner wants that.
        timeouts: bounds on single calls of the network.
    """

    bucket: str
    expected_owner: str | None = None
    request_payer: str | None = None
    timeouts: Timeouts = field(default_factory=Timeouts)


class Requests:
    """What every client of a bucket sends. Thread-safe."""

    def __init__(self, options: S3Options, session: AwsSession, observe: Observer) -> None:
        """Find the bucket's address; nothing is sent yet.

        Raises:
            ConfigurationError: region, endpoint or proxy cannot be.
        """
        self._options = options
        self._session = session
        self._observe = observe
        self._endpoint = bucket_endpoint(
            options.bucket, endpoint_url=session.options.s3_endpoint_url, aws_host=session.s3_host
        )
        tls = session.tls_context() if self._endpoint.scheme == "https" else None
        self.connections = Connections(self._endpoint, options.timeouts, tls)
        self._bare = {"Host": self._endpoint.netloc, "User-Agent": f"modelsync/{__version__}"}
        self._headers = dict(self._bare)
        if options.expected_owner:
            self._headers["x-amz-expected-bucket-owner"] = options.expected_owner
        if options.request_payer:
            self._headers["x-amz-request-payer"] = options.request_payer

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
        optional: bool = False,
    ) -> Iterator[Response]:
        """Send a request to an object, or to the bucket without a key.

        Args:
            operation: its name in metrics.
            method: of HTTP.
            key: the object's key.
            what: what is being done, for messages.
            query: parameters.
            headers: beside those that every request has.
            body: what is sent along; gone through anew for each attempt. The headers give its length, and a
                checksum that proves it: only they are signed.
            optional: there is a way without it.

        Raises:
            NotOffered: it is optional, and refused or unknown there.
            ModelSyncError: what an answer means that is no success.
        """
        target = self._endpoint.target(key, query)
        full = signed(
            method,
            target,
            {**self._headers, **headers},
            credentials=self._session.credentials.get_frozen_credentials(),
            region=self._session.region,
            at=time.time(),
            payload_sha256=EMPTY_SHA256 if body is None else UNSIGNED_PAYLOAD,
        )
        try:
            with self.connections.request(method, target, full, body or ()) as response:
                if response.status not in {200, 204, 206}:
                    error = self.failure(response, what=what, of_object=key is not None)
                    absent = response.status in {405, 409, 501} or isinstance(error, StoreDenied | ObjectChanged)
                    raise NotOffered(f"S3 answered {response.status} to {what}") if optional and absent else error
                yield response
        except ModelSyncError as error:
            self._observe(StoreCalled(operation, type(error).__name__))
            raise
        self._observe(StoreCalled(operation, "ok"))

    def unsigned(self) -> tuple[int, Mapping[str, str]]:
        """Ask for the bucket as nobody: even a refusal tells the time, and on AWS the region.

        Returns:
            The answer's status, and its headers by their names in lower case.

        Raises:
            StoreUnavailable: S3 cannot be reached.
        """
        with self.connections.request("HEAD", self._endpoint.target(None, {}), self._bare) as response:
            if response.status == 407:
                raise self.failure(response, what="ask for the bucket")
            return response.status, response.headers

    @property
    def where(self) -> str:
        """The endpoint's host and port."""
        return self._endpoint.netloc

    def failure(
        self, response: Response, *, what: str, of_object: bool = False, document: bytes | None = None
    ) -> ModelSyncError:
        """The error that an answer means; `document`: its body, if that was read already."""
        error = failure(response, what=what, bucket=self._options.bucket, of_object=of_object, document=document)
        if isinstance(error, CredentialsRefused):
            self._session.credentials.renew()
        return error
