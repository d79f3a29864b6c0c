"""What S3 and SQS have in common: region, credentials, certificate authorities, names of hosts."""

from __future__ import annotations

import json
import os
import re
import ssl
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from modelsync.adapters.credential_process import bound_processes
from modelsync.adapters.credentials import Credentials, keys_of
from modelsync.errors import ConfigurationError

_REGION = re.compile(r"[a-z0-9-]+")
_VARIABLES = {
    "region": "AWS_DEFAULT_REGION",
    "ca_bundle": "AWS_CA_BUNDLE",
    "use_fips_endpoint": "AWS_USE_FIPS_ENDPOINT",
    "use_dualstack_endpoint": "AWS_USE_DUALSTACK_ENDPOINT",
}
_FILES = {"AWS_CONFIG_FILE": "~/.aws/config", "AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials"}


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
    """Region, credentials and certificate authorities for all clients.

    They are found as botocore finds them: environment, web identity (IRSA), profiles, container
    credentials (ECS, EKS Pod Identity), instance metadata. botocore itself is loaded when the
    environment does not say it all, and for queues: it is a third of a short command's time.
    """

    def __init__(self, options: AwsOptions) -> None:
        """Read the configuration; no credentials are looked for yet.

        Raises:
            ConfigurationError: there is no region, no such profile, or no such file of authorities.
        """
        self.options = options
        self.region = self._region()
        of_aws = self._variable("ca_bundle")
        self._ca_variable = "AWS_CA_BUNDLE" if of_aws else "SSL_CERT_FILE"
        self._ca_bundle = of_aws or os.environ.get("SSL_CERT_FILE")
        if self._ca_bundle:
            self.tls_context()
        self.credentials = Credentials(self._find, options.ask_seconds)

    @cached_property
    def botocore(self) -> Any:
        """The session that clients of botocore are made from.

        Raises:
            ConfigurationError: there is no such profile.
        """
        session = self._session()
        session.register_component("credential_provider", self.credentials)
        return session

    def _session(self) -> Any:
        import botocore.session
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError

        try:
            session: Any = botocore.session.get_session()
            session.set_config_variable("region", self.region)
        except BotoCoreError as error:
            raise ConfigurationError(f"AWS configuration cannot be read: {error}") from error
        # For STS. botocore's own would let one request for credentials take five minutes.
        session.set_default_client_config(
            Config(connect_timeout=3, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 2})
        )
        if self._ca_bundle:  # botocore does not know SSL_CERT_FILE
            session.set_config_variable("ca_bundle", self._ca_bundle)
        return session

    def _variable(self, name: str) -> Any:
        """Read what the environment says, else a profile."""
        value = os.environ.get(_VARIABLES[name])
        if value or not self._profiles:
            return value
        return self._profiles.get_config_variable(name)

    @cached_property
    def _profiles(self) -> Any:
        """A session that reads the files of profiles; None: there are none."""
        asked = os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE")
        files = (Path(os.environ.get(variable) or usual).expanduser() for variable, usual in _FILES.items())
        if not asked and not any(map(Path.is_file, files)):
            return None
        import botocore.session
        from botocore.exceptions import BotoCoreError

        try:
            session: Any = botocore.session.get_session()
            session.get_scoped_config()
        except BotoCoreError as error:
            raise ConfigurationError(f"AWS configuration cannot be read: {error}") from error
        return session

    def _region(self) -> str:
        # botocore reads AWS_DEFAULT_REGION alone; Kubernetes' webhooks inject AWS_REGION.
        region = self.options.region or os.environ.get("AWS_REGION") or self._variable("region")
        if region:
            if not _REGION.fullmatch(region):
                raise ConfigurationError("AWS_REGION is no region's name: set it to one like eu-central-1")
            return str(region)
        if self.options.s3_endpoint_url:
            return "us-east-1"  # S3-compatible stores sign with it unless they are told otherwise
        raise ConfigurationError("AWS_REGION is not set: set it to the bucket's region, for example eu-central-1")

    def _find(self) -> Any:
        if (keys := keys_of(os.environ)) is not None:
            return keys
        session = self._session()  # one of its own: each reads its files once
        bound_processes(session)
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
        service = "s3-fips" if _true(self._variable("use_fips_endpoint")) else "s3"
        if _true(self._variable("use_dualstack_endpoint")):
            service += ".dualstack"
        return f"{service}.{self.region}.{self._dns_suffix()}"

    def _dns_suffix(self) -> str:
        import botocore

        # botocore's own data; its reader of them takes 0.1 s to import.
        for partition in json.loads(Path(botocore.BOTOCORE_ROOT, "data/partitions.json").read_bytes())["partitions"]:
            if self.region in partition["regions"] or re.fullmatch(partition["regionRegex"], self.region):
                return str(partition["outputs"]["dnsSuffix"])
        raise ConfigurationError(f"AWS_REGION={self.region} is no region of AWS: set it to the bucket's region")


def _true(value: Any) -> bool:
    return str(value).lower() == "true"
