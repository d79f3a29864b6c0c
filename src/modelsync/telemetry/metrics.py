"""All metrics, in one table, and the observer that keeps them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from modelsync import __version__
from modelsync.core import facts
from modelsync.core.facts import Fact
from modelsync.core.manifest import Scrubbed
from modelsync.core.names import ModelId
from modelsync.core.objects import Revision
from modelsync.core.rollout import Rollout

Kind = Literal["counter", "gauge", "histogram"]
Stability = Literal["stable", "experimental"]

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One metric: what docs/metrics.md says of it, and what the registry gets."""

    name: str
    kind: Kind
    unit: str
    labels: tuple[str, ...]
    stability: Stability
    help: str


TABLE: tuple[MetricSpec, ...] = (
    MetricSpec("modelsync_sync_total", "counter", "syncs", ("outcome",), "stable", "Syncs of one model, by outcome."),
    MetricSpec("modelsync_sync_duration_seconds", "histogram", "seconds", ("outcome",), "stable",
               "Time that a sync of one model took."),
    MetricSpec("modelsync_sync_stage_seconds", "histogram", "seconds", ("stage",), "experimental",
               "Time by stage, of syncs that published."),
    MetricSpec("modelsync_event_to_publish_seconds", "histogram", "seconds", (), "stable",
               "From S3's event time to published."),
    MetricSpec("modelsync_event_to_receive_seconds", "histogram", "seconds", (), "stable",
               "The part of it until the worker had the event: S3, topics and the queue."),
    MetricSpec("modelsync_receive_to_publish_seconds", "histogram", "seconds", (), "stable",
               "The part of it after that: settling, waiting for a worker, and the sync."),
    MetricSpec("modelsync_events_total", "counter", "messages", ("queue", "outcome"), "stable",
               "Queue messages, by how they ended."),
    MetricSpec("modelsync_queue_receive_errors_total", "counter", "errors", ("queue",), "stable",
               "Failed receives."),
    MetricSpec("modelsync_downloaded_bytes_total", "counter", "bytes", (), "stable", "Bytes received from S3."),
    MetricSpec("modelsync_reused_bytes_total", "counter", "bytes", (), "stable",
               "Bytes of new revisions that were on the volume already."),
    MetricSpec("modelsync_s3_requests_total", "counter", "requests", ("operation", "outcome"), "stable",
               "Requests to S3; outcome is ok or the kind of error."),
    MetricSpec("modelsync_s3_retries_total", "counter", "requests", (), "experimental", "Requests made again."),
    MetricSpec("modelsync_verified_files_total", "counter", "files", ("proof",), "stable",
               "Files proven, by the checksum that proved them."),
    MetricSpec("modelsync_rejected_total", "counter", "revisions", ("reason",), "stable",
               "Revisions refused, by rule."),
    MetricSpec("modelsync_gate_warnings_total", "counter", "flaws", ("reason",), "stable",
               "Flaws of revisions that GATE_STRUCTURE=warn let pass, by rule."),
    MetricSpec("modelsync_checker_failures_total", "counter", "processes", ("reason",), "experimental",
               "Processes of the gate that came to no judgement: gate-crash, gate-timeout, gate-killed, gate-stalled."),
    MetricSpec("modelsync_signatures_total", "counter", "revisions", ("verdict",), "stable",
               "Published revisions held against their signatures: signed, or unsigned (GATE_SIGNATURE=warn)."),
    MetricSpec("modelsync_refused_keys_total", "counter", "keys", (), "experimental",
               "Keys seen that can name no model."),
    MetricSpec("modelsync_unpublished_total", "counter", "models", (), "stable",
               "Models withdrawn because the bucket has them no more."),
    MetricSpec("modelsync_tombstones", "gauge", "models", (), "stable",
               "Models that readers see and the bucket has no more, without pinned ones."),
    MetricSpec("modelsync_deletions_held", "gauge", "1", (), "stable",
               "1 while no model is withdrawn because too many would go at once."),
    MetricSpec("modelsync_models", "gauge", "models", ("state",), "stable", "Models by state."),
    MetricSpec("modelsync_pinned_models", "gauge", "models", (), "stable",
               "Models that stay at their revision whatever the bucket has."),
    MetricSpec("modelsync_rollbacks_total", "counter", "models", (), "stable",
               "Models switched back to an earlier revision, by this worker's API."),
    MetricSpec("modelsync_model_info", "gauge", "1", ("model", "revision"), "stable",
               "1 for the revision that readers of a model see."),
    MetricSpec("modelsync_model_synced_timestamp_seconds", "gauge", "seconds since the epoch", ("model",), "stable",
               "When a model was last found, or brought, in step with the bucket: how old its view is."),
    MetricSpec("modelsync_model_event_to_publish_seconds", "gauge", "seconds", ("model",), "experimental",
               "From S3's event time to published, of a model's last publication that an event told of."),
    MetricSpec("modelsync_reconcile_duration_seconds", "histogram", "seconds", (), "experimental",
               "Time of a complete comparison, with the syncs that it asked for."),
    MetricSpec("modelsync_last_reconcile_success_timestamp_seconds", "gauge", "seconds since the epoch", (), "stable",
               "End of the last complete comparison with the bucket; its syncs may still run."),
    MetricSpec("modelsync_damaged_files_total", "counter", "files", ("kind",), "stable",
               "Published files found not to be what was published, by what is wrong."),
    MetricSpec("modelsync_scrubbed_bytes_total", "counter", "bytes", (), "stable",
               "Bytes of published files read by the scrub."),
    MetricSpec("modelsync_last_scrub_success_timestamp_seconds", "gauge", "seconds since the epoch", (), "stable",
               "End of the scrub's last pass over the volume."),
    MetricSpec("modelsync_evicted_total", "counter", "models", (), "experimental",
               "Models withdrawn to make room on the volume, by EVICT_CURRENT."),
    MetricSpec("modelsync_revisions_removed_total", "counter", "revisions", ("reason",), "stable",
               "Revisions removed from the volume: superseded, damaged, space, interrupted."),
    MetricSpec("modelsync_lease_holders", "gauge", "revisions", ("model",), "stable",
               "Revisions of a model that readers held a lease on when they were looked at last."),
    MetricSpec("modelsync_volume_bytes", "gauge", "bytes", ("kind",), "stable", "The volume: total and free."),
    MetricSpec("modelsync_volume_errors_total", "counter", "errors", ("reason",), "stable",
               "Times that the volume failed or had no room: full, quota, io, read_only, permission, stale, other."),
    MetricSpec("modelsync_notices_total", "counter", "notices", ("receiver", "outcome"), "stable",
               "Notices by receiver (exec, kubernetes, webhook-1, …) and end (told, refused, given_up, dropped)."),
    MetricSpec("modelsync_notice_retries_total", "counter", "attempts", ("receiver",), "experimental",
               "Notices that could not be handed over and are tried again."),
    MetricSpec("modelsync_kubernetes_events_lost_total", "counter", "events", (), "experimental",
               "Kubernetes Events on workloads that could not be made."),
    MetricSpec("modelsync_hook_runs_total", "counter", "runs", ("hook", "outcome"), "stable",
               "Runs of NOTIFY_EXEC (notify) and PUBLISH_HOOK (publish): ok, failed, timeout, not_started."),
    MetricSpec("modelsync_hook_duration_seconds", "histogram", "seconds", ("hook",), "experimental",
               "Time that a run of a hook took."),
    MetricSpec("modelsync_consumers", "gauge", "consumers", ("model", "runs"), "stable",
               "Consumers that reported lately: running what readers see (current), or something else (other)."),
    MetricSpec("modelsync_build_info", "gauge", "1", ("version",), "stable", "1, with the version."),
)  # fmt: skip


class ModelView(Protocol):
    """What metrics read of a model."""

    @property
    def state(self) -> str:
        """Its state."""
        ...

    @property
    def revision(self) -> Revision | None:
        """What readers see."""
        ...

    @property
    def synced_at(self) -> float | None:
        """When it was last in step with the bucket."""
        ...

    @property
    def lag_seconds(self) -> float | None:
        """From S3's event time to its last publication."""
        ...

    @property
    def pinned(self) -> bool:
        """It stays at its revision whatever the bucket has."""
        ...


class Metrics:
    """Implements `ports.Observer`; renders for Prometheus."""

    def __init__(
        self,
        models: Callable[[], Mapping[ModelId, ModelView]],
        rollouts: Callable[[], Mapping[ModelId, Rollout]] = dict,
    ) -> None:
        """Make all metrics.

        Args:
            models: asked at each scrape, so that models that are gone leave no series behind.
            rollouts: asked likewise for how far revisions have come with their consumers.
        """
        disable_created_metrics()  # type: ignore[no-untyped-call]  # one more series for each, of use to nobody here
        self._registry = CollectorRegistry()
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._histograms: dict[str, Histogram] = {}
        for spec in TABLE:
            if spec.name in _AT_SCRAPE:
                continue
            match spec.kind:
                case "counter":
                    self._counters[spec.name] = Counter(spec.name, spec.help, spec.labels, registry=self._registry)
                case "gauge":
                    self._gauges[spec.name] = Gauge(spec.name, spec.help, spec.labels, registry=self._registry)
                case "histogram":
                    self._histograms[spec.name] = Histogram(
                        spec.name, spec.help, spec.labels, buckets=_SECONDS, registry=self._registry
                    )
        self._gauges["modelsync_build_info"].labels(__version__).set(1)
        self._registry.register(_Models(models, rollouts))
        ProcessCollector(registry=self._registry)

    def render(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self._registry)

    def _count(self, name: str, *labels: str, by: float = 1) -> None:
        counter = self._counters[f"modelsync_{name}"]
        (counter.labels(*labels) if labels else counter).inc(by)

    def _observe(self, name: str, seconds: float, *labels: str) -> None:
        histogram = self._histograms[f"modelsync_{name}"]
        (histogram.labels(*labels) if labels else histogram).observe(max(seconds, 0.0))

    def __call__(self, fact: Fact, /) -> None:  # noqa: C901, PLR0912, PLR0915 - one case for each kind of fact
        """Take a fact."""
        match fact:
            case facts.BytesFetched(count=count):
                self._count("downloaded_bytes_total", by=count)
            case facts.BytesReused(count=count):
                self._count("reused_bytes_total", by=count)
            case facts.StoreCalled(operation, outcome):
                self._count("s3_requests_total", operation, outcome)
            case facts.FileVerified(proof=proof):
                self._count("verified_files_total", proof)
            case facts.EventHandled(queue, outcome):
                self._count("events_total", queue, outcome)
            case facts.Published(published_at=published_at, event_at=float(event_at), received_at=received_at):
                self._observe("event_to_publish_seconds", published_at - event_at)
                if received_at is not None:
                    self._observe("event_to_receive_seconds", received_at - event_at)
                    self._observe("receive_to_publish_seconds", published_at - received_at)
            case facts.SyncFinished(outcome=outcome, seconds=seconds, stages=stages):
                self._count("sync_total", outcome)
                self._observe("sync_duration_seconds", seconds, outcome)
                if outcome is facts.Outcome.SUCCESS:
                    for stage, stage_seconds in stages.items():
                        self._observe("sync_stage_seconds", stage_seconds, stage)
            case facts.Pinned(rolled_back=True):
                self._count("rollbacks_total")
            case facts.Unpublished():
                self._count("unpublished_total")
            case facts.DeletionsReviewed(gone, held):
                self._gauges["modelsync_tombstones"].set(gone)
                self._gauges["modelsync_deletions_held"].set(held)
            case facts.RevisionRejected(rule=rule):
                self._count("rejected_total", rule)
            case facts.GateWarned(rule=rule):
                self._count("gate_warnings_total", rule)
            case facts.CheckerFailed(rule=rule):
                self._count("checker_failures_total", rule)
            case facts.SignatureJudged(unsigned=unsigned):
                self._count("signatures_total", "unsigned" if unsigned else "signed")
            case facts.NoticeTold(receiver=receiver):
                self._count("notices_total", _short(receiver), "told")
            case facts.NoticeLost(receiver=receiver, outcome=outcome):
                self._count("notices_total", _short(receiver), outcome)
            case facts.NoticeDelayed(receiver=receiver):
                self._count("notice_retries_total", _short(receiver))
            case facts.WorkloadEventsLost(count=count):
                self._count("kubernetes_events_lost_total", by=count)
            case facts.HookRan(hook=hook, outcome=outcome, seconds=seconds):
                self._count("hook_runs_total", hook, outcome)
                self._observe("hook_duration_seconds", seconds, hook)
            case facts.RequestRetried():
                self._count("s3_retries_total")
            case facts.KeyRefused():
                self._count("refused_keys_total")
            case facts.QueueReceiveFailed(queue=queue):
                self._count("queue_receive_errors_total", queue)
            case facts.DamageFound(finding=finding) | facts.ReuseRefused(finding=finding):
                self._count("damaged_files_total", finding.kind)
            case facts.BytesScrubbed(count):
                self._count("scrubbed_bytes_total", by=count)
            case facts.ScrubFinished(Scrubbed(finished_at=float(finished_at))):
                self._gauges["modelsync_last_scrub_success_timestamp_seconds"].set(finished_at)
            case facts.ModelEvicted():
                self._count("evicted_total")
            case facts.RevisionRemoved(why=why):
                self._count("revisions_removed_total", why)
            case facts.LeasesSeen(revisions):
                self._gauges["modelsync_lease_holders"].clear()
                for model, number in revisions.items():
                    self._gauges["modelsync_lease_holders"].labels(model).set(number)
            case facts.VolumeMeasured(total_bytes, free_bytes):
                self._gauges["modelsync_volume_bytes"].labels("total").set(total_bytes)
                self._gauges["modelsync_volume_bytes"].labels("free").set(free_bytes)
            case facts.VolumeCallFailed(reason):
                self._count("volume_errors_total", reason)
            case facts.ReconcileFinished(found, seconds):
                self._observe("reconcile_duration_seconds", seconds)
                self._gauges["modelsync_last_reconcile_success_timestamp_seconds"].set(found.finished_at)
            case _:
                pass


_AT_SCRAPE = {
    "modelsync_models",
    "modelsync_model_info",
    "modelsync_model_synced_timestamp_seconds",
    "modelsync_model_event_to_publish_seconds",
    "modelsync_pinned_models",
    "modelsync_consumers",
}


def _short(receiver: str) -> str:
    """A receiver without its address, which is no label."""
    return receiver.partition(" ")[0]


class _Models(Collector):
    def __init__(
        self,
        models: Callable[[], Mapping[ModelId, ModelView]],
        rollouts: Callable[[], Mapping[ModelId, Rollout]],
    ) -> None:
        self._models = models
        self._rollouts = rollouts
        self._specs = {spec.name: spec for spec in TABLE if spec.name in _AT_SCRAPE}

    def collect(self) -> list[Metric]:
        families = {name: GaugeMetricFamily(name, spec.help, labels=spec.labels) for name, spec in self._specs.items()}
        states: dict[str, int] = {}
        views = self._models()
        for model, view in views.items():
            states[view.state] = states.get(view.state, 0) + 1
            if view.revision is not None:
                families["modelsync_model_info"].add_metric([model, view.revision], 1)
            if view.synced_at is not None and not view.pinned:
                families["modelsync_model_synced_timestamp_seconds"].add_metric([model], view.synced_at)
            if view.lag_seconds is not None:
                families["modelsync_model_event_to_publish_seconds"].add_metric([model], view.lag_seconds)
        for state, number in states.items():
            families["modelsync_models"].add_metric([state], number)
        for model, rollout in self._rollouts().items():
            families["modelsync_consumers"].add_metric([model, "current"], rollout.current)
            families["modelsync_consumers"].add_metric([model, "other"], rollout.consumers - rollout.current)
        families["modelsync_pinned_models"].add_metric([], sum(view.pinned for view in views.values()))
        return list(families.values())
