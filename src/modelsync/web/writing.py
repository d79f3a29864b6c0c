"""The API's writing.

Plain functions, which FastAPI runs in threads: they wait for locks and S3, and must not keep the
probes from answering. No more than a few run at once, so that reading finds a thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from modelsync.core.names import ModelId
from modelsync.core.rollback import Overridden, check_reason
from modelsync.core.status import ModelView
from modelsync.errors import ModelBusy, NotPossible, Stopped, TryAgain
from modelsync.web.access import require_token
from modelsync.web.models import Problem

_AT_ONCE = 4
_AGAIN = {"Retry-After": "5"}


@dataclass(frozen=True)
class Commands:
    """What the endpoints do.

    Attributes:
        token: what callers must send; None: all writing is off.
        sync: have a model looked at now; if asked, also what was refused.
        rollback: to a revision, or the one before.
        pin: with a reason, or without.
        unpin: and have the model looked at.
        reconcile: have everything compared with the bucket as soon as possible.
    """

    token: str | None = field(repr=False)
    sync: Callable[[ModelId, bool], None]
    rollback: Callable[[ModelId, str | None], Overridden]
    pin: Callable[[ModelId, str | None], Overridden]
    unpin: Callable[[ModelId], Overridden]
    reconcile: Callable[[], None]


class _Order(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SyncOrder(_Order):
    """`recheck`: fetch and judge again what was refused."""

    recheck: bool = False


class RollbackOrder(_Order):
    """Where to: a revision's name or at least its first 6 characters; without it, the one before."""

    to: Annotated[str | None, Field(max_length=64)] = None


class PinOrder(_Order):
    """Why, for people."""

    reason: Annotated[str, AfterValidator(check_reason)] | None = None


class Accepted(BaseModel):
    """What will be done."""

    model: ModelId
    reason: str


class ComparisonAccepted(BaseModel):
    """What will be done with all models."""

    reason: str


def add_writing(api: FastAPI, commands: Commands, *, model: Callable[[str], ModelView | None]) -> None:
    """Add the endpoints; `model` reads one."""
    router = APIRouter(
        prefix="/api/v1/models",
        tags=["models"],
        dependencies=[Depends(require_token(commands.token))],
        responses={status: {"model": Problem} for status in (401, 403, 404, 409, 503)},
    )
    slots = threading.BoundedSemaphore(_AT_ONCE)

    @contextmanager
    def known(name: str) -> Iterator[ModelId]:
        if not slots.acquire(blocking=False):
            raise HTTPException(503, f"{_AT_ONCE} calls are being carried out: try again", _AGAIN)
        try:
            if model(name) is None:
                raise HTTPException(404, f"there is no model {name!r}")
            yield ModelId(name)
        finally:
            slots.release()

    @router.post("/{name:path}/sync", status_code=202)
    def sync(name: str, order: SyncOrder | None = None) -> Accepted:
        """Compare a model with the bucket now, as an event would have it done."""
        with known(name) as found:
            commands.sync(found, order is not None and order.recheck)
            return Accepted(model=found, reason="it is looked at now")

    @router.post("/{name:path}/rollback")
    def rollback(name: str, order: RollbackOrder | None = None) -> Overridden:
        """Switch readers to an earlier revision, and pin the model to it. Answers when that is done."""
        with known(name) as found:
            return commands.rollback(found, order.to if order else None)

    @router.post("/{name:path}/pin")
    def pin(name: str, order: PinOrder | None = None) -> Overridden:
        """Keep what readers see now, whatever the bucket has."""
        with known(name) as found:
            return commands.pin(found, order.reason if order else None)

    @router.post("/{name:path}/unpin")
    def unpin(name: str) -> Overridden:
        """Let the bucket decide again what readers see; the model is looked at now."""
        with known(name) as found:
            return commands.unpin(found)

    api.include_router(router)

    @api.exception_handler(NotPossible)
    @api.exception_handler(ModelBusy)
    async def conflict(_request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 409)

    @api.exception_handler(TryAgain)
    @api.exception_handler(Stopped)
    async def later(_request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 503, _AGAIN)


def add_reconcile(api: FastAPI, commands: Commands) -> None:
    """Add the call that is about all models."""

    @api.post(
        "/api/v1/reconcile",
        status_code=202,
        tags=["models"],
        dependencies=[Depends(require_token(commands.token))],
        responses={status: {"model": Problem} for status in (401, 403)},
    )
    async def reconcile() -> ComparisonAccepted:
        """Compare the whole bucket with the volume now, as SIGHUP does."""
        commands.reconcile()
        return ComparisonAccepted(reason="the bucket is compared with the volume now")
