"""Where credentials come from: STS, the agent of EKS Pod Identity or ECS, and the instance metadata service."""

from __future__ import annotations

import json
import ssl
import uuid
from datetime import UTC, datetime
from urllib.parse import parse_qs

from fakes.cloud import REGION
from fakes.loopback import Answer, LoopbackServer, Request
from fakes.sigv4 import Key, Keyring


class IdentitySource(LoopbackServer):
    """Issues a new key each time. `lifetime_seconds`: how long each is good; `broken`: the answer instead."""

    def __init__(self, keys: Keyring, *, lifetime_seconds: float = 3600, tls: ssl.SSLContext | None = None) -> None:
        self.keys = keys
        self.lifetime_seconds = lifetime_seconds
        self.broken: Answer | None = None
        super().__init__(tls)

    def answer(self, request: Request) -> Answer:
        return self.broken or self.identify(request)

    def identify(self, request: Request) -> Answer:
        """Answer as it does while it works."""
        raise NotImplementedError

    def issue(self) -> Key:
        return self.keys.issue(self.lifetime_seconds)


class Sts(IdentitySource):
    """AssumeRole, signed by a key that it knows, and AssumeRoleWithWebIdentity, for any token. `asked`: the forms."""

    def __init__(self, keys: Keyring, *, lifetime_seconds: float = 3600, tls: ssl.SSLContext | None = None) -> None:
        self.asked: list[dict[str, str]] = []
        super().__init__(keys, lifetime_seconds=lifetime_seconds, tls=tls)

    def identify(self, request: Request) -> Answer:
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        self.asked.append(form)
        action = form["Action"]
        if action == "AssumeRole" and (code := self.keys.refuse(request, "sts", REGION)) is not None:
            return sts_error(code)
        key = self.issue()
        return Answer(
            200,
            f"<{action}Response><{action}Result><Credentials><AccessKeyId>{key.id}</AccessKeyId>"
            f"<SecretAccessKey>{key.secret}</SecretAccessKey><SessionToken>{key.token}</SessionToken>"
            f"<Expiration>{_iso(key.ends_at)}</Expiration></Credentials></{action}Result></{action}Response>".encode(),
            {"Content-Type": "text/xml"},
        )


def sts_error(code: str, message: str = "no") -> Answer:
    """An error as STS tells it."""
    body = f"<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
    return Answer(403, body.encode(), {"Content-Type": "text/xml"})


class ContainerAgent(IdentitySource):
    """The endpoint of AWS_CONTAINER_CREDENTIALS_FULL_URI. `tokens`: what it was shown."""

    def __init__(self, keys: Keyring, *, lifetime_seconds: float = 3600) -> None:
        self.tokens: list[str] = []
        super().__init__(keys, lifetime_seconds=lifetime_seconds)
        self.full_uri = f"{self.url}/v1/credentials"

    def identify(self, request: Request) -> Answer:
        self.tokens.append(request.headers.get("authorization", ""))
        return _document(self.issue(), timespec="milliseconds")


class InstanceMetadata(IdentitySource):
    """IMDSv2 alone: nothing without a session token that it gave out."""

    def __init__(self, keys: Keyring, *, lifetime_seconds: float = 3600) -> None:
        self._sessions: set[str] = set()
        super().__init__(keys, lifetime_seconds=lifetime_seconds)

    def identify(self, request: Request) -> Answer:
        if request.method == "PUT" and request.path == "/latest/api/token":
            token = uuid.uuid4().hex
            self._sessions.add(token)
            return Answer(200, token.encode())
        if request.headers.get("x-aws-ec2-metadata-token") not in self._sessions:
            return Answer(401)
        match request.path.removeprefix("/latest/meta-data/iam/security-credentials/"):
            case "":
                return Answer(200, b"worker-role")
            case "worker-role":
                return _document(self.issue())
            case _:
                return Answer(404)


def _document(key: Key, *, timespec: str = "seconds") -> Answer:
    document = {
        "Code": "Success",
        "AccessKeyId": key.id,
        "SecretAccessKey": key.secret,
        "Token": key.token,
        "Expiration": _iso(key.ends_at, timespec),
    }
    return Answer(200, json.dumps(document).encode(), {"Content-Type": "application/json"})


def _iso(at: float, timespec: str = "seconds") -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec=timespec).replace("+00:00", "Z")
