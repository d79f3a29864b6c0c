"""The API's reading of models.

Plain functions, which FastAPI runs in threads: they read the volume, and one that hangs must not
keep the probes from answering.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Annotated, Protocol

from fastapi import FastAPI, HTTPException, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from modelsync import __version__
from modelsync.core.status import ModelPage, ModelView, State
from modelsync.errors import VolumeFailed


class Problem(BaseModel):
    """Why there is no answer."""

    detail: str


class Summary(BaseModel):
    """How many models the service knows to be in each state. `at`: its time now, in seconds since the epoch."""

    version: str
    at: float
    models: Mapping[State, int]


class Pages(Protocol):
    """Reads models in order of their names."""

    def __call__(self, limit: int, after: str, contains: str, state: State | None, /) -> ModelPage:
        """At most `limit` of those that come after a name, have this in theirs, and are in this state."""
        ...


def add_models(
    api: FastAPI,
    *,
    model: Callable[[str], ModelView | None],
    models: Pages,
    states: Callable[[], Mapping[State, int]],
) -> None:
    """Add the endpoints, on functions that read a model, a page of them, and count them."""

    @api.get("/api/v1/models", tags=["models"], responses={503: {"model": Problem}})
    def list_models(
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        after: str = "",
        contains: Annotated[str, Query(max_length=1024)] = "",
        state: State | None = None,
    ) -> ModelPage:
        """List the models in order of their names; go on with `after` set to `next` until that is null.

        Only those whose names have `contains` in them, in upper or lower case, and only those in one `state`, if that
        is asked for. A page may have fewer than `limit` before the end.
        """
        return models(limit, after, contains, state)

    @api.get("/api/v1/summary", tags=["models"])
    async def summary() -> Summary:
        """Count the models that the service has seen since its start, by state."""
        return Summary(version=__version__, at=time.time(), models=states())

    @api.get(
        "/api/v1/models/{name:path}", tags=["models"], responses={404: {"model": Problem}, 503: {"model": Problem}}
    )
    def get_model(name: str) -> ModelView:
        """Tell what readers of a model see, and why that is not what the bucket has, if so."""
        found = model(name)
        if found is None:
            raise HTTPException(404, f"there is no model {name!r}")
        return found

    @api.exception_handler(VolumeFailed)
    async def volume_failed(_request: Request, error: VolumeFailed) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 503)
