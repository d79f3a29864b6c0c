"""The endpoints, on functions that the composition gives them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from modelsync import __version__
from modelsync.core.health import Check, Status, verdict
from modelsync.core.notices import Activity
from modelsync.core.status import ModelView, State
from modelsync.ports.live import Subscribe
from modelsync.web.bodies import BoundedBodies
from modelsync.web.consumers import Report, add_consumers
from modelsync.web.events import add_events
from modelsync.web.models import Pages, add_models
from modelsync.web.reference import add_reference
from modelsync.web.site import add_page
from modelsync.web.writing import Commands, add_reconcile, add_writing


@dataclass(frozen=True)
class Views:
    """What the endpoints show.

    Attributes:
        checks: the health checks by name.
        not_ready: why models are not ready to be read, or None if they are.
        silent: loops that do not beat, and for how many seconds.
        metrics: Prometheus' text format.
        model: a model by its name, or None if there is none.
        models: a page of them.
        states: how many are in each state.
        activity: the newest activity, at most so much, of one model or of all.
        subscribe: begins to read the stream of events.
        report: takes which revision of a model a consumer runs.
    """

    checks: Callable[[], Mapping[str, Check]]
    not_ready: Callable[[], str | None]
    silent: Callable[[], Mapping[str, float]]
    metrics: Callable[[], bytes]
    model: Callable[[str], ModelView | None]
    models: Pages
    states: Callable[[], Mapping[State, int]]
    activity: Callable[[int, str | None], Sequence[Activity]]
    subscribe: Subscribe
    report: Report


class CheckAnswer(BaseModel):
    """One health check. `since`: seconds since the epoch."""

    status: Status
    reason: str
    since: float


class HealthAnswer(BaseModel):
    """All health checks and the worst of them."""

    status: Status
    checks: dict[str, CheckAnswer]


class ProbeAnswer(BaseModel):
    """Answer of a probe; `reason` where it fails."""

    status: str
    reason: str | None = None


def make_api(views: Views, commands: Commands) -> FastAPI:
    """Build the application."""
    api = FastAPI(
        title="modelsync",
        version=__version__,
        description="Keeps AI models on a shared volume in step with S3.",
        docs_url=None,  # these come from another host; `reference` has ours
        redoc_url=None,
    )
    api.add_middleware(BoundedBodies)

    # `def` endpoints would cost a thread pool and a hop; none of these blocks.
    @api.get("/health", response_model=HealthAnswer, responses={503: {"model": HealthAnswer}}, tags=["probes"])
    async def health() -> Any:
        """Tell what works and what does not; 503 only if models cannot be served."""
        checks = views.checks()
        worst = verdict(checks.values())
        body = {
            "status": worst.value,
            "checks": {
                name: {"status": check.status.value, "reason": check.reason, "since": check.since}
                for name, check in sorted(checks.items())
            },
        }
        return JSONResponse(body, 503 if worst is Status.UNHEALTHY else 200)

    @api.get("/ready", response_model=ProbeAnswer, responses={503: {"model": ProbeAnswer}}, tags=["probes"])
    async def ready() -> Any:
        """Tell whether models can be read: with or without AWS, once a first reconcile has ever finished."""
        return _probe("ready", views.not_ready())

    @api.get("/live", response_model=ProbeAnswer, responses={503: {"model": ProbeAnswer}}, tags=["probes"])
    async def live() -> Any:
        """Tell whether every loop beats."""
        silent = views.silent()
        told = ", ".join(f"{name} has not beaten for {seconds:.0f} s" for name, seconds in sorted(silent.items()))
        return _probe("live", told or None)

    @api.get("/metrics", response_class=Response, tags=["metrics"])
    async def metrics() -> Response:
        """Metrics in Prometheus' text format."""
        return Response(views.metrics(), media_type="text/plain; version=0.0.4; charset=utf-8")

    add_consumers(api, model=views.model, report=views.report, token=commands.token)
    add_events(api, activity=views.activity, subscribe=views.subscribe)
    add_writing(api, commands, model=views.model)
    add_reconcile(api, commands)
    add_models(api, model=views.model, models=views.models, states=views.states)
    add_page(api)
    add_reference(api)
    return api


def _probe(good: str, problem: str | None) -> JSONResponse:
    if problem is None:
        return JSONResponse({"status": good})
    return JSONResponse({"status": f"not {good}", "reason": problem}, 503)
