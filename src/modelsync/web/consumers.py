"""The API's writing of consumers: applications say which revision they run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field, ValidationError

from modelsync.core.names import ModelId
from modelsync.core.objects import Revision
from modelsync.core.rollout import NAME, RUNS
from modelsync.core.status import ModelView
from modelsync.web.access import require_token
from modelsync.web.models import Problem

_MOST_BYTES = 4096

Report = Callable[[ModelId, str, Revision], bool]
"""Takes which revision of a model a consumer runs; False if the model has too many consumers."""


class ConsumerReport(BaseModel):
    """Which revision a consumer runs: the name of the directory that the model's link leads to."""

    consumer: Annotated[str, Field(min_length=1, max_length=253, pattern=f"^{NAME}$")]
    revision: Annotated[str, Field(pattern=f"^{RUNS}$")]


def add_consumers(api: FastAPI, *, model: Callable[[str], ModelView | None], report: Report, token: str | None) -> None:
    """Add the endpoint, on functions that read a model and take a report."""

    @api.post(
        "/api/v1/models/{name:path}/consumers",
        tags=["models"],
        status_code=204,
        dependencies=[Depends(require_token(token))],
        responses={code: {"model": Problem} for code in (401, 403, 404, 409, 413, 422, 429, 503)},
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": ConsumerReport.model_json_schema()}},
            }
        },
    )
    async def report_consumer(name: str, request: Request) -> Response:
        """Say which revision a consumer runs; say it again every few minutes, for it is forgotten after 15."""
        # Read by hand: FastAPI would read a body of any size, and before it looks at the token.
        try:
            said = ConsumerReport.model_validate_json(await _body(request))
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
            raise HTTPException(422, problems) from error
        found = await run_in_threadpool(model, name)
        if found is None:
            raise HTTPException(404, f"there is no model {name!r}")
        if not await run_in_threadpool(report, found.id, said.consumer, Revision(said.revision)):
            raise HTTPException(429, "the model has too many consumers: each must report under one name")
        return Response(status_code=204)


async def _body(request: Request) -> bytes:
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > _MOST_BYTES:
            raise HTTPException(413, f"a report has at most {_MOST_BYTES} bytes")
    return bytes(data)
