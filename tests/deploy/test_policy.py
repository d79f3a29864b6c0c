"""All that pods may do: who adds a permission, a capability, a writable path or a way out must change this file."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.manifests import NAME, READERS, WORKERS, containers, manifests, of_kind, on_top_of, pod, the, workloads

ALL = (*WORKERS, *READERS)

KINDS = {
    "ConfigMap", "Deployment", "Namespace", "NetworkPolicy", "PersistentVolumeClaim", "PrometheusRule", "Service",
    "ServiceAccount", "ServiceMonitor",
}  # fmt: skip
MORE_KINDS = {
    "components/external-secret": {"ExternalSecret"},
    "components/kubernetes-notify": {"Role", "RoleBinding"},
    "components/node-cache": {"DaemonSet", "PersistentVolume"},
    "components/priority": {"PriorityClass"},
    "components/scale-out": {"PodDisruptionBudget", "ScaledObject", "TriggerAuthentication"},
}
PERMISSIONS = {
    ("apps", resource, verb)
    for resource in ("deployments", "statefulsets", "daemonsets")
    for verb in ("get", "list", "patch")
} | {("", "events", "create")}
CONTAINER = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
AS_THE_WORKER = CONTAINER | {"runAsNonRoot": True, "runAsUser": 10001}
WORKER_POD = {
    "runAsNonRoot": True,
    "runAsUser": 10001,
    "runAsGroup": 10001,
    "fsGroup": 10001,
    "fsGroupChangePolicy": "OnRootMismatch",
    "seccompProfile": {"type": "RuntimeDefault"},
}
READER_POD = {
    "runAsNonRoot": True,
    "runAsUser": 10002,
    "runAsGroup": 10002,
    "seccompProfile": {"type": "RuntimeDefault"},
}
FIELDS_OF_PODS = {
    "automountServiceAccountToken", "containers", "enableServiceLinks", "initContainers", "nodeSelector",
    "priorityClassName", "securityContext", "serviceAccountName", "terminationGracePeriodSeconds",
    "topologySpreadConstraints", "volumes",
}  # fmt: skip
FIELDS_OF_CONTAINERS = {
    "args", "command", "env", "envFrom", "image", "imagePullPolicy", "livenessProbe", "name", "ports", "readinessProbe",
    "resources", "restartPolicy", "securityContext", "startupProbe", "volumeMounts",
}  # fmt: skip
"""No others: each of them is looked at below, or gives nothing."""
ACCOUNTS = {"examples/tts": None, "examples/tts-init": "tts", "examples/tts-sidecar": "tts"}
CLAIM: dict[str, Any] = {
    "name": "models", "persistentVolumeClaim": {"claimName": "worker-model-sync-tts-models-pvc"},
}  # fmt: skip
OWN_DISK = {"name": "models", "emptyDir": {"sizeLimit": "20Gi"}}
VOLUMES = {
    "examples/tts": [CLAIM],
    "examples/tts-init": [OWN_DISK],
    "examples/tts-sidecar": [OWN_DISK, {"name": "modelsync-tmp", "emptyDir": {"sizeLimit": "64Mi"}}],
}
VOLUMES_OF_WORKERS = [CLAIM, {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}]
SERVICE = {
    "ports": [{"name": "http", "port": 8080, "targetPort": "http"}],
    "selector": {"app.kubernetes.io/name": NAME},
}
OUT = {
    ("169.254.20.10/32", "53/UDP"),
    ("169.254.20.10/32", "53/TCP"),
    ("kube-system", "53/UDP"),
    ("kube-system", "53/TCP"),
    ("0.0.0.0/0 without 169.254.0.0/16", "443/TCP"),
    ("::/0 without fe80::/10, fd00:ec2::/32", "443/TCP"),
    ("169.254.170.23/32", "80/TCP"),
    ("fd00:ec2::23/128", "80/TCP"),
}
MORE_OUT = {
    "components/instance-role": {("169.254.169.254/32", "80/TCP")},
    "components/kubernetes-notify": {("anywhere", "6443/TCP")},
}


@pytest.mark.parametrize("place", ALL)
def test_nothing_is_made_but_what_is_listed_here(place: str) -> None:
    assert {manifest["kind"] for manifest in manifests(place)} <= KINDS | MORE_KINDS.get(place, set())


@pytest.mark.parametrize("place", ALL)
def test_pods_say_nothing_but_what_is_looked_at_here(place: str) -> None:
    spec = pod(place)
    assert spec.keys() <= FIELDS_OF_PODS
    assert spec.get("serviceAccountName") == ACCOUNTS.get(place, NAME)
    for container in containers(spec):
        assert container.keys() <= FIELDS_OF_CONTAINERS


@pytest.mark.parametrize("place", ALL)
def test_the_worker_alone_reads_a_secret_and_only_its_own(place: str) -> None:
    maps = [{"configMapRef": {"name": manifest["metadata"]["name"]}} for manifest in of_kind(place, "ConfigMap")]
    secret = {"secretRef": {"name": NAME, "optional": True}}
    for container in containers(pod(place)):
        sources = maps if place in READERS else [*maps, secret]
        assert container.get("envFrom", []) == (sources if container["name"] == "modelsync" else [])
        assert all(variable.keys() == {"name", "value"} for variable in container.get("env", ()))


@pytest.mark.parametrize("place", ALL)
def test_only_the_notifying_worker_may_ask_kubernetes(place: str) -> None:
    granted = {
        (group, resource, verb)
        for role in of_kind(place, "Role")
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    notifies = place == "components/kubernetes-notify"
    assert granted == (PERMISSIONS if notifies else set())
    assert pod(place)["automountServiceAccountToken"] is notifies
    assert all(account["automountServiceAccountToken"] is False for account in of_kind(place, "ServiceAccount"))


@pytest.mark.parametrize("place", ALL)
def test_pods_and_containers_have_no_more_rights_than_these(place: str) -> None:
    spec = pod(place)
    own_volume = {"fsGroup": 10001} if place in {"examples/tts-init", "examples/tts-sidecar"} else {}
    assert spec["securityContext"] == (READER_POD | own_volume if place in READERS else WORKER_POD)
    for container in containers(spec):
        of_worker = place in READERS and container["name"] == "modelsync"
        assert container.get("securityContext") == (AS_THE_WORKER if of_worker else CONTAINER)


@pytest.mark.parametrize("place", ALL)
def test_pods_meet_the_restricted_pod_security_standard(place: str) -> None:
    for workload in workloads(place):
        spec = workload["spec"]["template"]["spec"]
        assert list(breaches(spec)) == []


def breaches(spec: dict[str, Any]) -> Iterator[str]:
    """What of Kubernetes' Pod Security Standard "restricted" a pod breaks."""
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(name):
            yield name
    allowed = {
        "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
    }  # fmt: skip
    for volume in spec.get("volumes", ()):
        yield from (f"volume {kind}" for kind in volume.keys() - {"name"} - allowed)
    of_pod = spec.get("securityContext", {})
    if {"sysctls", "seLinuxOptions", "windowsOptions", "supplementalGroups"} & of_pod.keys():
        yield "options of the pod"
    for container in containers(spec):
        name, context = container["name"], of_pod | container.get("securityContext", {})
        yield from (f"{name}: {what}" for what, breaks in _of_container(container, context).items() if breaks)


def _of_container(container: dict[str, Any], context: dict[str, Any]) -> dict[str, bool]:
    capabilities = context.get("capabilities", {})
    return {
        "privileged": bool(context.get("privileged")),
        "sees all of /proc": context.get("procMount", "Default") != "Default",
        "may gain rights": context.get("allowPrivilegeEscalation") is not False,
        "may be root": context.get("runAsNonRoot") is not True or context.get("runAsUser") == 0,
        "no seccomp": context.get("seccompProfile", {}).get("type") not in {"RuntimeDefault", "Localhost"},
        "capabilities kept": "ALL" not in capabilities.get("drop", ()),
        "capabilities added": not set(capabilities.get("add", ())) <= {"NET_BIND_SERVICE"},
        "a port of the node": any("hostPort" in port for port in container.get("ports", ())),
    }


@pytest.mark.parametrize("place", ALL)
def test_nothing_can_be_written_to_but_the_volume_and_a_bounded_tmp(place: str) -> None:
    spec = pod(place)
    for container in containers(spec):
        writable = {m["mountPath"] for m in container.get("volumeMounts", ()) if not m.get("readOnly")}
        if container["name"] == "modelsync":
            assert writable <= {"/models", "/tmp"}
        else:
            assert writable == set(), "readers cannot change what they read"
    assert spec["volumes"] == VOLUMES.get(place, VOLUMES_OF_WORKERS)


@pytest.mark.parametrize("place", ALL)
def test_containers_have_bounds_and_no_links_to_other_services(place: str) -> None:
    spec = pod(place)
    for container in containers(spec):
        assert container.get("resources", {}).get("limits", {}).keys() >= {"cpu", "memory"}
        if container["name"] == "modelsync":
            assert spec["enableServiceLinks"] is False, "a service named modelsync would set MODELSYNC_ variables"


@pytest.mark.parametrize("place", WORKERS)
def test_the_worker_reaches_nothing_but_this(place: str) -> None:
    policies = {policy["metadata"]["name"]: policy["spec"] for policy in of_kind(place, "NetworkPolicy")}
    ways = {way for policy in policies.values() for rule in policy.get("egress", ()) for way in _ways(rule)}
    assert ways == OUT | MORE_OUT.get(place, set())
    assert policies[NAME]["policyTypes"] == ["Ingress", "Egress"], "what is not named is open"


def _ways(rule: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for port in rule["ports"]:
        last = f"-{port['endPort']}" if "endPort" in port else ""
        at = f"{port['port']}{last}/{port.get('protocol', 'TCP')}"
        for peer in rule.get("to", [{}]):
            if "ipBlock" in peer:
                block = peer["ipBlock"]
                without = f" without {', '.join(block['except'])}" if "except" in block else ""
                yield block["cidr"] + without, at
            elif "namespaceSelector" in peer:
                assert peer["podSelector"] == {"matchLabels": {"k8s-app": "kube-dns"}}
                yield peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"], at
            else:
                yield "anywhere", at


@pytest.mark.parametrize("place", WORKERS)
def test_the_worker_is_reached_by_monitoring_and_its_own_namespace_alone(place: str) -> None:
    rules = [rule for policy in of_kind(place, "NetworkPolicy") for rule in policy["spec"].get("ingress", ())]
    monitoring = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    assert rules == [{"from": [{"podSelector": {}}, monitoring], "ports": [{"port": 8080, "protocol": "TCP"}]}]
    assert the(place, "Service")["spec"] == SERVICE


def test_a_new_namespace_enforces_the_same() -> None:
    labels = the("components/namespace", "Namespace")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("hostNetwork",), True),
        (("volumes", 1), {"name": "tmp", "hostPath": {"path": "/"}}),
        (("securityContext", "runAsNonRoot"), False),
        (("securityContext", "seccompProfile"), {}),
        (("containers", 0, "securityContext", "privileged"), True),
        (("containers", 0, "securityContext", "allowPrivilegeEscalation"), True),
        (("containers", 0, "securityContext", "capabilities"), {"drop": ["ALL"], "add": ["SYS_ADMIN"]}),
        (("containers", 0, "ports", 0, "hostPort"), 8080),
    ],
)
def test_a_breach_of_the_standard_is_seen(path: tuple[str | int, ...], value: object) -> None:
    spec: Any = copy.deepcopy(pod("overlays/prod"))
    at = spec
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    assert list(breaches(spec))


# What the tests above are worth: each of these changes makes one of them fail.

RIGHTS = test_pods_and_containers_have_no_more_rights_than_these
WRITABLE = test_nothing_can_be_written_to_but_the_volume_and_a_bounded_tmp
PERMITTED = test_only_the_notifying_worker_may_ask_kubernetes
OUTSIDE = test_the_worker_reaches_nothing_but_this
FIELDS = test_pods_say_nothing_but_what_is_looked_at_here
SECRETS = test_the_worker_alone_reads_a_secret_and_only_its_own
REACHED = test_the_worker_is_reached_by_monitoring_and_its_own_namespace_alone
CONTAINER_AT = "/spec/template/spec/containers/0"
ROLE = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "Role",
    "metadata": {"name": "more"},
    "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}],
}


def _patch(path: str, value: object, kind: str = "Deployment", change: str = "add") -> dict[str, Any]:
    operation = {"op": change, "path": path, "value": value}
    return {"patches": [{"target": {"kind": kind}, "patch": yaml.safe_dump([operation])}]}


@pytest.mark.parametrize(
    ("change", "fails"),
    [
        (_patch(f"{CONTAINER_AT}/securityContext/capabilities/add", ["NET_ADMIN"]), RIGHTS),
        (_patch(f"{CONTAINER_AT}/securityContext/readOnlyRootFilesystem", value=False), RIGHTS),
        (_patch(f"{CONTAINER_AT}/securityContext/runAsUser", 0), RIGHTS),
        (_patch("/spec/template/spec/securityContext/fsGroup", 0), RIGHTS),
        (_patch("/spec/template/spec/containers/-", {"name": "more", "image": "more"}), RIGHTS),
        (_patch("/spec/template/spec/hostNetwork", value=True), test_pods_meet_the_restricted_pod_security_standard),
        (_patch(f"{CONTAINER_AT}/volumeMounts/-", {"name": "tmp", "mountPath": "/opt"}), WRITABLE),
        (_patch("/spec/template/spec/volumes/-", {"name": "more", "hostPath": {"path": "/etc"}}), WRITABLE),
        (_patch("/spec/template/spec/volumes/1/emptyDir", {}), WRITABLE),
        (
            _patch(f"{CONTAINER_AT}/resources/limits", {"cpu": 1}),
            test_containers_have_bounds_and_no_links_to_other_services,
        ),
        (_patch("/spec/template/spec/automountServiceAccountToken", value=True), PERMITTED),
        ({"resources": [ROLE]}, PERMITTED),
        ({"resources": [ROLE | {"kind": "ClusterRole"}]}, test_nothing_is_made_but_what_is_listed_here),
        (_patch("/spec/template/spec/volumes/1/emptyDir/sizeLimit", "100Gi"), WRITABLE),
        (_patch("/spec/template/spec/volumes/0/persistentVolumeClaim/claimName", "another"), WRITABLE),
        (_patch("/spec/template/spec/serviceAccountName", "another"), FIELDS),
        (_patch("/spec/template/spec/shareProcessNamespace", value=True), FIELDS),
        (_patch(f"{CONTAINER_AT}/volumeDevices", [{"name": "models", "devicePath": "/dev/xvda"}]), FIELDS),
        (_patch(f"{CONTAINER_AT}/lifecycle", {"postStart": {"exec": {"command": ["sh"]}}}), FIELDS),
        (_patch(f"{CONTAINER_AT}/envFrom/-", {"secretRef": {"name": "another"}}), SECRETS),
        (
            _patch(
                f"{CONTAINER_AT}/env", [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "another", "key": "x"}}}]
            ),
            SECRETS,
        ),
        (_patch("/spec/egress/-", {"ports": [{"port": 22}]}, "NetworkPolicy"), OUTSIDE),
        (_patch("/spec/egress/1/ports/-", {"port": 443, "protocol": "UDP"}, "NetworkPolicy"), OUTSIDE),
        (_patch("/spec/egress/1/ports/0/endPort", 65535, "NetworkPolicy"), OUTSIDE),
        (_patch("/spec/policyTypes", ["Egress"], "NetworkPolicy"), OUTSIDE),
        (_patch("/spec/ingress/-", {}, "NetworkPolicy"), REACHED),
        (_patch("/spec/type", "LoadBalancer", "Service"), REACHED),
        (_patch("/spec/externalIPs", ["192.0.2.1"], "Service"), REACHED),
    ],
)
def test_a_change_that_adds_something_is_seen(
    tmp_path: Path, change: dict[str, Any], fails: Callable[[str], None]
) -> None:
    added = change.get("resources", [])
    for number, manifest in enumerate(added):
        (tmp_path / f"{number}.yaml").write_text(yaml.safe_dump(manifest))
    names = [f"{number}.yaml" for number in range(len(added))]
    place = on_top_of("overlays/prod", tmp_path, names, patches=change.get("patches", []))
    with pytest.raises(AssertionError):
        fails(place)


def test_a_reader_that_may_write_is_seen(tmp_path: Path) -> None:
    place = on_top_of("examples/tts", tmp_path, **_patch(f"{CONTAINER_AT}/volumeMounts/0/readOnly", value=False))
    with pytest.raises(AssertionError):
        test_nothing_can_be_written_to_but_the_volume_and_a_bounded_tmp(place)


def test_no_change_is_no_breach(tmp_path: Path) -> None:
    place = on_top_of("overlays/prod", tmp_path)
    for judge in (PERMITTED, RIGHTS, WRITABLE, REACHED, OUTSIDE, FIELDS, SECRETS):
        judge(place)
