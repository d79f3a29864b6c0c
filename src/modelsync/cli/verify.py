"""`modelsync verify`."""

from __future__ import annotations

import json as json_module
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from modelsync.adapters.clock import SystemClock
from modelsync.adapters.volume import LocalVolume
from modelsync.app.bandwidth import Bandwidth
from modelsync.app.board import Board
from modelsync.app.repair import Repairer
from modelsync.app.verify import CHUNK_BYTES, Check, Verified, Verifier, paced
from modelsync.cli.common import models_named, stop_on_signals
from modelsync.cli.main import FAILED, SOME_FAILED
from modelsync.cli.once import run_once
from modelsync.config import load
from modelsync.config.load import Configuration
from modelsync.config.options import logs, naming
from modelsync.core.names import ModelId
from modelsync.errors import ConfigurationError, ModelBusy, Stopped, VolumeUnusable
from modelsync.service.parts import build_parts
from modelsync.service.telling import telling
from modelsync.telemetry.logs import FactLogger, configure_logging

_BUSY_PATIENCE_SECONDS = 30.0


@dataclass(frozen=True)
class _Row:
    """A model's answer. `state` is `ok`, `damaged` or `repaired`; `reason`: why it is not repaired."""

    verified: Verified
    state: str
    reason: str | None = None


def verify_models(names: Sequence[str], *, repair: bool, rate: int, json: bool) -> int:
    """Read what is published and tell what is wrong with it; return the exit code.

    Args:
        names: of models; empty means all.
        repair: have what is damaged built anew.
        rate: bytes per second; 0: as fast as it goes.
        json: print JSON.

    Raises:
        ConfigurationError: it cannot start, or a model is not there.
        ModelSyncError: the volume failed as a whole.
    """
    configuration = load()
    configure_logging(logs(configuration.settings))
    named = models_named(names, naming(configuration.settings))
    volume = LocalVolume(configuration.settings.models_base_path)
    models = _chosen(volume, named, str(configuration.settings.models_base_path))
    stop = stop_on_signals()
    bandwidth = Bandwidth(rate, SystemClock())
    verifier = Verifier(volume, bandwidth.read_bytes(CHUNK_BYTES))
    check = paced(bandwidth, stop, lambda: None)
    try:
        found = [verifier.model(model, check) for model in models]
        rows = {item.model: _Row(item, "damaged" if item.findings else "ok") for item in found}
        broken = [item for item in found if item.findings]
        if repair and broken:
            rows |= _repair(configuration, broken, verifier, check, stop)
    except Stopped:
        sys.stderr.write("modelsync: interrupted; what was put on record is repaired by the next sync\n")
        return FAILED
    _print(list(rows.values()), json=json)
    return SOME_FAILED if any(row.state == "damaged" for row in rows.values()) else 0


def _chosen(volume: LocalVolume, named: Sequence[ModelId], base: str) -> list[ModelId]:
    """The models to verify: those named, or all that are published."""
    if not volume.readable():
        raise VolumeUnusable(f"MODELS_BASE_PATH={base} cannot be read: mount the volume there, or set the right path")
    published = [model for model in volume.models() if _is_published(volume, model)]
    unknown = [model for model in named if model not in published]
    if unknown:
        raise ConfigurationError(*(f"no model {model!r} is published on {base}" for model in unknown))
    return list(dict.fromkeys(named)) or published


def _is_published(volume: LocalVolume, model: ModelId) -> bool:
    found = volume.published(model)
    return bool(found.current or found.linked or found.kept)


def _repair(
    configuration: Configuration, broken: Sequence[Verified], verifier: Verifier, check: Check, stop: threading.Event
) -> dict[ModelId, _Row]:
    """Set aside what is damaged, sync its models, and read them again."""
    logger = FactLogger()
    with telling(configuration.settings, logger) as teller:
        parts = build_parts(configuration, board=Board(SystemClock()), sinks=[logger, teller])
        try:
            parts.volume.check()
            repairer = Repairer(parts.volume, verifier, parts.clock, parts.observe)
            reasons: dict[ModelId, str] = {}
            for item in broken:
                try:
                    _settle(repairer, item, check, stop)
                except ModelBusy as error:
                    reasons[item.model] = str(error)
            outcomes = run_once(configuration, parts, [item.model for item in broken], stop)
            reasons = {outcome.model: outcome.result.reason for outcome in outcomes} | reasons
        finally:
            parts.close()
    rows = {}
    for before in broken:
        after = verifier.model(before.model, check)
        repaired = _Row(before, "repaired")
        rows[before.model] = _Row(after, "damaged", reasons.get(after.model)) if after.findings else repaired
    return rows


def _settle(repairer: Repairer, item: Verified, check: Check, stop: threading.Event) -> None:
    for revision in {revision for revision, _ in item.findings if revision is not None}:
        paths = {finding.path for whose, finding in item.findings if whose == revision}
        repairer.settle(item.model, revision, paths, check, stop=stop, patience_seconds=_BUSY_PATIENCE_SECONDS)


def _print(rows: Sequence[_Row], *, json: bool) -> None:
    if json:
        sys.stdout.write(json_module.dumps({"models": [_document(row) for row in rows]}, indent=2) + "\n")
        return
    if not rows:
        sys.stdout.write("nothing is published\n")
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("model", "state", "files", "bytes", "found"):
        table.add_column(column, overflow="fold", justify="right" if column in {"files", "bytes"} else "left")
    for row in rows:
        about = row.verified
        # Text: names may hold what rich takes for markup.
        table.add_row(
            Text(about.model),
            Text(row.state, style="" if row.state == "ok" else "bold"),
            str(about.files),
            f"{about.size_bytes:,}",
            Text("\n".join(_sentences(row))),
        )
    console = Console()
    console.print(table, soft_wrap=not console.is_terminal)


def _sentences(row: _Row) -> list[str]:
    told = []
    for revision, finding in row.verified.findings:
        kept = f" (in revision {revision}, which is kept)" if revision not in {None, row.verified.revision} else ""
        told.append(f"{finding}{kept}")
    return [*told, f"not repaired: {row.reason}"] if row.reason else told


def _document(row: _Row) -> dict[str, object]:
    about = row.verified
    findings = [{"revision": revision} | asdict(finding) for revision, finding in about.findings]
    document: dict[str, object] = {
        "model": about.model,
        "state": row.state,
        "revision": about.revision,
        "files": about.files,
        "size_bytes": about.size_bytes,
        "findings": findings,
    }
    return document | ({"reason": row.reason} if row.reason else {})
