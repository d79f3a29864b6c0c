"""Facts as structured log lines on standard error."""

from __future__ import annotations

import logging
import sys
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Literal

import structlog

from modelsync.core import facts
from modelsync.core.damage import Finding
from modelsync.core.facts import Fact, Outcome
from modelsync.core.health import Status

_REMEMBERED = 1000

Level = Literal["debug", "info", "warning", "error"]


@dataclass(frozen=True)
class LogOptions:
    """`level` as logging names it, in lower case; `console`: for people, else one JSON object a line."""

    level: str = "info"
    console: bool = False


def configure_logging(options: LogOptions) -> None:
    """Set up structlog, and route the libraries' own warnings through it."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        if options.console
        else structlog.processors.JSONRenderer()
    )
    level = logging.getLevelName(options.level.upper())
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    # It warns of every failed refresh with a stack trace; the health check says the same in a sentence.
    logging.getLogger("botocore.credentials").setLevel(logging.ERROR)


class FactLogger:
    """Implements `ports.Observer`. A thing that goes on being so is logged once."""

    def __init__(self) -> None:
        self._log = structlog.get_logger()
        self._lock = threading.Lock()
        self._said: OrderedDict[object, object] = OrderedDict()

    def _new(self, about: object, what: object) -> bool:
        """Whether this was not the last thing said about it."""
        with self._lock:
            if self._said.get(about) == what:
                return False
            self._said[about] = what
            self._said.move_to_end(about)
            if len(self._said) > _REMEMBERED:
                self._said.popitem(last=False)
            return True

    def _say(self, level: Level, event: str, **fields: object) -> None:
        getattr(self._log, level)(event, **{key: value for key, value in fields.items() if value is not None})

    def __call__(self, fact: Fact, /) -> None:  # noqa: C901, PLR0912, PLR0915 - one case for each kind of fact
        """Take a fact."""
        say = self._say
        match fact:
            case facts.SyncStarted(model, sync_id, why):
                say("debug", "sync started", model=model, sync_id=sync_id, why=why)
            case facts.FetchStarted(model, revision, sync_id, files, size_bytes, reason):
                say("info", "downloading", model=model, revision=revision, sync_id=sync_id, files=files,
                    size_bytes=size_bytes, reason=reason)  # fmt: skip
            case facts.BytesResumed(model, sync_id, count):
                say("info", "resumed", model=model, sync_id=sync_id, size_bytes=count)
            case facts.BytesReused(model, sync_id, path, count, how):
                say("debug", "reused", model=model, sync_id=sync_id, path=path, size_bytes=count, how=how)
            case facts.RequestRetried(model, sync_id, what, reason, attempt, wait_seconds):
                say("warning", "request failed, trying again", model=model, sync_id=sync_id, path=what, reason=reason,
                    attempt=attempt, wait_seconds=round(wait_seconds, 3))  # fmt: skip
            case facts.FileVerified(model, revision, sync_id, path, size_bytes, proof):
                say("debug", "file verified", model=model, revision=revision, sync_id=sync_id, path=path,
                    size_bytes=size_bytes, proof=proof)  # fmt: skip
            case facts.Published(model=model, revision=revision, sync_id=sync_id) as done:
                late = None if done.event_at is None else round(done.published_at - done.event_at, 3)
                say("info", "published", model=model, revision=revision, sync_id=sync_id, previous=done.previous,
                    files=done.files, size_bytes=done.size_bytes, event_to_publish_seconds=late,
                    reason=done.reason)  # fmt: skip
            case facts.ModelGone() | facts.ModelBack() | facts.Unpublished():
                self._left(fact)
            case facts.RevisionRejected(model, revision, sync_id, rule, reason):
                say("error", "rejected", model=model, revision=revision, sync_id=sync_id, rule=rule, reason=reason)
            case facts.SyncFinished():
                self._finished(fact)
            case facts.KeyRefused(reason):
                if self._new(("key", reason), reason):
                    say("warning", "key refused", reason=reason)
            case facts.MessageUnparsable(queue, reason, digest):
                if self._new(("message", digest), reason):
                    say("error", "message is no S3 notification", queue=queue, reason=reason, body_sha256=digest)
            case facts.HealthChanged(check, status, reason):
                if self._new(("health", check), (status, reason if status is not Status.HEALTHY else "")):
                    say("info" if status is Status.HEALTHY else "warning", "health", check=check, status=status.value,
                        reason=reason)  # fmt: skip
            case facts.ReuseRefused(model, revision, sync_id, finding):
                self._damaged("damaged, not used again", finding, model=model, revision=revision, sync_id=sync_id)
            case facts.DamageFound(model, revision, finding, seen):
                self._damaged("damaged", finding, model=model, revision=revision, seen_by_readers=seen)
            case facts.ScrubFinished(found):
                say("info", "scrub finished", files=found.files, size_bytes=found.size_bytes, damaged=found.damaged,
                    started_at=found.started_at)  # fmt: skip
            case facts.ReconcileStarted(why):
                say("debug", "reconcile started", why=why)
            case facts.ReconcileFinished(found, seconds):
                say("info", "reconcile finished", seconds=round(seconds, 3), models=found.models,
                    objects=found.objects, changed=found.changed, absent=found.absent)  # fmt: skip
            case facts.ReconcileFailed(reason):
                say("warning", "reconcile failed", reason=reason)
            case facts.ScrubFailed(reason):
                say("warning", "scrub failed", reason=reason)
            case facts.ServiceStarted(version, bucket, queues, volume, port):
                say(
                    "info",
                    "started",
                    version=version,
                    bucket=bucket,
                    queues=list(queues),
                    volume=volume,
                    http_port=port,
                )
            case facts.ServiceStopping(reason):
                say("info", "stopping", reason=reason)
            case _:
                pass

    def _left(self, fact: facts.ModelGone | facts.ModelBack | facts.Unpublished) -> None:
        if not self._new(("gone", fact.model), fact.reason if isinstance(fact, facts.ModelGone) else type(fact)):
            return
        match fact:
            case facts.ModelGone(model=model, reason=reason):
                self._say("info", "left the bucket", model=model, reason=reason)
            case facts.ModelBack(model=model):
                self._say("info", "in the bucket again", model=model)
            case facts.Unpublished(model, revision, sync_id, reason):
                self._say("warning", "unpublished", model=model, revision=revision, sync_id=sync_id, reason=reason)

    def _finished(self, fact: facts.SyncFinished) -> None:
        level: Level = "debug"
        if fact.outcome is Outcome.ERROR:
            level = "warning"
        elif fact.outcome is Outcome.WAITING and self._new(("waiting", fact.model), fact.reason.split(":")[0]):
            level = "warning" if fact.overdue else "info"
        self._say(level, "sync finished", model=fact.model, revision=fact.revision, sync_id=fact.sync_id,
                  outcome=fact.outcome.value, reason=fact.reason, seconds=round(fact.seconds, 4),
                  stages={stage: round(seconds, 4) for stage, seconds in fact.stages.items()})  # fmt: skip

    def _damaged(self, event: str, found: Finding, **about: object) -> None:
        self._say("error", event, **about, path=found.path, kind=found.kind.value, expected=found.expected,
                  actual=found.actual)  # fmt: skip
