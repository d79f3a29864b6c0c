"""Recent activity, and the stream of events as server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Annotated, Any

from fastapi import FastAPI, Header, Query
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from modelsync.core.live import Entry
from modelsync.core.notices import Activity
from modelsync.ports.live import Subscribe, Subscription
from modelsync.web.models import Problem

_HEARTBEAT_SECONDS = 15.0
_SEND_SECONDS = 10.0
_RETRY_SECONDS = 5


class ActivityPage(BaseModel):
    """The newest activity, newest first; times in seconds since the epoch."""

    activity: list[Activity]


def add_events(
    api: FastAPI, *, activity: Callable[[int, str | None], Sequence[Activity]], subscribe: Subscribe
) -> None:
    """Add the endpoints, on functions that tell the newest activity and begin to read the stream."""

    @api.get("/api/v1/activity", tags=["activity"])
    async def list_activity(
        limit: Annotated[int, Query(ge=1, le=1000)] = 100, model: str | None = None
    ) -> ActivityPage:
        """Tell what happened lately, newest first, of one model or of all. It is forgotten at a restart."""
        return ActivityPage(activity=list(activity(limit, model)))

    @api.get(
        "/api/v1/events",
        tags=["activity"],
        response_class=Response,
        responses={
            200: {"content": {"text/event-stream": {}}, "description": "The stream."},
            503: {"model": Problem, "description": "Too many read it already."},
        },
    )
    async def stream_events(last_event_id: Annotated[str | None, Header()] = None) -> Response:
        """Send what happens as it happens.

        `published`, `rejected` and `unpublished` carry the CloudEvents that webhooks get, with an id to resume after;
        `sync`, `progress` and `health` tell how models and checks stand, `activity` has what the log of activity gets.
        It begins with the `progress` of what is being transferred; a transfer has ended when its `sync` has.
        """
        return EventStream(subscribe, last_event_id)


class EventStream(Response):
    """An answer that goes on until its reader leaves, falls behind, or the service ends."""

    def __init__(
        self,
        subscribe: Subscribe,
        last_id: str | None,
        *,
        heartbeat_seconds: float = _HEARTBEAT_SECONDS,
        send_seconds: float = _SEND_SECONDS,
    ) -> None:
        super().__init__()
        self._subscribe = subscribe
        self._last_id = last_id
        self._heartbeat_seconds = heartbeat_seconds
        self._send_seconds = send_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve it."""
        loop, news = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(news.set)

        subscription = self._subscribe(wake, self._last_id)
        if subscription is None:
            problem = {"detail": "too many read the stream already, or the service ends"}
            await JSONResponse(problem, 503, {"Retry-After": str(_RETRY_SECONDS)})(scope, receive, send)
            return
        leaving = asyncio.create_task(_left(receive))
        leaving.add_done_callback(lambda _: news.set())
        try:
            await self._serve(subscription, news, leaving, send)
        except TimeoutError:
            pass  # it does not read: the connection is closed
        finally:
            subscription.close()
            leaving.cancel()

    async def _serve(
        self, subscription: Subscription, news: asyncio.Event, leaving: asyncio.Task[None], send: Send
    ) -> None:
        headers = [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),  # nginx would hold events back until it has a page of them
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._send(send, f"retry: {_RETRY_SECONDS * 1000}\n\n")
        while not leaving.done():
            news.clear()
            entries = subscription.take()
            if entries is None:
                await self._send(send, "", more=False)
                return
            if entries:
                await self._send(send, "".join(map(event_text, entries)))
                continue
            try:
                async with asyncio.timeout(self._heartbeat_seconds):
                    await news.wait()
            except TimeoutError:
                await self._send(send, ":\n\n")

    async def _send(self, send: Send, text: str, *, more: bool = True) -> None:
        async with asyncio.timeout(self._send_seconds):
            await send({"type": "http.response.body", "body": text.encode(), "more_body": more})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def event_text(entry: Entry) -> str:
    """An event as the stream has it."""
    name: dict[str, Any] = {"id": entry.id} if entry.id is not None else {}
    lines = {**name, "event": entry.kind, "data": json.dumps(entry.data)}
    return "".join(f"{field}: {value}\n" for field, value in lines.items()) + "\n"
