"""How much a caller may send: bodies are read before anybody asks who sent them."""

from __future__ import annotations

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

MOST_BYTES = 16 << 10


class BoundedBodies:
    """ASGI middleware: refuses bodies that are large, or do not say how large they are."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 411 or 413, or hand on."""
        headers = dict(scope.get("headers", ()))
        length = headers.get(b"content-length", b"0")  # the server has seen that it is a number
        if b"transfer-encoding" in headers:
            answer = JSONResponse({"detail": "send a Content-Length"}, 411)
        elif int(length) > MOST_BYTES:
            answer = JSONResponse({"detail": f"send no more than {MOST_BYTES} bytes"}, 413)
        else:
            await self._app(scope, receive, send)
            return
        await answer(scope, receive, send)
