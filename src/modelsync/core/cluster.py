"""Names and patches by which Kubernetes' workloads are told of a revision."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from modelsync.core.names import ModelId
from modelsync.core.notices import Notice, rfc3339

RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
_ANNOTATION = "revision-"
_MOST = 63  # characters of an annotation's name, without its prefix
_DIGEST = 8


def annotation_of(model: ModelId) -> str:
    """The annotation that names the revision of a model.

    A model whose name cannot be part of one gets a readable likeness with a digest of its name.
    """
    name = re.sub(r"[^A-Za-z0-9._-]", "-", model)
    if name != model or len(_ANNOTATION + name) > _MOST or not name[-1].isalnum():
        digest = hashlib.sha256(model.encode()).hexdigest()[:_DIGEST]
        name = f"{name[: _MOST - len(_ANNOTATION) - _DIGEST - 1]}-{digest}"
    return f"modelsync.io/{_ANNOTATION}{name}"


def annotate_patch(notice: Notice) -> dict[str, Any]:
    """Put the revision of a model on a workload; its pods stay."""
    return {"metadata": {"annotations": {annotation_of(notice.model): notice.revision}}}


def restart_patch(notice: Notice) -> dict[str, Any]:
    """Restart a workload's pods, as `kubectl rollout restart` does; the same notice restarts them once."""
    return {"spec": {"template": {"metadata": {"annotations": {RESTARTED_AT: rfc3339(notice.at)}}}}}
