"""Who may call what is not for everybody."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

_BEARER = HTTPBearer(auto_error=False, description="API_TOKEN")
_Given = Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]


def require_token(token: str | None) -> Callable[[_Given], Awaitable[None]]:
    """Make a FastAPI dependency that lets a call through only with this bearer token.

    A browser never sends it by itself, so a page of somebody else cannot make it call. Without a
    token everybody is refused (403); a missing or wrong one is answered 401.
    """

    async def check(given: _Given) -> None:
        if token is None:
            raise HTTPException(403, "this call is off: set API_TOKEN to turn it on")
        # Headers are read as latin-1: this gives back the bytes that were sent.
        if given is None or not hmac.compare_digest(given.credentials.encode("latin-1"), token.encode()):
            raise HTTPException(
                401, "send the API_TOKEN: Authorization: Bearer …", headers={"WWW-Authenticate": "Bearer"}
            )

    return check
