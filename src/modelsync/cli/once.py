"""`modelsync sync`."""

from __future__ import annotations

import json as json_module
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from modelsync.adapters.clock import SystemClock
from modelsync.app.board import Board
from modelsync.app.once import ModelOutcome, OneShot
from modelsync.app.overrides import Overrides
from modelsync.cli.common import models_named, stop_on_signals
from modelsync.cli.main import FAILED, SOME_FAILED
from modelsync.config import load
from modelsync.config.load import Configuration
from modelsync.config.options import logs, naming
from modelsync.core.facts import Outcome
from modelsync.core.names import ModelId
from modelsync.core.plan import Build, Decision
from modelsync.errors import Stopped
from modelsync.service.fanout import FanOut
from modelsync.service.parts import Parts, build_parts
from modelsync.service.telling import telling
from modelsync.telemetry.logs import FactLogger, configure_logging

_BUSY_PATIENCE_SECONDS = 30.0
_GOOD = {Outcome.SUCCESS, Outcome.NOOP}


@dataclass(frozen=True)
class _Row:
    model: str
    outcome: str
    revision: str | None
    reason: str
    size_bytes: int | None = None


def sync_once(names: Sequence[str], *, recheck: bool, json: bool) -> int:
    """Sync and tell how each model ended; return the exit code.

    Raises:
        ConfigurationError: it cannot start.
        ModelSyncError: bucket or volume failed as a whole.
    """
    configuration, models = _start(names)
    board, logger = Board(SystemClock()), FactLogger()
    with telling(configuration.settings, FanOut([board, logger])) as teller:
        parts = build_parts(configuration, board=board, sinks=[logger, teller])
        stop = stop_on_signals()
        parts.volume.check()
        try:
            if recheck:
                _pardon(parts, models, stop)
            outcomes = run_once(configuration, parts, models, stop)
        except Stopped:
            sys.stderr.write("modelsync: interrupted; what was downloaded is kept and resumed next time\n")
            return FAILED
        finally:
            parts.close()
        rows = [_Row(one.model, one.result.outcome.value, one.result.revision, one.result.reason) for one in outcomes]
        _print(rows, json=json, empty="every model is as the bucket has it")
    return 0 if all(item.result.outcome in _GOOD for item in outcomes) else SOME_FAILED


def _pardon(parts: Parts, models: Sequence[ModelId], stop: threading.Event) -> None:
    """Forget what was refused of these models; of all if none is named."""
    overrides = Overrides(
        volume=parts.volume,
        refetch=parts.refetch,
        make_room=parts.collector.make_room,
        clock=parts.clock,
        observe=parts.observe,
        by="command",
        stop=stop,
        patience_seconds=_BUSY_PATIENCE_SECONDS,
    )
    for model in models or parts.volume.models():
        overrides.recheck(model)


def run_once(
    configuration: Configuration, parts: Parts, models: Sequence[ModelId], stop: threading.Event
) -> list[ModelOutcome]:
    """Sync these models, or all if there are none, and say how each ended.

    Raises:
        ModelSyncError: bucket or volume failed as a whole, or `stop` was set.
    """
    shot = OneShot(
        comparison=parts.comparison,
        sync=parts.sync,
        dirty=parts.dirty,
        volume=parts.volume,
        clock=parts.clock,
        failing=parts.board.failing,
        gone=parts.board.gone,
        workers=configuration.settings.sync_workers,
    )
    return shot.run(models, stop)


def preview_once(names: Sequence[str], *, json: bool) -> int:
    """Tell what a sync would do; return the exit code.

    Raises:
        ConfigurationError: it cannot start.
        ModelSyncError: bucket or volume failed.
    """
    configuration, models = _start(names)
    parts = build_parts(configuration, board=Board(SystemClock()), sinks=[FactLogger()])
    stop = threading.Event()
    chosen = list(models)
    if not chosen:
        parts.comparison.run(lambda model, _: chosen.append(model), stop, lambda: None)
    rows = [_row(model, parts.sync.preview(model, stop=stop, wanted=bool(models))) for model in chosen]
    parts.close()
    _print(rows, json=json, empty="nothing to do: every model is as the bucket has it")
    return 0


def _start(names: Sequence[str]) -> tuple[Configuration, list[ModelId]]:
    configuration = load()
    configure_logging(logs(configuration.settings))
    return configuration, models_named(names, naming(configuration.settings))


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
