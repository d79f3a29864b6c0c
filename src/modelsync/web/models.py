"""The API's reading of models.

Plain functions, which FastAPI runs in threads: they read the volume, and one that hangs must not
keep the probes from answering.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import FastAPI, HTTPException, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from modelsync.core.status import ModelPage, ModelView
from modelsync.errors import VolumeFailed


class Problem(BaseModel):
    """Why there is no answer."""

    detail: str


def add_models(
    api: FastAPI, *, model: Callable[[str], ModelView | None], models: Callable[[int, str], ModelPage]
) -> None:
    """Add the endpoints, on functions that read a model and a page of them."""

    @api.get("/api/v1/models", tags=["models"], responses={503: {"model": Problem}})
    def list_models(limit: Annotated[int, Query(ge=1, le=1000)] = 100, after: str = "") -> ModelPage:
        """List the models in order of their names; go on with `after` set to `next` until that is null."""
        return models(limit, after)

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
