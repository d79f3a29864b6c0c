"""Names, patches and Events by which Kubernetes' workloads are told of a revision."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from modelsync.core.names import ModelId
from modelsync.core.notices import Happening, Notice, rfc3339
from modelsync.core.objects import Revision

RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
SEEN_AT = "modelsync.io/seen-at"
"""On a workload: its pods were restarted then, so they have found all that was published before."""
_ANNOTATION = "revision-"
_MOST = 63  # characters of an annotation's name, without its prefix
_DIGEST = 8
_STAMP_SECONDS = 0.001  # what a stamp is exact to
_MESSAGE = 1000  # characters of an Event's message: 1,024 are allowed


@dataclass(frozen=True, slots=True)
class Workload:
    """A Deployment, StatefulSet or DaemonSet.

    Attributes:
        kind, name, uid: which one.
        annotations: its own, not those of its pods.
        started_at: when it was made, or its pods were restarted by anybody; seconds since the epoch.
    """

    kind: str
    name: str
    uid: str
    annotations: Mapping[str, str]
    started_at: float = float("-inf")


@dataclass(frozen=True, slots=True)
class Standing:
    """What readers see of a model, and since when."""

    revision: Revision
    published_at: float


@dataclass(frozen=True, slots=True)
class Remark:
    """What an Event on a workload says."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


def annotation_of(model: ModelId) -> str:
    """The annotation that names the revision of a model.

    A model whose name cannot be part of one gets a readable likeness with a digest of its name.
    """
    name = re.sub(r"[^A-Za-z0-9._-]", "-", model)
    if name != model or len(_ANNOTATION + name) > _MOST or not name[-1].isalnum():
        digest = hashlib.sha256(model.encode()).hexdigest()[:_DIGEST]
        name = f"{name[: _MOST - len(_ANNOTATION) - _DIGEST - 1]}-{digest}"
    return f"modelsync.io/{_ANNOTATION}{name}"


def annotate_patch(workload: Workload, published: Mapping[ModelId, Revision]) -> dict[str, Any] | None:
    """Put revisions of models on a workload, whose pods stay; None: they are there."""
    wanted = {annotation_of(model): revision for model, revision in published.items()}
    missing = {name: value for name, value in wanted.items() if workload.annotations.get(name) != value}
    return {"metadata": {"annotations": missing}} if missing else None


def restart_patch(workload: Workload, published_at: float, now: float) -> dict[str, Any] | None:
    """Restart a workload's pods, as `kubectl rollout restart` does; None: they were, after the publication."""
    if _has_seen(workload, published_at):
        return None
    stamp = rfc3339(now)
    return {
        "metadata": {"annotations": {SEEN_AT: stamp}},
        "spec": {"template": {"metadata": {"annotations": {RESTARTED_AT: stamp}}}},
    }


def overdue(workload: Workload, published_at: float) -> bool:
    """Whether pods may run what readers saw before: nobody has started them since, as far as that is on record."""
    return workload.started_at < published_at and not _has_seen(workload, published_at)


def _has_seen(workload: Workload, published_at: float) -> bool:
    seen_at = seconds_of(workload.annotations.get(SEEN_AT))
    return seen_at is not None and seen_at > published_at - _STAMP_SECONDS


def latest(published: Mapping[ModelId, Standing], most: int) -> dict[ModelId, Standing]:
    """Those that were published last: annotations have bounds."""
    order = sorted(published, key=lambda model: (-published[model].published_at, model))
    return {model: published[model] for model in order[:most]}


def seconds_of(stamp: str | None) -> float | None:
    """A time as annotations have it, in seconds since the epoch; None if it is none."""
    try:
        return None if stamp is None else datetime.fromisoformat(stamp).timestamp()
    except (ValueError, OverflowError):
        return None


def aligned(done: str, models: str) -> Remark:
    """What the Event says of a workload that missed a notice; `models`: which ones are published."""
    return Remark("Normal", "ModelsAligned", f"{done}: it was behind what is published of {models}"[:_MESSAGE])


def remark(notice: Notice, done: str) -> Remark:
    """What the Event of a notice says.

    Args:
        notice: what happened.
        done: what was done to the workload about it, in a word.
    """
    match notice.happening:
        case Happening.PUBLISHED if notice.rolled_back:
            why, told = "ModelRolledBack", f"{done}: model {notice.model} is back at revision {notice.revision}"
        case Happening.PUBLISHED:
            why, told = "ModelPublished", f"{done}: model {notice.model} is at revision {notice.revision}"
        case Happening.UNPUBLISHED:
            why, told = "ModelUnpublished", f"model {notice.model} is withdrawn: {notice.reason}"
        case _:
            told = f"revision {notice.revision} of model {notice.model} is refused: {notice.reason}"
            return Remark("Warning", "ModelRejected", told[:_MESSAGE])
    return Remark("Normal", why, told[:_MESSAGE])
