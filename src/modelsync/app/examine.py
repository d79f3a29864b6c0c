"""The bucket, a queue and the volume, each looked at step by step: what is wrong decides what makes sense next."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from modelsync.app.looks import Looks
from modelsync.core.doctor import bucket, identity, queue, volume
from modelsync.core.doctor.bucket import PAGE_OBJECTS, Reached
from modelsync.core.doctor.findings import Finding, Verdict, not_tried
from modelsync.core.doctor.notification import Notification
from modelsync.core.doctor.queue import QueueState
from modelsync.core.doctor.volume import Abilities, Rights
from modelsync.core.names import Naming
from modelsync.core.objects import RemoteObject
from modelsync.core.parts import Span
from modelsync.core.space import SpaceRules
from modelsync.errors import ModelSyncError, NotOffered
from modelsync.ports import ObjectStore
from modelsync.ports.doctor import BucketInspection, QueueInspection, VolumeInspection


@dataclass(frozen=True)
class BucketReport:
    """What was found out of S3. `notification`: where the bucket sends its events, for the queues."""

    signature: Finding
    clock: Finding
    findings: tuple[Finding, ...]
    notification: Notification | ModelSyncError


class BucketExam:
    """One bucket below one prefix."""

    def __init__(
        self,
        *,
        inspection: BucketInspection,
        store: ObjectStore,
        looks: Looks,
        naming: Naming,
        region: str,
        owner: str | None,
    ) -> None:
        self._inspection = inspection
        self._store = store
        self._looks = looks
        self._naming = naming
        self._region = region
        self._owner = owner

    def run(self, *, signed: bool) -> BucketReport:
        """Look at everything. `signed`: there are credentials."""
        reached = self._looks.see(self._inspection.reach)
        answer = reached if isinstance(reached, Reached) else None
        clock = identity.judge_clock(answer.skew_seconds if answer else None)
        endpoint = bucket.judge_endpoint(reached, self._inspection.where)
        answers = endpoint.verdict is not Verdict.FAILED
        if not (signed and answers):
            because = "there are no credentials" if answers else "S3 does not answer"
            signature, *rest = not_tried(["signature", "bucket", "listing"], because)
            return BucketReport(signature, clock, (endpoint, *rest), ModelSyncError(because))
        objects = self._looks.see(self._first_page)
        error = objects if isinstance(objects, ModelSyncError) else None
        signature = identity.judge_signature(error)
        findings = [
            endpoint,
            bucket.judge_bucket(error, answer, region=self._region, owner=self._owner),
            bucket.judge_listing(error, prefix=self._naming.prefix, owner=self._owner),
        ]
        if not isinstance(objects, ModelSyncError):
            findings += self._contents(objects)
        elif signature.verdict is not Verdict.OK:
            return BucketReport(signature, clock, tuple(findings), ModelSyncError("the bucket cannot be asked"))
        findings += [
            bucket.judge_uploads(
                self._looks.see(self._count_uploads), reached.server if isinstance(reached, bucket.Reached) else ""
            ),
            bucket.judge_versioning(self._looks.see(self._inspection.versioning)),
        ]
        return BucketReport(signature, clock, tuple(findings), self._looks.see(self._inspection.notification))

    def _first_page(self) -> list[RemoteObject]:
        return list(islice(self._store.scan(self._naming.prefix), PAGE_OBJECTS))

    def _count_uploads(self) -> int:
        return sum(1 for _ in islice(self._store.uploads(self._naming.prefix), PAGE_OBJECTS))

    def _contents(self, objects: list[RemoteObject]) -> list[Finding]:
        contents = bucket.contents_of(objects, self._naming)
        models = bucket.judge_models(contents, self._naming)
        if (sample := contents.sample) is None:
            return [models, *not_tried(["reading", "checksums"], "there is no weight file to try it on")]
        failure = self._looks.see(lambda: self._read(sample))
        reading = bucket.judge_reading(failure, sample.key)
        if failure is not None:
            return [models, reading, *not_tried(["checksums"], "objects cannot be read")]
        return [models, reading, bucket.judge_checksums(self._looks.see(lambda: self._store.head(sample)))]

    def _read(self, sample: RemoteObject) -> None:
        with self._store.open(sample, Span(0, 1)) as body:
            body.readinto(memoryview(bytearray(1)))


@dataclass(frozen=True)
class QueueReport:
    """What was found out of a queue. `arn`: its name for the bucket's notification; empty: not known."""

    findings: tuple[Finding, ...]
    arn: str


def examine_queue(inspection: QueueInspection, looks: Looks, *, region: str, on_aws: bool, signed: bool) -> QueueReport:
    """Look at a queue.

    Args:
        inspection: the queue.
        looks: bounds of time.
        region: that requests go to.
        on_aws: they go to AWS, not to an endpoint of one's own.
        signed: there are credentials.
    """
    names = ["queue", "permissions", "settings"]
    if not signed:
        return QueueReport(tuple(not_tried(names, "there are no credentials")), "")
    state = looks.see(inspection.state)
    variable = f"SQS_{inspection.name.upper()}_QUEUE_URL"
    exists = queue.judge_queue(state, inspection.url, variable, region=region, on_aws=on_aws)
    if not isinstance(state, QueueState | NotOffered):
        return QueueReport((exists, *not_tried(names[1:], "the queue cannot be asked")), "")
    permissions = queue.judge_permissions(looks.see(inspection.refused))
    if isinstance(state, NotOffered):
        return QueueReport((exists, permissions, *not_tried(names[2:], "they may not be read")), "")
    return QueueReport((exists, permissions, *queue.judge_settings(state)), state.arn)


def examine_volume(inspection: VolumeInspection, looks: Looks, *, base: str, rules: SpaceRules) -> tuple[Finding, ...]:
    """Look at the volume at a path."""
    mount = volume.judge_mount(looks.see(inspection.mount), base)
    if mount.verdict is Verdict.FAILED:
        return (mount, *not_tried(["writing", "space", "reuse"], "there is no volume for it"))
    trial = looks.see(inspection.trial)
    space = volume.judge_space(looks.see(inspection.room), rules)
    if isinstance(trial, Abilities):
        return (mount, volume.judge_writing(None, None), space, volume.judge_abilities(trial))
    rights = looks.see(inspection.rights)
    writing = volume.judge_writing(trial, rights if isinstance(rights, Rights) else None)
    return (mount, writing, space, *not_tried(["reuse"], "the volume cannot be written to"))
