"""`modelsync status`."""

from __future__ import annotations

import json as json_module
import os
import sys
import time
from dataclasses import asdict

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from modelsync.adapters.service import ServiceClient
from modelsync.adapters.volume import LocalVolume
from modelsync.app.models import Models
from modelsync.config import load
from modelsync.config.fields import without_userinfo
from modelsync.core.names import ModelId
from modelsync.core.status import ModelView, State, enriched
from modelsync.errors import ModelSyncError, ServiceUnavailable, VolumeUnusable

_PAGE = 1000
_SIGNER = len("sha256:") + 12  # of a fingerprint


def show_status(name: str | None, *, url: str | None, json: bool) -> None:
    """Show models as the volume has them, and what a running worker adds to that.

    Args:
        name: one model; None: all.
        url: the worker's HTTP interface; None: by the environment.
        json: print one JSON document.

    Raises:
        ConfigurationError: there is no volume.
        ModelSyncError: there is no such model, or the volume cannot be read.
    """
    settings = load({**os.environ, **({"MODELSYNC_URL": url} if url else {})}, bucket=False).settings
    volume = LocalVolume(settings.models_base_path)
    if not volume.readable():
        raise VolumeUnusable(f"MODELS_BASE_PATH={settings.models_base_path} cannot be read: mount the volume there")
    silence, live = _live(ServiceClient(without_userinfo(settings.modelsync_url)), name)
    views = _views(Models(volume, dict), live, name)
    if name is not None and not views:
        raise ModelSyncError(f"there is no model {name!r} on {settings.models_base_path}")
    reconciled = volume.reconciled()
    reconciled_at = reconciled.finished_at if reconciled else None
    if json:
        document = {
            "models": [asdict(view) for view in views],
            "reconciled_at": reconciled_at,
            "worker": {"answers": silence is None, "reason": silence},
        }
        sys.stdout.write(json_module.dumps(document, indent=2) + "\n")
    else:
        _show(views, reconciled_at, silence)


def _live(service: ServiceClient, name: str | None) -> tuple[str | None, dict[ModelId, ModelView]]:
    """Ask a worker; return why it does not answer, or None, and what it says."""
    try:
        if name is None:
            views = service.models()
        else:
            view = service.model(ModelId(name))
            views = [view] if view else []
    except ServiceUnavailable as error:
        return str(error), {}
    return None, {view.id: view for view in views}


def _views(models: Models, live: dict[ModelId, ModelView], name: str | None) -> list[ModelView]:
    if name is not None:
        view = enriched(models.one(name), live.get(ModelId(name)))
        return [view] if view else []
    own: dict[ModelId, ModelView] = {}
    after: str | None = ""
    while after is not None:
        page = models.page(_PAGE, after)
        own |= {view.id: view for view in page.models}
        after = page.next
    merged = [enriched(own.get(model), live.get(model)) for model in sorted({*own, *live})]
    return [view for view in merged if view is not None]


def _show(views: list[ModelView], reconciled_at: float | None, silence: str | None) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    signed = any(view.signer or view.unsigned for view in views)
    for column in ("model", "state", "revision", *(["signer"] if signed else []), "published", "in step", "reason"):
        table.add_column(column, overflow="fold")
    now = time.time()
    for view in views:
        revision = f"{view.revision[:12]}{' pinned' if view.pinned else ''}" if view.revision else ""
        row = (
            view.id,
            view.state,
            revision,
            *([_signer(view)] if signed else []),
            _age(view.published_at, now),
            _age(view.synced_at, now),
            _reason(view),
        )
        table.add_row(*map(escape, row))
    console = Console(highlight=False)
    console.print(table if views else "no models", soft_wrap=not console.is_terminal)
    console.print(f"last comparison with the bucket: {_age(reconciled_at, now) or 'never'}")
    if silence is not None:
        console.print(f"by the volume alone: {escape(silence)}", soft_wrap=True)


def _reason(view: ModelView) -> str:
    """Why it is not the newest, of a refusal also by which rule; or why it counts as unsigned."""
    refused = view.refusal if view.state is State.REJECTED else None
    return f"{refused.rule}: {view.reason}" if refused else view.reason or view.unsigned or ""


def _signer(view: ModelView) -> str:
    if view.signer is None:
        return "unsigned" if view.unsigned else ""
    return view.signer[:_SIGNER] if view.signer.startswith("sha256:") else view.signer


def _age(at: float | None, now: float) -> str:
    """How long ago, roughly.

    Examples:
        >>> _age(0.0, 7300.0)
        '2 h ago'
    """
    if at is None:
        return ""
    seconds = max(now - at, 0.0)
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"
