"""The paths of Kubernetes' API that are used, on loopback: workloads by label, patches, events."""

from __future__ import annotations

import json
import ssl
from pathlib import Path
from typing import Any

import trustme

from fakes.loopback import Answer, LoopbackServer, Request

NAMESPACE = "voice-tts"
_PLURALS = {"deployments": "Deployment", "statefulsets": "StatefulSet", "daemonsets": "DaemonSet"}


class KubernetesApi(LoopbackServer):
    """Verbs: `add`, `restart` (as kubectl does), `strip` (of annotations, as some controllers do).

    What was done is in `patches` and `events`, and shows in later lists. `failures`: which request, from 1, is answered
    with which status; `forbidden`: what is, each time, by the end of its path.
    """

    def __init__(self, account: Path, token: str = "service-account") -> None:
        authority = trustme.CA()
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(tls)
        account.mkdir()
        authority.cert_pem.write_to_path(str(account / "ca.crt"))
        (account / "token").write_text(token)
        (account / "namespace").write_text(NAMESPACE)
        self.failures: dict[int, int] = {}
        self.forbidden: set[str] = set()
        self.patches: list[tuple[str, str, Any]] = []
        self.events: list[Any] = []
        self._token = token
        self._workloads: dict[str, dict[str, str]] = {plural: {} for plural in _PLURALS}
        self._made_at: dict[tuple[str, str], str] = {}
        self._annotations: dict[tuple[str, str], dict[str, str]] = {}
        self._pods: dict[tuple[str, str], dict[str, str]] = {}
        super().__init__(tls)

    def add(self, plural: str, name: str, label: str, made_at: str = "2020-01-01T00:00:00Z") -> None:
        """Make a workload with one label."""
        self._workloads[plural][name] = label
        self._made_at[plural, name] = made_at

    def restart(self, plural: str, name: str, at: str) -> None:
        self._pods.setdefault((plural, name), {})["kubectl.kubernetes.io/restartedAt"] = at

    def strip(self) -> None:
        self._annotations.clear()
        self._pods.clear()

    def answer(self, request: Request) -> Answer:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if (scheme.lower(), token) != ("bearer", self._token):
            return _answer(401, {"kind": "Status"})
        if (status := self.failures.get(len(self.seen))) is not None:
            return _answer(status, {"kind": "Status"})
        if request.path.endswith(tuple(self.forbidden)):
            return _answer(403, {"kind": "Status"})
        match request.method, request.path.strip("/").split("/"):
            case "GET", ["apis", "apps", "v1", "namespaces", space, plural] if space == NAMESPACE:
                return self._list(plural, request.query["labelSelector"])
            case "PATCH", ["apis", "apps", "v1", "namespaces", space, plural, name] if space == NAMESPACE:
                if request.headers["content-type"] != "application/strategic-merge-patch+json":
                    return _answer(415, {"kind": "Status"})
                patch = json.loads(request.body)
                self.patches.append((plural, name, patch))
                self._annotations.setdefault((plural, name), {}).update(_annotations(patch))
                pods = patch.get("spec", {}).get("template", {})
                self._pods.setdefault((plural, name), {}).update(_annotations(pods))
                return _answer(200, self._workload(plural, name))
            case "POST", ["api", "v1", "namespaces", space, "events"] if space == NAMESPACE:
                self.events.append(json.loads(request.body))
                return _answer(201, self.events[-1] | {"metadata": {"name": "modelsync-1"}})
            case _:
                return _answer(404, {"kind": "Status"})

    def _list(self, plural: str, selector: str) -> Answer:
        items = [self._workload(plural, name) for name, label in self._workloads[plural].items() if label == selector]
        return _answer(200, {"kind": f"{_PLURALS[plural]}List", "apiVersion": "apps/v1", "items": items})

    def _workload(self, plural: str, name: str) -> dict[str, Any]:
        pods = {"labels": {"a": "b"}, "annotations": self._pods.get((plural, name))}
        template = {"metadata": pods, "spec": {"containers": [{"name": "c"}]}}
        about = {
            "name": name,
            "uid": f"uid-of-{name}",
            "creationTimestamp": self._made_at[plural, name],
            "annotations": self._annotations.get((plural, name)),
        }
        return {
            "kind": _PLURALS[plural],
            "apiVersion": "apps/v1",
            "metadata": about,
            "spec": {"selector": {"matchLabels": {"a": "b"}}, "serviceName": "s", "template": template},
        }


def _annotations(document: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = document.get("metadata", {}).get("annotations", {})
    return found


def _answer(status: int, document: Any) -> Answer:
    return Answer(status, json.dumps(document).encode(), {"Content-Type": "application/json"})
