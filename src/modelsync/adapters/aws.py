"""What S3 and SQS have in common: region, credentials, and botocore's errors in our words."""

from __future__ import annotations

import os
import re
import threading
from dataclasses import dataclass
from typing import Any

import botocore.session
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import BotoCoreError

from modelsync.errors import ConfigurationError, StoreDenied

_REGION = re.compile(r"[a-z0-9-]+")


@dataclass(frozen=True)
class AwsOptions:
    """How AWS is reached. None: botocore's standard chain decides.

    Attributes:
        region: the region of bucket and queues.
        s3_endpoint_url: an S3-compatible store or emulator.
        sqs_endpoint_url: the same for queues.
    """

    region: str | None = None
    s3_endpoint_url: str | None = None
    sqs_endpoint_url: str | None = None


class AwsSession:
    """One botocore session for all clients: credentials are found and refreshed once.

    The chain is botocore's: environment, web identity (IRSA), profiles, container credentials
    (ECS, EKS Pod Identity), instance metadata.
    """

    def __init__(self, options: AwsOptions) -> None:
        self.options = options
        self.session: Any = botocore.session.get_session()
        self._lock = threading.Lock()
        self._credentials: Any = None
        try:
            self.region = self._region()
        except BotoCoreError as error:
            raise ConfigurationError(f"AWS configuration cannot be read: {error}") from error

    def _region(self) -> str:
        # botocore reads AWS_DEFAULT_REGION alone; Kubernetes' webhooks inject AWS_REGION.
        region = self.options.region or os.environ.get("AWS_REGION") or self.session.get_config_variable("region")
        if region:
            if not _REGION.fullmatch(region):
                raise ConfigurationError("AWS_REGION is no region's name: set it to one like eu-central-1")
            return str(region)
        if self.options.s3_endpoint_url:
            return "us-east-1"  # S3-compatible stores sign with it unless they are told otherwise
        raise ConfigurationError("AWS_REGION is not set: set it to the bucket's region, for example eu-central-1")

    def dns_suffix(self) -> str:
        """The domain of the region's partition: `amazonaws.com`, `amazonaws.com.cn` and so on.

        Raises:
            ConfigurationError: no partition has such a region.
        """
        for partition in self.session.get_component("data_loader").load_data("partitions")["partitions"]:
            if self.region in partition["regions"] or re.fullmatch(partition["regionRegex"], self.region):
                return str(partition["outputs"]["dnsSuffix"])
        raise ConfigurationError(f"AWS_REGION={self.region} is no region of AWS: set it to the bucket's region")

    def credentials(self) -> ReadOnlyCredentials:
        """The credentials that are valid now, refreshed when they are about to end.

        Raises:
            StoreDenied: none can be found, or they cannot be refreshed.
        """
        try:
            with self._lock:
                if self._credentials is None:
                    self._credentials = self.session.get_credentials()
            found = self._credentials and self._credentials.get_frozen_credentials()
        except Exception as error:  # botocore lets through what files, STS and metadata servers throw
            raise StoreDenied(f"AWS credentials cannot be had: {error}") from error
        if found is not None:
            return _checked(found)
        raise StoreDenied(
            "no AWS credentials found: give the pod a role (IRSA or EKS Pod Identity), or set AWS_ACCESS_KEY_ID and"
            " AWS_SECRET_ACCESS_KEY"
        )


def _checked(found: ReadOnlyCredentials) -> ReadOnlyCredentials:
    """Refuse what no HTTP header can carry, most often the newline at the end of a mounted secret."""
    for value in filter(None, (found.access_key, found.secret_key, found.token)):
        if value != value.strip() or not value.isprintable():
            raise StoreDenied(
                "an AWS key, secret or session token has white space or control characters in it: store it without"
            )
    return found
