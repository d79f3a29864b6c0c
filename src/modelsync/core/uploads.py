"""Whether somebody is still uploading a model that has no commit file to say so."""

from __future__ import annotations

from collections.abc import Iterable

from modelsync.core.names import Ignored, ModelId, Naming, locate
from modelsync.core.objects import Upload
from modelsync.core.words import moment


def uploading(
    uploads: Iterable[Upload], model: ModelId, naming: Naming, *, s3_now: float, stale_seconds: float
) -> str | None:
    """Return which upload the model has to wait for, or None if there is none.

    Args:
        uploads: those in progress; read no further than to the first that counts.
        model: the model; uploads of other keys, and of files that are never published, do not count.
        naming: which keys are which files.
        s3_now: seconds since the epoch by S3's clock.
        stale_seconds: an upload that began longer ago was abandoned.
    """
    for upload in uploads:
        located = locate(upload.key, naming)
        if isinstance(located, Ignored) or located.model != model or s3_now - upload.begun_at > stale_seconds:
            continue
        return f"an upload of {upload.key!r} is in progress since {moment(upload.begun_at)}"
    return None
