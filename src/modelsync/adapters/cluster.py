"""Workloads of the own namespace, annotated or restarted after a publication, by Kubernetes' official client."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from modelsync.adapters.network import one_line
from modelsync.core.cluster import (
    RESTARTED_AT,
    Remark,
    Standing,
    Workload,
    aligned,
    annotate_patch,
    latest,
    overdue,
    remark,
    restart_patch,
    seconds_of,
)
from modelsync.core.facts import WorkloadEventsLost
from modelsync.core.names import ModelId
from modelsync.core.notices import Happening, Notice
from modelsync.core.words import some
from modelsync.errors import ConfigurationError, NoticeRefused, NotTold
from modelsync.ports import Clock, Observer
from modelsync.ports.telling import Attend

_KINDS = {"Deployment": "deployment", "StatefulSet": "stateful_set", "DaemonSet": "daemon_set"}
_TIMEOUTS = (5.0, 10.0)  # seconds to connect, and without a byte
_PAGE = 500
_MOST_ANNOTATIONS = 1000  # about 110 bytes each, of 256 KiB
_DONE = {"annotate": "annotated", "restart": "restarted"}
_TICK_SECONDS = 1.0


@dataclass(frozen=True)
class ClusterOptions:
    """What is done to whom.

    Attributes:
        mode: `annotate` or `restart`.
        selector: labels of the workloads, as kubectl takes them.
        account: the directory of the service account's files.
        settle_seconds: what is published within this time of the first makes one restart.
    """

    mode: Literal["annotate", "restart"]
    selector: str
    account: Path = Path("/var/run/secrets/kubernetes.io/serviceaccount")
    settle_seconds: float = 3.0


class Cluster:
    """Implements `ports.telling.Receiver` and `Follower`: publications change workloads, and Events tell of all."""

    name = "kubernetes"

    def __init__(self, options: ClusterOptions, clock: Clock, observe: Observer) -> None:
        """Find the cluster.

        Raises:
            ConfigurationError: there is no client, or this is no pod with a service account.
        """
        self._options = options
        self._clock = clock
        self._observe = observe
        self._acted_at = float("-inf")
        self._restarted: dict[str, float] = {}  # by uid: others may take our annotations away, again and again
        self._lock = threading.Lock()
        try:
            self._namespace = (options.account / "namespace").read_text().strip()
            self._apps, self._core = _clients(options.account)
        except ImportError as error:
            raise ConfigurationError("KUBERNETES_NOTIFY needs the extra modelsync[kubernetes]: install it") from error
        except OSError as error:
            raise ConfigurationError(f"KUBERNETES_NOTIFY needs a service account's token: {one_line(error)}") from error

    def tell(self, notice: Notice, attend: Attend) -> None:
        """Bring what is selected to a publication, and put an Event on each.

        All workloads are seen to before the first Event, and one that is refused does not keep others from theirs.
        What was seen to already is left alone, so that another attempt repeats nothing.
        """
        if notice.happening is not Happening.PUBLISHED:
            self._only_remark(notice, attend)
            return
        said = remark(notice, _DONE[self._options.mode])
        with self._alone(attend):
            if self._options.mode == "annotate":
                revisions = {notice.model: notice.revision}
                self._patch_all(said, lambda workload: annotate_patch(workload, revisions), attend)
                return
            if notice.at <= self._acted_at:
                return  # pods that were restarted after it have found it
            self._settle(attend)
            began = self._clock.now()
            self._patch_all(said, lambda workload: restart_patch(workload, notice.at, began), attend)
            self._acted_at = began

    def align(self, published: Mapping[ModelId, Standing], attend: Attend) -> None:
        """Bring what is selected to what readers see: annotations that differ, pods older than a publication."""
        newest = latest(published, _MOST_ANNOTATIONS)
        if not newest:
            return
        said = aligned(_DONE[self._options.mode], some(newest))
        revisions = {model: standing.revision for model, standing in newest.items()}
        newest_at = max(standing.published_at for standing in newest.values())

        def patch_for(workload: Workload) -> dict[str, Any] | None:
            if self._options.mode == "annotate":
                return annotate_patch(workload, revisions)
            if not overdue(workload, newest_at) or self._restarted.get(workload.uid, float("-inf")) >= newest_at:
                return None
            # Replicas that find the same at the same moment make the same patch: one restart.
            return restart_patch(workload, newest_at, newest_at)

        with self._alone(attend):
            self._patch_all(said, patch_for, attend)

    @contextmanager
    def _alone(self, attend: Attend) -> Iterator[None]:
        """Nobody else of this process sees to the workloads meanwhile: what one does, the other finds done."""
        while not self._lock.acquire(timeout=_TICK_SECONDS):
            attend()
        try:
            yield
        finally:
            self._lock.release()

    def _settle(self, attend: Attend) -> None:
        until = self._clock.monotonic() + self._options.settle_seconds
        while (left := until - self._clock.monotonic()) > 0:
            attend()
            self._clock.wait(threading.Event(), min(left, _TICK_SECONDS))

    def _only_remark(self, notice: Notice, attend: Attend) -> None:
        found = self._selected()
        if found.refusal is not None and not found.workloads:
            raise found.refusal
        lost = self._remark_all(remark(notice, ""), found.workloads, attend) or found.refusal
        if lost is not None:  # another attempt would repeat those that were made
            raise NoticeRefused(f"Events could not be made: {lost}")

    def _patch_all(self, said: Remark, patch_for: Callable[[Workload], dict[str, Any] | None], attend: Attend) -> None:
        found = self._selected()
        patched: list[Workload] = []
        failure: NotTold | None = found.refusal
        for workload in found.workloads:
            attend()
            if (patch := patch_for(workload)) is None:
                continue
            try:
                self._patch(workload, patch)
            except _Refused as error:
                failure = error
            except NotTold as error:
                failure = error
                break
            else:
                patched.append(workload)
        self._remark_all(said, patched, attend)
        if failure is not None:
            raise failure

    def _selected(self) -> _Selected:
        """All workloads that the selector names, as far as they may be listed."""
        workloads: list[Workload] = []
        refusal: _Refused | None = None
        for kind, method in _KINDS.items():
            try:
                listing = _call(
                    getattr(self._apps, f"list_namespaced_{method}"),
                    self._namespace,
                    label_selector=self._options.selector,
                    limit=_PAGE,
                )
            except _Refused as error:
                refusal = error
                continue
            workloads += [_workload(kind, item) for item in listing.items]
        if not workloads and refusal is None:
            raise NoticeRefused(
                f"no Deployment, StatefulSet or DaemonSet in namespace {self._namespace} has the labels of"
                " KUBERNETES_SELECTOR"
            )
        return _Selected(workloads, refusal)

    def _patch(self, workload: Workload, patch: dict[str, Any]) -> None:
        _call(
            getattr(self._apps, f"patch_namespaced_{_KINDS[workload.kind]}"),
            workload.name,
            self._namespace,
            patch,
            _content_type="application/strategic-merge-patch+json",
        )
        self._restarted[workload.uid] = self._clock.now()

    def _remark_all(self, said: Remark, workloads: Sequence[Workload], attend: Attend) -> str | None:
        """Put an Event on each workload, until one cannot be made: say why. They are no reason to do anything again."""
        for number, workload in enumerate(workloads):
            attend()
            try:
                _call(self._core.create_namespaced_event, self._namespace, self._event(said, workload))
            except NotTold as error:
                lost = len(workloads) - number
                self._observe(WorkloadEventsLost(said.reason, lost, str(error)))
                return str(error)
        return None

    def _event(self, said: Remark, workload: Workload) -> dict[str, Any]:
        now = datetime.fromtimestamp(self._clock.now(), UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        return {
            "metadata": {"generateName": "modelsync-", "namespace": self._namespace},
            "involvedObject": {
                "apiVersion": "apps/v1",
                "kind": workload.kind,
                "name": workload.name,
                "namespace": self._namespace,
                "uid": workload.uid,
            },
            "type": said.type,
            "reason": said.reason,
            "message": said.message,
            "source": {"component": "modelsync"},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }


class _Refused(NotTold):
    """The API answered, and would not have this one call: others may go well."""


@dataclass(frozen=True)
class _Selected:
    """Workloads, and why there may be more of them."""

    workloads: Sequence[Workload]
    refusal: _Refused | None


def _workload(kind: str, item: Any) -> Workload:
    about, pods = item.metadata, item.spec.template.metadata
    made_at = about.creation_timestamp.timestamp() if about.creation_timestamp else float("-inf")
    restarted_at = seconds_of((pods.annotations or {}).get(RESTARTED_AT)) if pods else None
    started_at = made_at if restarted_at is None else max(made_at, restarted_at)
    return Workload(kind, about.name, about.uid, about.annotations or {}, started_at)


def _clients(account: Path) -> tuple[Any, Any]:
    from kubernetes import client
    from kubernetes.config import ConfigException
    from kubernetes.config.incluster_config import InClusterConfigLoader

    configuration = client.Configuration()
    configuration.retries = False  # the outbox tries again
    try:
        InClusterConfigLoader(str(account / "token"), str(account / "ca.crt")).load_and_set(configuration)
    except ConfigException as error:
        raise ConfigurationError(f"KUBERNETES_NOTIFY works in a pod alone: {one_line(error)}") from error
    api = client.ApiClient(configuration)
    return client.AppsV1Api(api), client.CoreV1Api(api)


def _call(call: Callable[..., Any], *about: Any, **more: Any) -> Any:
    """Ask the API.

    Raises:
        _Refused: it answered with an error.
        NotTold: it did not answer.
    """
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    try:
        return call(*about, **more, _request_timeout=_TIMEOUTS)
    except ApiException as error:
        advice = ": see the Role in docs/notifications.md" if error.status in {401, 403} else ""
        raise _Refused(f"Kubernetes' API answered {error.status}{advice}") from error
    except (HTTPError, OSError, ValueError) as error:
        raise NotTold(f"Kubernetes' API cannot be asked: {one_line(error)}") from error
