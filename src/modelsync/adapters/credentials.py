"""Credentials for all clients: found by botocore's chain, renewed before they end and after they were refused."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from modelsync.adapters.network import explain, one_line
from modelsync.errors import StoreDenied

if TYPE_CHECKING:  # one command asks for it
    from modelsync.core.doctor.identity import Identity

REFUSED = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "InvalidToken",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
        "UnrecognizedClientException",
    }
)
"""Codes by which S3 and SQS say that the credentials themselves are no good, or no longer."""
_NOWHERE = (
    "no AWS credentials found: give the pod a role (IRSA or EKS Pod Identity), or set AWS_ACCESS_KEY_ID and"
    " AWS_SECRET_ACCESS_KEY"
)


@dataclass(frozen=True)
class Keys:
    """What requests are signed with, under the names that botocore uses too. `token`: a session's, if it is one's."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)
    method: ClassVar[str] = "env"

    def get_frozen_credentials(self) -> Keys:
        """These never end."""
        return self

    def refresh_needed(self, _within_seconds: float) -> bool:
        """Never."""
        return False


def keys_of(environment: Mapping[str, str]) -> Keys | None:
    """The static keys of an environment: what the chain looks at first, without loading it. None: ask the chain."""
    key, secret = environment.get("AWS_ACCESS_KEY_ID"), environment.get("AWS_SECRET_ACCESS_KEY")
    if not key or not secret or environment.keys() & {"AWS_CREDENTIAL_EXPIRATION", "AWS_SECURITY_TOKEN"}:
        return None
    return Keys(key, secret, environment.get("AWS_SESSION_TOKEN"))


class Credentials:
    """What signs requests. Thread-safe.

    botocore's own objects refresh themselves at every use from 15 minutes before the end, and fail
    from 10 minutes before it. Here the chain is asked once in `ask_seconds` at most, by one thread,
    while the others go by the last answer, which counts until its end: a source that hangs holds up
    nobody who has credentials.
    """

    def __init__(self, find: Callable[[], Any], ask_seconds: float) -> None:
        """Nothing is asked for yet.

        Args:
            find: walks the chain from its start, and returns botocore's credentials or None.
            ask_seconds: least time between two questions.
        """
        self._find = find
        self._ask_seconds = ask_seconds
        self._asking = threading.Lock()
        self._due = time.monotonic()
        self._found: Any = None
        self._valid: Keys | None = None
        self._failure = ""

    def get_frozen_credentials(self) -> Keys:
        """The credentials that are valid now, by the name that botocore's clients know.

        Raises:
            StoreDenied: none can be found, or they have ended and cannot be renewed.
        """
        if time.monotonic() >= self._due and self._asking.acquire(blocking=self._valid is None):
            try:
                if time.monotonic() >= self._due:
                    self._ask()
                    self._due = time.monotonic() + self._ask_seconds
            finally:
                self._asking.release()
        if (valid := self._valid) is None:
            raise StoreDenied(self._failure)
        return valid

    def renew(self) -> None:
        """Walk the chain again next time: what it found was refused, and a file may have changed."""
        self._found = None

    def identity(self) -> Identity:
        """Where they come from and when they end.

        Raises:
            StoreDenied: as `get_frozen_credentials`.
        """
        from modelsync.core.doctor.identity import Identity

        token, found = self.get_frozen_credentials().token, self._found
        ends = getattr(found, "_expiry_time", None)  # botocore tells it in no other way
        method = one_line(getattr(found, "method", "") or "unknown")
        return Identity(method, session=token is not None, ends_at=ends.timestamp() if ends else None)

    def load_credentials(self) -> Credentials:
        """Let a botocore session take this for its chain."""
        return self

    def get_deferred_property(self, _name: str) -> Callable[[], None]:
        """Tell botocore's clients that nothing more is known, such as the account."""
        return lambda: None

    def _ask(self) -> None:
        found: Any = self._found
        try:
            if found is None:
                found = self._find()
            self._valid = None if found is None else _checked(found.get_frozen_credentials())
            self._failure = _NOWHERE
        except StoreDenied as error:
            found, self._valid, self._failure = None, None, str(error)
        except Exception as error:  # noqa: BLE001 - botocore lets through what files, STS and metadata servers throw
            self._failure = _sentence(error)
            if found is None or found.refresh_needed(0):
                self._valid = None
        self._found = found


def _checked(found: Any) -> Keys:
    """Refuse what is none: parts of an error's body, or the newline at the end of a mounted secret."""
    values: list[Any] = [found.access_key, found.secret_key, found.token or ""]
    if not all(isinstance(value, str) for value in values) or not all(values[:2]):
        raise StoreDenied("AWS credentials cannot be had: their source answered without an access key and a secret")
    if any(value != value.strip() or not value.isprintable() for value in values):
        raise StoreDenied(
            "an AWS key, secret or session token has white space or control characters in it: store it without"
        )
    return Keys(found.access_key, found.secret_key, found.token or None)


def _sentence(error: Exception) -> str:
    from botocore.exceptions import BotoCoreError, ClientError

    if (known := explain(error)) is not None:
        return f"AWS credentials cannot be had: {known}"
    if isinstance(error, (BotoCoreError, ClientError, OSError)):
        return f"AWS credentials cannot be had: {one_line(error)}: check the pod's role and the way to their source"
    what = one_line(f"{type(error).__name__}: {error}")
    return f"AWS credentials cannot be had: their source answered something else ({what}): check the pod's role"
