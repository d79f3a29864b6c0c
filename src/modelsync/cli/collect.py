"""`modelsync gc`."""

from __future__ import annotations

import json as json_module
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from modelsync.adapters.clock import SystemClock
from modelsync.adapters.volume import LocalVolume
from modelsync.app.collect import Collector
from modelsync.config import load
from modelsync.config.options import collect, logs
from modelsync.core.facts import Fact, RevisionRemoved
from modelsync.core.names import ModelId
from modelsync.core.objects import Revision
from modelsync.core.retention import Holding, Kind, Verdict
from modelsync.core.words import size
from modelsync.errors import VolumeFailed
from modelsync.service.fanout import FanOut
from modelsync.service.telling import telling
from modelsync.telemetry.logs import FactLogger, configure_logging


@dataclass(frozen=True)
class _Row:
    verdict: Verdict
    word: str


def collect_once(*, dry_run: bool, json: bool) -> int:
    """Remove what no rule keeps, or tell what would go; return the exit code.

    Raises:
        ConfigurationError: it cannot start.
        ModelSyncError: the volume failed; what could be done was done, and told.
    """
    configuration = load(bucket=False)
    configure_logging(logs(configuration.settings))
    volume = LocalVolume(configuration.settings.models_base_path)
    volume.check()
    logger = FactLogger()
    removed: set[tuple[ModelId, Revision]] = set()

    def take_note(fact: Fact, /) -> None:
        if isinstance(fact, RevisionRemoved):
            removed.add((fact.model, fact.revision))

    observe = FanOut([logger, take_note])
    collector = Collector(volume, SystemClock(), observe, collect(configuration.settings))
    verdicts, failed = collector.plan()
    if not dry_run:
        with telling(configuration.settings, logger) as teller:
            observe.add(teller)
            try:
                collector.sweep(lambda: None)
            except VolumeFailed as error:
                failed = error
    rows = [_Row(item, _word(item, removed, dry_run=dry_run)) for item in verdicts]
    _print(rows, json=json)
    if failed is not None:
        raise failed
    return 0


def _word(item: Verdict, removed: set[tuple[ModelId, Revision]], *, dry_run: bool) -> str:
    if item.remove is None:
        return "keep"
    if dry_run:
        return "remove"
    return "removed" if (item.holding.model, item.holding.revision) in removed else "in use"


def _print(rows: Sequence[_Row], *, json: bool) -> None:
    going = [row.verdict.holding for row in rows if row.word in {"remove", "removed"}]
    freed = sum(held.size_bytes for held in going)
    if json:
        document = {"revisions": [_document(row) for row in rows], "freed_bytes": freed}
        sys.stdout.write(json_module.dumps(document, indent=2) + "\n")
        return
    for row in rows:
        held = row.verdict.holding
        shared = f" and {size(held.shared_bytes)} shared with others" if held.shared_bytes else ""
        bytes_ = f"{size(held.size_bytes)}{shared}"
        sys.stdout.write(f"{row.word:<8}{held.model} {_name(held)} ({bytes_}): {row.verdict.reason}\n")
    sys.stdout.write(f"{len(going)} of {len(rows)} revisions, {size(freed)}\n")


def _name(held: Holding) -> str:
    return held.name if held.kind is Kind.REVISION else held.place


def _document(row: _Row) -> dict[str, object]:
    held = row.verdict.holding
    return {
        "model": held.model,
        "revision": held.revision,
        "directory": _name(held),
        "size_bytes": held.size_bytes,
        "shared_bytes": held.shared_bytes,
        "leased": held.leased,
        "verdict": row.word,
        "reason": row.verdict.reason,
    }
