"""Facts as structured log lines on standard error."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from modelsync.core import facts
from modelsync.core.damage import Finding
from modelsync.core.facts import Fact, Outcome
from modelsync.core.health import Status

_REMEMBERED = 1000

_LOGGER = logging.getLogger("modelsync")
_COLOURS = {"debug": 2, "info": 32, "warning": 33, "error": 31}


@dataclass(frozen=True)
class LogOptions:
    """`level` as logging names it, in lower case; `console`: for people, else one JSON object a line."""

    level: str = "info"
    console: bool = False


def configure_logging(options: LogOptions) -> None:
    """Write our lines and the libraries' own warnings in one way."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_ForPeople(colours=sys.stderr.isatty()) if options.console else _Json())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    _LOGGER.setLevel(options.level.upper())
    # It warns of every failed refresh with a stack trace; the health check says the same in a sentence.
    logging.getLogger("botocore.credentials").setLevel(logging.ERROR)


def log(level: str, event: str, *, exc_info: BaseException | None = None, **fields: object) -> None:
    """Write a line. Fields that are None are left out."""
    _LOGGER.log(logging.getLevelName(level.upper()), event, exc_info=exc_info, extra={"fields": fields})


class _Json(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line = dict(_parts(record))
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class _ForPeople(logging.Formatter):
    """Time, level, what happened, then the rest as `key=value`."""

    def __init__(self, *, colours: bool) -> None:
        super().__init__()
        self._colours = colours

    def format(self, record: logging.LogRecord) -> str:
        line = dict(_parts(record))
        level, event, at = (str(line.pop(key)) for key in ("level", "event", "timestamp"))
        shown = f"{level:<8}"
        if self._colours:
            shown = f"\x1b[{_COLOURS.get(level, 0)}m{shown}\x1b[0m"
        text = f"{at[11:23]} {shown} {event:<24} " + " ".join(f"{key}={value}" for key, value in line.items())
        return text.rstrip() + (f"\n{self.formatException(record.exc_info)}" if record.exc_info else "")


def _parts(record: logging.LogRecord) -> Iterator[tuple[str, Any]]:
    fields: dict[str, object] = getattr(record, "fields", {})
    yield from ((key, value) for key, value in fields.items() if value is not None)
    yield "event", record.getMessage()
    yield "level", record.levelname.lower()
    yield "timestamp", datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    if record.name != _LOGGER.name:
        yield "logger", record.name


class FactLogger:
    """Implements `ports.Observer`. A thing that goes on being so is logged once."""

    def __init__(self) -> None:
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

    def __call__(self, fact: Fact, /) -> None:  # noqa: C901, PLR0912, PLR0915 - one case for each kind of fact
        """Take a fact."""
        say = log
        match fact:
            case facts.SyncStarted(model, sync_id, why):
                say("debug", "sync started", model=model, sync_id=sync_id, why=why)
            case facts.FetchStarted(model, revision, sync_id, files, size_bytes, reason):
                say("info", "downloading", model=model, revision=revision, sync_id=sync_id, files=files,
                    size_bytes=size_bytes, reason=reason)  # fmt: skip
            case facts.BytesResumed(model, sync_id, count):
                say("debug", "resumed", model=model, sync_id=sync_id, size_bytes=count)
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
            case facts.PublicationSeen(model, revision, previous, published_at):
                say("info", "published by another process", model=model, revision=revision, previous=previous,
                    published_at=published_at, pinned=fact.pinned, rolled_back=fact.rolled_back)  # fmt: skip
            case facts.SignatureJudged(model, revision, sync_id, signer, unsigned):
                say("warning" if unsigned else "info", "unsigned" if unsigned else "signed", model=model,
                    revision=revision, sync_id=sync_id, signer=signer, reason=unsigned)  # fmt: skip
            case facts.Pinned(model, revision, pin):
                say("info", "pinned", model=model, revision=revision, reason=pin)
            case facts.Unpinned(model, revision, reason):
                say("info", "unpinned", model=model, revision=revision, reason=reason)
            case facts.ModelGone() | facts.ModelBack() | facts.Unpublished():
                self._left(fact)
            case facts.RevisionRejected(model, revision, sync_id, rule, reason):
                say("error", "rejected", model=model, revision=revision, sync_id=sync_id, rule=rule, reason=reason)
            case facts.GateWarned(model, sync_id, rule, reason):
                say("warning", "gate warned", model=model, sync_id=sync_id, rule=rule, reason=reason)
            case facts.CheckerReady(loose):
                if loose is not None and self._new("checker", loose):
                    say("warning", "checker not confined", reason=loose)
            case facts.CheckerFailed(rule, what, path):
                say("warning", "checker failed", rule=rule, reason=what, path=path)
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
            case facts.NoticeTold() | facts.NoticeDelayed() | facts.NoticeLost() | facts.HookRan():
                self._told(fact)
            case facts.WorkloadEventsLost(happening, count, reason):
                log("warning", "Kubernetes events lost", happening=happening, count=count, reason=reason)
            case facts.ModelEvicted(model, revision, reason):
                say("warning", "evicted", model=model, revision=revision, reason=reason)
            case facts.RevisionRemoved(model, revision, why, reason, size_bytes):
                say("info", "revision removed", model=model, revision=revision, why=why.value, reason=reason,
                    size_bytes=size_bytes or None)  # fmt: skip
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
                log("info", "left the bucket", model=model, reason=reason)
            case facts.ModelBack(model=model):
                log("info", "in the bucket again", model=model)
            case facts.Unpublished(model, revision, sync_id, reason):
                log("warning", "unpublished", model=model, revision=revision, sync_id=sync_id, reason=reason)

    def _told(self, fact: facts.NoticeTold | facts.NoticeDelayed | facts.NoticeLost | facts.HookRan) -> None:
        match fact:
            case facts.NoticeTold(receiver, notice_id, model, happening, attempts):
                log("info" if attempts > 1 else "debug", "told", receiver=receiver, notice_id=notice_id, model=model,
                    happening=happening, attempts=attempts)  # fmt: skip
            case facts.NoticeDelayed(receiver, notice_id, model, reason, attempt, wait_seconds):
                log("warning", "not told, trying again", receiver=receiver, notice_id=notice_id, model=model,
                    reason=reason, attempt=attempt, wait_seconds=round(wait_seconds, 3))  # fmt: skip
            case facts.NoticeLost(receiver, notice_id, model, happening, outcome, reason):
                log("error", "not told", receiver=receiver, notice_id=notice_id, model=model, happening=happening,
                    outcome=outcome, reason=reason)  # fmt: skip
            case facts.HookRan(hook, model, outcome, code, seconds, output):
                log("info" if outcome == "ok" else "warning", "hook ran", hook=hook, model=model, outcome=outcome,
                    exit_code=code, seconds=round(seconds, 3), output=output or None)  # fmt: skip

    def _finished(self, fact: facts.SyncFinished) -> None:
        level = "debug"
        if fact.outcome is Outcome.ERROR:
            level = "warning"
        elif fact.outcome is Outcome.WAITING and self._new(("waiting", fact.model), fact.reason.split(":")[0]):
            level = "warning" if fact.overdue else "info"
        log(level, "sync finished", model=fact.model, revision=fact.revision, sync_id=fact.sync_id,
            outcome=fact.outcome.value, reason=fact.reason, seconds=round(fact.seconds, 4),
            stages={stage: round(seconds, 4) for stage, seconds in fact.stages.items()})  # fmt: skip

    def _damaged(self, event: str, found: Finding, **about: str | bool) -> None:
        log("error", event, exc_info=None, **about, path=found.path, kind=found.kind.value, expected=found.expected,
            actual=found.actual)  # fmt: skip
