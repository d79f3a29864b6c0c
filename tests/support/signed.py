"""A bucket that checks every signature, and the environment of a pod that has no credentials yet."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fakes.cloud import SigningS3
from fakes.identity import Sts
from fakes.sigv4 import Key, Keyring
from modelsync.adapters.aws import AwsOptions, AwsSession
from modelsync.adapters.s3 import S3Options, S3Store
from modelsync.core.objects import RemoteObject
from modelsync.core.parts import Span

BUCKET = "models"
KEY = Key("AKIASTATIC", "static/secret+")
ROLE = "arn:aws:iam::123456789012:role/worker-model-sync-tts"


@dataclass(frozen=True)
class Pod:
    """`set` puts variables into its environment; `keys` are those that S3 knows."""

    keys: Keyring
    s3: SigningS3
    environment: pytest.MonkeyPatch
    _stores: list[S3Store] = field(default_factory=list)

    def set(self, **variables: str) -> None:
        for name, value in variables.items():
            self.environment.setenv(name, value)

    def static_keys(self) -> None:
        """Give it keys of its own."""
        self.keys.add(KEY)
        self.set(AWS_ACCESS_KEY_ID=KEY.id, AWS_SECRET_ACCESS_KEY=KEY.secret)

    def web_identity(self, sts: Sts, token: Path) -> None:
        """Have it assume a role by IRSA, and by nothing else."""
        token.write_text("eyJ.first")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            self.environment.delenv(name, raising=False)
        self.set(AWS_ROLE_ARN=ROLE, AWS_WEB_IDENTITY_TOKEN_FILE=str(token), AWS_ENDPOINT_URL_STS=sts.url)

    def session(
        self, *, s3_url: str | None = None, sqs_url: str | None = None, on_aws: bool = False, ask_seconds: float = 1.0
    ) -> AwsSession:
        """A session that asks this pod's S3, another or Amazon's."""
        return AwsSession(AwsOptions(None, None if on_aws else s3_url or self.s3.url, sqs_url, ask_seconds))

    def store(self, session: AwsSession | None = None, options: S3Options | None = None) -> S3Store:
        made = S3Store(options or S3Options(BUCKET), session or self.session(), lambda _: None)
        self._stores.append(made)
        return made

    def close(self) -> None:
        for store in self._stores:
            store.close()

    def signed_by(self) -> list[str]:
        """The access keys of all requests to S3, in order."""
        return [request.access_key for request in self.s3.seen]


def read(store: S3Store, remote: RemoteObject) -> bytes:
    """Read a whole object."""
    data = bytearray(remote.size_bytes)
    with store.open(remote, Span(0, remote.size_bytes)) as body:
        offset = 0
        while count := body.readinto(memoryview(data)[offset:]):
            offset += count
    return bytes(data)
