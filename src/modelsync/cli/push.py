"""`modelsync push`."""

from __future__ import annotations

import json as json_module
import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelsync.adapters.clock import SystemClock
from modelsync.adapters.service import ServiceClient
from modelsync.app.follow import Follow
from modelsync.app.push import Prepared
from modelsync.cli.common import stop_on_signals
from modelsync.cli.main import FAILED
from modelsync.cli.progress import PushProgress
from modelsync.config import load
from modelsync.config.fields import without_userinfo
from modelsync.config.load import Configuration
from modelsync.core.names import ModelId
from modelsync.core.objects import Revision
from modelsync.core.status import Arrived
from modelsync.core.upload import UploadPlan
from modelsync.errors import Stopped
from modelsync.ports.signing import Signer
from modelsync.service.push import pushing
from modelsync.service.signing import signer


@dataclass(frozen=True)
class _Waiting:
    """What `--wait` asks for. `refused_at`: when the worker last refused a version, before the push."""

    service: ServiceClient
    seconds: float
    refused_at: float | None


def push_once(
    directory: Path,
    model: str,
    *,
    sign: Path | None,
    dry_run: bool,
    wait_seconds: float | None,
    url: str | None,
    json: bool,
) -> int:
    """Push a directory; return the exit code.

    Args:
        directory: the voice's files.
        model: the model's name.
        sign: the private key to sign with; None: no signature is written.
        dry_run: only say what would be done.
        wait_seconds: how long to wait until it is published; None: not at all.
        url: the worker's HTTP interface; None: by the environment.
        json: print one JSON document.

    Raises:
        ConfigurationError: it cannot start.
        ModelSyncError: it failed.
    """
    configuration = load({**os.environ, **({"MODELSYNC_URL": url} if url else {})})
    stop = stop_on_signals()
    try:
        # Asked before the upload: a wrong address is better known now than after gigabytes.
        waiting = None if dry_run or wait_seconds is None else _waiting(configuration, model, wait_seconds)
        who = None if sign is None else signer(configuration.settings, sign)
        with PushProgress() as progress, pushing(configuration, directory, progress, who) as push:
            prepared = push.prepare(model, stop)
            for skipped in prepared.selection.skipped:
                progress.say(f"skipped {skipped.path}: {skipped.reason}")
            if who is None and prepared.plan.signed and prepared.plan.commit_reason is not None:
                progress.say(f"{prepared.plan.model} has a signature, which does not cover what changed: see --sign")
            revision = None if dry_run else push.carry_out(prepared, stop)
        return _report(prepared, revision, who, waiting, stop, json=json)
    except Stopped as error:
        sys.stderr.write(f"modelsync: {error}\n")
        return FAILED


def _waiting(configuration: Configuration, model: str, seconds: float) -> _Waiting:
    service = ServiceClient(without_userinfo(configuration.settings.modelsync_url))
    view = service.model(ModelId(model))
    return _Waiting(service, seconds, view.refusal.rejected_at if view and view.refusal else None)


def _report(
    prepared: Prepared,
    revision: Revision | None,
    who: Signer | None,
    waiting: _Waiting | None,
    stop: threading.Event,
    *,
    json: bool,
) -> int:
    """Say what was done and, if that is asked for, what became of it."""
    plan = prepared.plan
    if not json:
        lines = _would(plan, who) if revision is None else _did(plan, revision, who)
        sys.stdout.write("".join(f"{line}\n" for line in lines))
        sys.stdout.flush()
    verdict = None
    if waiting is not None and revision is not None:
        changed = plan.commit_reason is not None
        follow = Follow(waiting.service, SystemClock(), plan.model, waiting.refused_at if changed else None)
        verdict = follow.until_published(revision, waiting.seconds, stop)
    reason = getattr(verdict, "reason", None)
    if json:
        document = _document(prepared, revision, who)
        if verdict is not None:
            document |= {"published": isinstance(verdict, Arrived), "reason": reason}
        sys.stdout.write(json_module.dumps(document, indent=2) + "\n")
    elif isinstance(verdict, Arrived):
        sys.stdout.write(f"{plan.model}: published\n")
    if reason is not None:
        sys.stderr.write(f"modelsync: {plan.model} is not published: {reason}\n")
        return FAILED
    return 0


def _would(plan: UploadPlan, who: Signer | None) -> list[str]:
    lines = [
        f"{plan.model}: would upload {planned.file.path} ({planned.file.size_bytes:,} bytes): {planned.reason}"
        for planned in plan.uploads
    ]
    if who is not None:
        lines.append(f"{plan.model}: would write a signature by {who.name}")
    if plan.commit_reason is not None:
        return [*lines, f"{plan.model}: would write the commit file: {plan.commit_reason}"]
    return [*lines, f"{plan.model}: nothing to upload: the bucket has all {len(plan.kept)} files and their commit file"]


def _did(plan: UploadPlan, revision: Revision, who: Signer | None) -> list[str]:
    total = len(plan.uploads) + len(plan.kept)
    if plan.commit_reason is None:
        done = f"nothing to upload: the bucket has all {total} files and their commit file"
    else:
        done = f"uploaded {len(plan.uploads)} of {total} files ({plan.upload_bytes:,} bytes), then the commit file"
    signed = [f"{plan.model}: wrote a signature by {who.name}"] if who else []
    return [*signed, f"{plan.model}: {done}; revision {revision}"]


def _document(prepared: Prepared, revision: Revision | None, who: Signer | None) -> dict[str, Any]:
    plan = prepared.plan
    return {
        "model": plan.model,
        "revision": revision,
        "dry_run": revision is None,
        "uploads": [
            {"path": planned.file.path, "size_bytes": planned.file.size_bytes, "reason": planned.reason}
            for planned in plan.uploads
        ],
        "unchanged": [file.path for file, _ in plan.kept],
        "skipped": [{"path": skipped.path, "reason": skipped.reason} for skipped in prepared.selection.skipped],
        "commit_file": {
            "written": revision is not None and plan.commit_reason is not None,
            "reason": plan.commit_reason,
        },
        "signer": who and who.name,
    }
