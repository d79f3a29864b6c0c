"""`modelsync sync`."""

from __future__ import annotations

import json as json_module
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from modelsync.adapters.clock import SystemClock
from modelsync.app.board import Board
from modelsync.app.once import OneShot
from modelsync.cli.main import FAILED, SOME_FAILED
from modelsync.cli.signals import stop_on_signals
from modelsync.config import load
from modelsync.config.load import Configuration
from modelsync.config.options import logs, naming
from modelsync.core.facts import Outcome
from modelsync.core.names import ModelId, parse_model
from modelsync.core.plan import Build, Decision
from modelsync.errors import ConfigurationError, Stopped
from modelsync.service.parts import Parts, build_parts
from modelsync.telemetry.logs import FactLogger, configure_logging

_GOOD = {Outcome.SUCCESS, Outcome.NOOP}


@dataclass(frozen=True)
class _Row:
    model: str
    outcome: str
    revision: str | None
    reason: str
    size_bytes: int | None = None


def sync_once(names: Sequence[str], *, json: bool) -> int:
    """Sync and tell how each model ended; return the exit code.

    Raises:
        ConfigurationError: it cannot start.
        ModelSyncError: bucket or volume failed as a whole.
    """
    configuration, parts, models = _start(names)
    stop = stop_on_signals()
    parts.volume.check()
    shot = OneShot(
        comparison=parts.comparison,
        sync=parts.sync,
        dirty=parts.dirty,
        volume=parts.volume,
        clock=parts.clock,
        failing=parts.board.failing,
        workers=configuration.settings.sync_workers,
    )
    try:
        outcomes = shot.run(models, stop)
    except Stopped:
        sys.stderr.write("modelsync: interrupted; what was downloaded is kept and resumed next time\n")
        return FAILED
    finally:
        parts.close()
    rows = [_Row(item.model, item.result.outcome.value, item.result.revision, item.result.reason) for item in outcomes]
    _print(rows, json=json, empty="every model is as the bucket has it")
    return 0 if all(item.result.outcome in _GOOD for item in outcomes) else SOME_FAILED


def preview_once(names: Sequence[str], *, json: bool) -> int:
    """Tell what a sync would do; return the exit code.

    Raises:
        ConfigurationError: it cannot start.
        ModelSyncError: bucket or volume failed.
    """
    _, parts, models = _start(names)
    stop = threading.Event()
    chosen = list(models)
    if not chosen:
        parts.comparison.run(chosen.append, stop, lambda: None)
    rows = [_row(model, parts.sync.preview(model, stop=stop)) for model in chosen]
    parts.close()
    _print(rows, json=json, empty="nothing to do: every model is as the bucket has it")
    return 0


def _start(names: Sequence[str]) -> tuple[Configuration, Parts, list[ModelId]]:
    configuration = load()
    configure_logging(logs(configuration.settings))
    try:
        models = [parse_model(name, naming(configuration.settings)) for name in names]
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
    return configuration, build_parts(configuration, board=Board(SystemClock()), sinks=[FactLogger()]), models


def _row(model: ModelId, decision: Decision) -> _Row:
    size_bytes = decision.size_bytes if isinstance(decision, Build) else None
    revision = getattr(decision, "revision", None)
    return _Row(model, type(decision).__name__.lower(), revision, decision.reason, size_bytes)


def _print(rows: Sequence[_Row], *, json: bool, empty: str) -> None:
    if json:
        document = [{key: value for key, value in vars(row).items() if value is not None} for row in rows]
        sys.stdout.write(json_module.dumps({"models": document}, indent=2) + "\n")
        return
    if not rows:
        sys.stdout.write(f"{empty}\n")
    for row in rows:
        size = f" ({row.size_bytes:,} bytes)" if row.size_bytes is not None else ""
        sys.stdout.write(f"{row.model}: {row.outcome}{size}: {row.reason}\n")
