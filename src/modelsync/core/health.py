"""Verdicts on health, from what the checks say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from modelsync.core.names import ModelId

NO_REDRIVE = "has no redrive policy: a message that nobody can read would come back for ever"
NO_REDRIVE_ADVICE = "give it a dead-letter queue"


class Status(StrEnum):
    """From best to worst."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True, slots=True)
class Check:
    """One check: `since` is when it came into this status, in seconds since the epoch."""

    status: Status
    reason: str
    since: float


def verdict(checks: Iterable[Check]) -> Status:
    """The worst status of all."""
    order = list(Status)
    return max((check.status for check in checks), key=order.index, default=Status.HEALTHY)


def move(before: Check | None, status: Status, reason: str, now: float) -> Check:
    """Bring a check up to date: its clock goes on while the status stays."""
    if before is not None and before.status == status:
        return Check(status, reason, before.since)
    return Check(status, reason, now)


def sync_check(failing: Mapping[ModelId, str]) -> tuple[Status, str]:
    """Judge the models that are not as the bucket has them.

    Args:
        failing: model to reason; rejected, failed and refused ones.
    """
    return _judge(failing, "every model is as the bucket has it")


def damage_check(damaged: Mapping[ModelId, str]) -> tuple[Status, str]:
    """Judge the models whose readers see damaged files.

    Args:
        damaged: model to what is wrong.
    """
    return _judge(damaged, "no damage is known on the volume")


def signatures_check(unsigned: Mapping[ModelId, str]) -> tuple[Status, str]:
    """Judge the models that readers see though nobody signed them who counts.

    GATE_SIGNATURE=warn wants it so, or they were published before it was asked for.

    Args:
        unsigned: model to why.
    """
    status, reason = _judge(unsigned, "every model that was judged is signed")
    return Status.HEALTHY, reason if status is Status.HEALTHY else f"warning: published unsigned: {reason}"


def _judge(wrong: Mapping[ModelId, str], well: str) -> tuple[Status, str]:
    if not wrong:
        return Status.HEALTHY, well
    first = min(wrong)
    more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
    return Status.DEGRADED, f"{first}: {wrong[first]}{more}"


def volume_check(tried: tuple[Status, str], refused: Mapping[str, str]) -> tuple[Status, str]:
    """Judge the volume.

    Args:
        tried: what the last trial says.
        refused: model, or whatever else had work to do, to why the volume did not let it be done; the latest last.
    """
    if tried[0] is not Status.HEALTHY or not refused:
        return tried
    *more, last = refused
    return Status.DEGRADED, f"{last}: {refused[last]}" + (f" (and {len(more)} more)" if more else "")


def queue_check(
    answer: str, *, redrives: bool | None, unreadable: bool, troubles: Iterable[str] = ()
) -> tuple[Status, str]:
    """Judge a queue.

    Args:
        answer: that it answers, in words.
        redrives: whether it has a redrive policy; None: not known.
        unreadable: it holds a message that nobody can read.
        troubles: calls to it that fail, each in a sentence.
    """
    if failing := "; ".join(dict.fromkeys(troubles)):
        return Status.DEGRADED, failing
    if redrives is not False:
        return Status.HEALTHY, answer
    if not unreadable:
        return Status.HEALTHY, f"{answer}; warning: the queue {NO_REDRIVE}; {NO_REDRIVE_ADVICE}"
    return Status.DEGRADED, (
        "a message that nobody can read comes back for ever, for the queue has no redrive policy: give it a dead-letter"
        " queue, and see the log for the digest of the message's body"
    )


def notifications_check(troubled: Mapping[str, str]) -> tuple[Status, str]:
    """Judge the receivers of notices.

    Args:
        troubled: those that cannot be told, and why.
    """
    if not troubled:
        return Status.HEALTHY, "every receiver of notices can be told"
    return Status.DEGRADED, "; ".join(f"{name}: {reason}" for name, reason in sorted(troubled.items()))


def silent(beats: Mapping[str, tuple[float, float]], now: float) -> dict[str, float]:
    """Return the loops that have not beaten within their limit, and for how long.

    Args:
        beats: loop to (time of its last beat, longest silence in seconds).
        now: on the same clock as the beats.
    """
    return {name: now - last for name, (last, limit) in beats.items() if now - last > limit}
