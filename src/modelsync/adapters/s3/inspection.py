"""A bucket's settings, for `modelsync doctor`."""

from __future__ import annotations

import time

from modelsync.adapters.aws import AwsSession
from modelsync.adapters.s3.answers import answered_at, region_in
from modelsync.adapters.s3.http1 import Timeouts
from modelsync.adapters.s3.notification import parse_notification
from modelsync.adapters.s3.requests import Requests, S3Options
from modelsync.adapters.s3.xml import parse_fields
from modelsync.core.doctor.bucket import Reached
from modelsync.core.doctor.notification import Notification
from modelsync.errors import StoreUnavailable
from modelsync.ports import Observer

IMPATIENT = Timeouts(connect=3.0, read=5.0, crawl=5.0, page=5.0)
"""Somebody waits for the answer."""
_MAX_ANSWER_BYTES = 1 << 20


class S3Inspection:
    """Implements `ports.doctor.BucketInspection`."""

    def __init__(self, options: S3Options, session: AwsSession, observe: Observer) -> None:
        """Find the bucket's address; nothing is sent yet.

        Raises:
            ConfigurationError: region or endpoint cannot be.
        """
        self._requests = Requests(options, session, observe)

    @property
    def where(self) -> str:
        """The endpoint's host and port."""
        return self._requests.where

    def reach(self) -> Reached:
        """Ask for the bucket without a signature."""
        before = time.time()
        status, headers = self._requests.unsigned()
        at = answered_at(headers)
        # Between the two readings of our clock; S3 tells whole seconds.
        skew_seconds = None if at is None else (before + time.time()) / 2 - at - 0.5
        return Reached(status, region_in(headers), skew_seconds, headers.get("server", "")[:40])

    def versioning(self) -> str:
        """Whether the bucket keeps old versions."""
        document = self._ask("GetBucketVersioning", "versioning", "ask for the bucket's versioning")
        return parse_fields(document, "VersioningConfiguration").get("Status", "")

    def notification(self) -> Notification:
        """Where the bucket sends its events."""
        return parse_notification(
            self._ask("GetBucketNotificationConfiguration", "notification", "ask for the bucket's notification")
        )

    def _ask(self, operation: str, subresource: str, what: str) -> bytes:
        with self._requests.send(
            operation, "GET", None, what=what, query={subresource: ""}, headers={}, optional=True
        ) as response:
            document = response.read(_MAX_ANSWER_BYTES + 1)
        if len(document) > _MAX_ANSWER_BYTES:
            raise StoreUnavailable(f"S3's answer is longer than {_MAX_ANSWER_BYTES} bytes")
        return document

    def close(self) -> None:
        """Break off everything under way."""
        self._requests.connections.close()
