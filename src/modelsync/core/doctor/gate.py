"""The process that checks models."""

from __future__ import annotations

from modelsync.core.doctor.findings import Finding, failure, ok, warning
from modelsync.errors import ModelSyncError


def judge_process(loose: str | ModelSyncError | None) -> Finding:
    """Judge whether it starts, and what it cannot be kept from."""
    name = "process"
    if isinstance(loose, ModelSyncError):
        return failure(name, loose, "without it nothing is published: look at the pod's limits and at the image")
    if loose is not None:
        return warning(
            name,
            f"the process that checks models starts, within limits, but {loose}",
            "let the kernel filter its system calls (seccomp), on x86-64 or arm64: then it can but read and answer",
        )
    return ok(name, "the process that checks models starts, and can do nothing but read what it is given and answer")
