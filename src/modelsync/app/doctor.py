"""Everything that modelsync depends on, looked at side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from modelsync.app.examine import BucketExam, BucketReport, QueueReport, examine_queue, examine_volume
from modelsync.app.looks import Looks, aside
from modelsync.core.doctor.findings import Finding, Part, Verdict
from modelsync.core.doctor.gate import judge_process
from modelsync.core.doctor.identity import judge_credentials
from modelsync.core.doctor.notification import judge_notification
from modelsync.core.names import Naming
from modelsync.core.space import SpaceRules
from modelsync.ports import Clock, ObjectStore
from modelsync.ports.doctor import BucketInspection, GateInspection, Identification, QueueInspection, VolumeInspection


@dataclass(frozen=True)
class DoctorOptions:
    """What is looked at, and for how long.

    Attributes:
        source: bucket and prefix, as an address.
        base: the volume's path.
        naming: which keys are which files.
        space: what must stay free.
        region: that requests are signed for.
        on_aws: queues are asked at AWS, not at an endpoint of one's own.
        owner: account that the bucket must belong to; None: any.
        reconcile_seconds: time between comparisons; 0: there are none.
        look_seconds: bound of one look.
        total_seconds: bound of all together.
    """

    source: str
    base: str
    naming: Naming
    space: SpaceRules
    region: str
    on_aws: bool
    owner: str | None
    reconcile_seconds: float
    look_seconds: float = 10.0
    total_seconds: float = 25.0


class Doctor:
    """Used once."""

    def __init__(
        self,
        *,
        identification: Identification,
        inspection: BucketInspection,
        store: ObjectStore,
        queues: Sequence[QueueInspection],
        volume: VolumeInspection,
        gate: GateInspection,
        clock: Clock,
        options: DoctorOptions,
    ) -> None:
        self._identification = identification
        self._queues = queues
        self._volume = volume
        self._gate = gate
        self._clock = clock
        self._options = options
        self._looks = Looks(clock, look_seconds=options.look_seconds, total_seconds=options.total_seconds)
        self._bucket = BucketExam(
            inspection=inspection,
            store=store,
            looks=self._looks,
            naming=options.naming,
            region=options.region,
            owner=options.owner,
        )

    def run(self) -> list[Part]:
        """Look at everything; what fails is a finding."""
        volume = aside(self._examine_volume)
        gate = aside(partial(self._looks.see, self._gate.try_out))
        credentials = judge_credentials(self._looks.see(self._identification.identity), self._clock.now())
        signed = credentials.verdict is not Verdict.FAILED
        bucket = aside(partial(self._bucket.run, signed=signed))
        queues = [aside(partial(self._examine_queue, item, signed=signed)) for item in self._queues]
        report = bucket.result()
        return [
            Part("credentials", "", (credentials, report.signature, report.clock)),
            Part("bucket", self._options.source, report.findings),
            *(self._part(*pair, report) for pair in zip(self._queues, (task.result() for task in queues), strict=True)),
            Part("volume", self._options.base, volume.result()),
            Part("gate", "", (judge_process(gate.result()),)),
        ]

    def _examine_volume(self) -> tuple[Finding, ...]:
        return examine_volume(self._volume, self._looks, base=self._options.base, rules=self._options.space)

    def _examine_queue(self, item: QueueInspection, *, signed: bool) -> QueueReport:
        options = self._options
        return examine_queue(item, self._looks, region=options.region, on_aws=options.on_aws, signed=signed)

    def _part(self, item: QueueInspection, report: QueueReport, of_bucket: BucketReport) -> Part:
        events = judge_notification(
            of_bucket.notification,
            url=item.url,
            arn=report.arn,
            naming=self._options.naming,
            reconcile_seconds=self._options.reconcile_seconds,
        )
        return Part(f"queue {item.name}", item.url, (*report.findings, events))
