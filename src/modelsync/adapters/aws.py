"""What S3 and SQS have in common: region, credentials, certificate authorities, names of hosts."""

from __future__ import annotations

import os
import re
import ssl
from dataclasses import dataclass
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from modelsync.adapters.credentials import Credentials
from modelsync.errors import ConfigurationError

_REGION = re.compile(r"[a-z0-9-]+")
_BOUNDS = Config(connect_timeout=3, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 2})
"""For STS. botocore's own would let one request for credentials take five minutes."""


@dataclass(frozen=True)
class AwsOptions:
    """How AWS is reached. None: botocore's standard chain decides.

    Attributes:
        region: the region of bucket and queues.
        s3_endpoint_url: an S3-compatible store or emulator.
        sqs_endpoint_url: the same for queues.
        ask_seconds: least time between two looks for credentials.
    """

    region: str | None = None
    s3_endpoint_url: str | None = None
    sqs_endpoint_url: str | None = None
    ask_seconds: float = 1.0


class AwsSession:
    """One botocore session for all clients.

    Its chain of credentials is botocore's: environment, web identity (IRSA), profiles, container
    credentials (ECS, EKS Pod Identity), instance metadata.
    """

    def __init__(self, options: AwsOptions) -> None:
        """Read the configuration; no credentials are looked for yet.

        Raises:
            ConfigurationError: there is no region, no such profile, or no such file of authorities.
        """
        self.options = options
        try:
            self.session: Any = botocore.session.get_session()
            self.region = self._region()
            of_aws = self.session.get_config_variable("ca_bundle")
        except BotoCoreError as error:
            raise ConfigurationError(f"AWS configuration cannot be read: {error}") from error
        self._ca_variable = "AWS_CA_BUNDLE" if of_aws else "SSL_CERT_FILE"
        self._ca_bundle = of_aws or os.environ.get("SSL_CERT_FILE")
        if self._ca_bundle:
            self.tls_context()
        self._set_up(self.session)
        self.credentials = Credentials(self._find, options.ask_seconds)
        self.session.register_component("credential_provider", self.credentials)

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

    def _set_up(self, session: Any) -> None:
        """Have the clients that botocore makes, of STS too, go by what was found out here."""
        session.set_config_variable("region", self.region)
        session.set_default_client_config(_BOUNDS)
        if self._ca_bundle:  # botocore does not know SSL_CERT_FILE
            session.set_config_variable("ca_bundle", self._ca_bundle)

    def _find(self) -> Any:
        # By a session of its own: each reads its files once.
        session: Any = botocore.session.get_session()
        self._set_up(session)
        return session.get_credentials()

    def tls_context(self) -> ssl.SSLContext:
        """What servers are trusted by: AWS_CA_BUNDLE, else SSL_CERT_FILE, else the system's authorities.

        Raises:
            ConfigurationError: the file cannot be read or holds no certificate.
        """
        try:
            return ssl.create_default_context(cafile=self._ca_bundle)
        except OSError as error:
            raise ConfigurationError(
                f"{self._ca_variable}={self._ca_bundle} cannot be read ({error.strerror or error}): set it to a file"
                " with certificates in PEM"
            ) from error

    def s3_host(self) -> str:
        """S3's host in the region, such as `s3.eu-central-1.amazonaws.com`.

        AWS_USE_FIPS_ENDPOINT and AWS_USE_DUALSTACK_ENDPOINT choose another than the usual one.

        Raises:
            ConfigurationError: no partition has such a region.
        """
        service = "s3-fips" if self.session.get_config_variable("use_fips_endpoint") else "s3"
        if self.session.get_config_variable("use_dualstack_endpoint"):
            service += ".dualstack"
        return f"{service}.{self.region}.{self._dns_suffix()}"

    def _dns_suffix(self) -> str:
        for partition in self.session.get_component("data_loader").load_data("partitions")["partitions"]:
            if self.region in partition["regions"] or re.fullmatch(partition["regionRegex"], self.region):
                return str(partition["outputs"]["dnsSuffix"])
        raise ConfigurationError(f"AWS_REGION={self.region} is no region of AWS: set it to the bucket's region")
