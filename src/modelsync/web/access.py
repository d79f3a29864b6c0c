"""Who may call what changes something."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import Depends, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import SecretStr

_BEARER = HTTPBearer(auto_error=False, description="The worker's API_TOKEN.")
_Given = Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]


def require_token(token: SecretStr | str | None) -> Callable[..., Coroutine[Any, Any, None]]:
    """Make a dependency that lets a request pass only with the bearer token.

    It answers 401 without the right token, and 403 where there is none to have: writing is off then.
    """
    secret = token.get_secret_value() if isinstance(token, SecretStr) else token

    async def check(given: _Given) -> None:
        if not secret:
            raise HTTPException(403, "writing is off: set API_TOKEN on the worker to allow it")
        if given is None or not hmac.compare_digest(given.credentials.encode(), secret.encode()):
            raise HTTPException(
                401, "a bearer token is needed: API_TOKEN of the worker", {"WWW-Authenticate": "Bearer"}
            )

    return check
