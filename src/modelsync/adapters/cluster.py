"""Workloads of the own namespace, annotated or restarted after a publication, by Kubernetes' official client."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from modelsync.adapters.network import one_line
from modelsync.core.cluster import annotate_patch, restart_patch
from modelsync.core.notices import Happening, Notice
from modelsync.errors import ConfigurationError, NoticeRefused, NotTold
from modelsync.ports import Clock
from modelsync.ports.telling import Attend

_KINDS = {"Deployment": "deployment", "StatefulSet": "stateful_set", "DaemonSet": "daemon_set"}
_TIMEOUTS = (5.0, 10.0)  # seconds to connect, and without a byte
_PAGE = 500
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
    """Implements `ports.telling.Receiver`: acts on publications alone."""

    name = "kubernetes"

    def __init__(self, options: ClusterOptions, clock: Clock) -> None:
        """Find the cluster.

        Raises:
            ConfigurationError: there is no client, or this is no pod with a service account.
        """
        self._options = options
        self._clock = clock
        self._acted_at = float("-inf")
        try:
            self._namespace = (options.account / "namespace").read_text().strip()
            self._apps, self._core = _clients(options.account)
        except ImportError as error:
            raise ConfigurationError("KUBERNETES_NOTIFY needs the extra modelsync[kubernetes]: install it") from error
        except OSError as error:
            raise ConfigurationError(f"KUBERNETES_NOTIFY needs a service account's token: {one_line(error)}") from error

    def tell(self, notice: Notice, attend: Attend) -> None:
        """Patch what is selected, and put an event on each."""
        if notice.happening is not Happening.PUBLISHED:
            return
        if self._options.mode == "annotate":
            self._patch_all(notice, annotate_patch(notice), attend)
            return
        if notice.at <= self._acted_at:
            return  # pods that were restarted after it have found it
        self._settle(attend)
        began = self._clock.now()
        self._patch_all(notice, restart_patch(notice), attend)
        self._acted_at = began

    def _settle(self, attend: Attend) -> None:
        until = self._clock.monotonic() + self._options.settle_seconds
        while (left := until - self._clock.monotonic()) > 0:
            attend()
            self._clock.wait(threading.Event(), min(left, _TICK_SECONDS))

    def _patch_all(self, notice: Notice, patch: dict[str, Any], attend: Attend) -> None:
        found = 0
        with _translated():
            for kind, method in _KINDS.items():
                listing = getattr(self._apps, f"list_namespaced_{method}")(
                    self._namespace, label_selector=self._options.selector, limit=_PAGE, _request_timeout=_TIMEOUTS
                )
                for workload in listing.items:
                    attend()
                    found += 1
                    getattr(self._apps, f"patch_namespaced_{method}")(
                        workload.metadata.name,
                        self._namespace,
                        patch,
                        _content_type="application/strategic-merge-patch+json",
                        _request_timeout=_TIMEOUTS,
                    )
                    self._core.create_namespaced_event(
                        self._namespace, self._event(notice, kind, workload.metadata), _request_timeout=_TIMEOUTS
                    )
        if not found:
            raise NoticeRefused(
                f"no Deployment, StatefulSet or DaemonSet in namespace {self._namespace} has the labels of"
                " KUBERNETES_SELECTOR"
            )

    def _event(self, notice: Notice, kind: str, workload: Any) -> dict[str, Any]:
        now = datetime.fromtimestamp(self._clock.now(), UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        done = "restarted" if self._options.mode == "restart" else "annotated"
        return {
            "metadata": {"generateName": "modelsync-", "namespace": self._namespace},
            "involvedObject": {
                "apiVersion": "apps/v1",
                "kind": kind,
                "name": workload.name,
                "namespace": self._namespace,
                "uid": workload.uid,
            },
            "type": "Normal",
            "reason": "ModelPublished",
            "message": f"{done}: model {notice.model} is at revision {notice.revision}",
            "source": {"component": "modelsync"},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }


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


@contextmanager
def _translated() -> Iterator[None]:
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except ApiException as error:
        advice = ": see the Role in docs/notifications.md" if error.status in {401, 403} else ""
        raise NotTold(f"Kubernetes' API answered {error.status}{advice}") from error
    except (HTTPError, OSError, ValueError) as error:
        raise NotTold(f"Kubernetes' API cannot be asked: {one_line(error)}") from error
