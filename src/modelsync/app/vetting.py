"""What a revision has to pass before readers may see it: the gate, then the operator's hook."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from modelsync.app.progress import SyncContext
from modelsync.core.facts import GateWarned
from modelsync.core.limits import check_limits
from modelsync.core.manifest import FileRecord, Manifest
from modelsync.core.objects import Revision
from modelsync.core.plan import NOTHING_SET, Build, InForce, Refuse
from modelsync.errors import Rejected
from modelsync.ports import Staging, Volume
from modelsync.ports.gate import Gate
from modelsync.ports.telling import PublishHook

RulesInForce = Callable[[], InForce]
"""What operators have set now: what was refused by other rules is looked at again."""


def no_rules() -> InForce:
    """Where nothing depends on what is set."""
    return NOTHING_SET


class Vetting:
    """Asks both. Thread-safe.

    Raises, from `staged` and `kept`:
        GateFailed, HookFailed: nobody can say; try again.
        VolumeFailed: a file cannot be read.
        Stopped: the work is parked.
    """

    def __init__(self, volume: Volume, gate: Gate | None, hook: PublishHook | None) -> None:
        self._volume = volume
        self._gate = gate
        self._hook = hook

    @property
    def rules(self) -> str:
        """Names the gate's rules."""
        return self._gate.rules if self._gate else ""

    def expect(self, build: Build) -> Refuse | None:
        """A revision is about to be fetched, and will have to be vetted: what is too large need not be."""
        if self._gate is None:
            return None
        try:
            check_limits({file.path: file.object.size_bytes for file in build.files}, self._gate.limits)
        except Rejected as error:
            return Refuse(build.revision, error.rule, error.reason, rules=self.rules)
        self._gate.warm()
        return None

    def staged(
        self, revision: Revision, records: Sequence[FileRecord], staging: Staging, context: SyncContext
    ) -> Refuse | None:
        """Vet a revision before its seal, so that whatever is sealed has passed, also after a crash."""
        refuse = self._judge(revision, records, staging.directory, context)
        if refuse is not None or self._hook is None:
            return refuse
        try:
            with context.stage("hook"), staging.shown(records, context.tend) as directory:
                self._hook.vet(context.model, revision, directory, context.tend)
        except Rejected as error:
            return Refuse(revision, error.rule, error.reason)
        return None

    def kept(self, manifest: Manifest, context: SyncContext) -> Refuse | None:
        """Vet a revision that is on the volume, if it passed other rules than today's, or none."""
        if manifest.gate == self.rules:
            return None
        directory = self._volume.directory(manifest.model, manifest.revision)
        return self._judge(manifest.revision, manifest.files, directory, context)

    def _judge(
        self, revision: Revision, records: Sequence[FileRecord], directory: str, context: SyncContext
    ) -> Refuse | None:
        if self._gate is None:
            return None
        with context.stage("gate"):
            files = {record.path: record.size_bytes for record in records}
            judgement = self._gate.judge(directory, files, context.tend)
        for warning in judgement.warnings:
            context.observe(GateWarned(context.model, context.sync_id, warning.rule, warning.reason))
        if (flaw := judgement.refused) is None:
            return None
        file = next((record for record in records if record.path == flaw.path), None)
        return Refuse(revision, flaw.rule, flaw.reason, file=file, rules=self.rules)
