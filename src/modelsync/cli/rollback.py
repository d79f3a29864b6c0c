"""`modelsync rollback`, `pin` and `unpin`: on the volume, beside a running service or without one."""

from __future__ import annotations

import json as json_module
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial

from modelsync.adapters.clock import SystemClock
from modelsync.adapters.volume import LocalVolume
from modelsync.app.collect import Collector
from modelsync.app.overrides import Overrides
from modelsync.cli.common import models_named, stop_on_signals
from modelsync.cli.main import FAILED
from modelsync.config import load
from modelsync.config.options import collect, logs, naming
from modelsync.core.manifest import Manifest
from modelsync.core.names import ModelId
from modelsync.core.rollback import Overridden, check_reason
from modelsync.errors import ConfigurationError, ModelSyncError, Stopped, VolumeUnusable
from modelsync.ports import Observer, Writer
from modelsync.service.fanout import FanOut
from modelsync.service.telling import telling
from modelsync.telemetry.logs import FactLogger, configure_logging

_BUSY_PATIENCE_SECONDS = 30.0


def roll_back(name: str, to: str | None, *, json: bool) -> int:
    """Roll a model back and tell so; return the exit code.

    Raises:
        ConfigurationError: it cannot start.
        ModelSyncError: it failed, or there is nothing to roll back to.
    """
    return _carry_out(name, lambda order, model: order.overrides.rollback(model, to), json=json)


def pin_model(name: str, reason: str | None, *, json: bool) -> int:
    """Pin a model and tell so; return the exit code.

    Raises:
        ConfigurationError: it cannot start, or the reason is no line of text.
        ModelSyncError: it failed.
    """
    if reason is not None:
        try:
            check_reason(reason)
        except ValueError as error:
            raise ConfigurationError(f"--reason: {error}") from error
    return _carry_out(name, lambda order, model: order.overrides.pin(model, reason), json=json)


def unpin_model(name: str, *, json: bool) -> int:
    """Unpin a model, sync it, and tell so; return the exit code.

    Raises:
        ConfigurationError: it cannot start.
        ModelSyncError: it failed.
    """

    def unpin(order: _Order, model: ModelId) -> Overridden:
        answer = order.overrides.unpin(model)
        return _synced(answer, order) if answer.changed else answer

    return _carry_out(name, unpin, json=json)


@dataclass(frozen=True)
class _Order:
    """What an operator's order is carried out with. `sinks`: logs, and those who are told."""

    overrides: Overrides
    sinks: Sequence[Observer]
    stop: threading.Event


def _carry_out(name: str, carry_out: Callable[[_Order, ModelId], Overridden], *, json: bool) -> int:
    settings = load(bucket=False).settings
    configure_logging(logs(settings))
    [model] = models_named([name], naming(settings))
    volume = LocalVolume(settings.models_base_path)
    if not volume.readable():
        raise VolumeUnusable(f"MODELS_BASE_PATH={settings.models_base_path} cannot be read: mount the volume there")
    stop, clock, logger = stop_on_signals(), SystemClock(), FactLogger()
    with telling(settings, logger) as teller:
        sinks: list[Observer] = [logger, teller]
        observe = FanOut(sinks)
        overrides = Overrides(
            volume=volume,
            refetch=partial(_refetch, sinks),
            make_room=Collector(volume, clock, observe, collect(settings)).make_room,
            clock=clock,
            observe=observe,
            by="command",
            stop=stop,
            patience_seconds=_BUSY_PATIENCE_SECONDS,
        )
        try:
            answer = carry_out(_Order(overrides, sinks, stop), model)
        except Stopped:
            sys.stderr.write("modelsync: interrupted; readers see what they saw before\n")
            return FAILED
        _print(answer, json=json)  # before receivers that may be slow
    return 0


def _print(answer: Overridden, *, json: bool) -> None:
    if json:
        sys.stdout.write(json_module.dumps(asdict(answer), indent=2) + "\n")
    else:
        sys.stdout.write(f"{answer.model}: readers see {answer.revision or 'nothing'}: {answer.reason}\n")
    sys.stdout.flush()


def _refetch(
    sinks: Sequence[Observer], manifest: Manifest, writer: Writer, sync_id: str, stop: threading.Event
) -> None:
    """Only this needs S3, and what comes with it."""
    from modelsync.app.board import Board
    from modelsync.service.parts import build_parts

    parts = build_parts(load(), board=Board(SystemClock()), sinks=sinks)
    try:
        parts.refetch(manifest, writer, sync_id, stop)
    finally:
        parts.close()


def _synced(answer: Overridden, order: _Order) -> Overridden:
    """Return the model to what the bucket has, if that can be done from here."""
    from modelsync.app.board import Board
    from modelsync.cli.once import run_once
    from modelsync.core.facts import Outcome
    from modelsync.service.parts import build_parts

    later = "the next comparison of a running service returns it to what the bucket has"
    try:
        configuration = load()
        parts = build_parts(configuration, board=Board(SystemClock()), sinks=order.sinks)
        try:
            [item] = run_once(configuration, parts, [answer.model], order.stop)
        finally:
            parts.close()
        revision = parts.volume.linked(answer.model)
    except Stopped:
        return replace(answer, reason=f"{answer.reason}; the sync was interrupted: {later}")
    except ModelSyncError as error:
        return replace(answer, reason=f"{answer.reason}; it could not be synced ({error}): {later}")
    if item.result.outcome in {Outcome.SUCCESS, Outcome.NOOP}:
        return replace(answer, revision=revision, reason=f"{answer.reason}; synced: {item.result.reason}")
    return replace(
        answer,
        revision=revision,
        reason=f"{answer.reason}; not synced yet ({item.result.outcome}: {item.result.reason}): {later}",
    )
