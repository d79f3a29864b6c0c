"""What the manifests must say, whatever else they say."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from modelsync import __version__
from modelsync.adapters.sqs import POLL_SECONDS
from modelsync.client.command import _parser
from modelsync.config import Settings, load
from support.manifests import (
    COMPONENTS,
    NAME,
    NAMESPACE,
    READERS,
    ROOT,
    WORKERS,
    containers,
    environment,
    manifests,
    modelsync,
    of_kind,
    pod,
    rendered,
    the,
    workloads,
)

WITH_WORKER = (*WORKERS, "examples/tts-sidecar", "examples/tts-init")
DAY_ONE_SECONDS = 3600
"""A first sync that takes so long is no failure."""


def budget(probe: dict[str, Any]) -> int:
    seconds: int = probe["periodSeconds"] * probe["failureThreshold"]
    return seconds


@pytest.mark.parametrize("place", WITH_WORKER)
def test_every_variable_is_one_of_modelsync_and_all_together_are_taken(place: str) -> None:
    variables = environment(place)
    known = {name.upper() for name in Settings.model_fields}
    unknown = [name for name in variables if name not in known and not re.fullmatch(r"SQS_\w+_QUEUE_URL", name)]
    assert not unknown
    assert str(load(variables).settings.models_base_path) == modelsync(place)["volumeMounts"][0]["mountPath"]


@pytest.mark.parametrize("place", WORKERS)
def test_names_are_those_of_the_contract(place: str) -> None:
    assert {workload["metadata"]["name"] for workload in workloads(place)} == {NAME}
    assert the(place, "PersistentVolumeClaim")["metadata"]["name"] == "worker-model-sync-tts-models-pvc"
    assert pod(place)["volumes"][0]["persistentVolumeClaim"]["claimName"] == "worker-model-sync-tts-models-pvc"
    cluster_wide = {"Namespace", "PersistentVolume", "PriorityClass"}
    assert {m["metadata"]["namespace"] for m in manifests(place) if m["kind"] not in cluster_wide} == {NAMESPACE}
    assert all(m["metadata"]["labels"]["app.kubernetes.io/name"] == NAME for m in workloads(place))


@pytest.mark.parametrize("place", WORKERS)
def test_another_namespace_is_named_in_one_place(place: str) -> None:
    """The volume of a node cache waits for a claim of that namespace too."""
    named = re.findall(r"^ +namespace: (\S+)$", rendered(place, "elsewhere"), re.MULTILINE)
    assert set(named) == {"elsewhere"}


@pytest.mark.parametrize("place", WORKERS)
def test_pods_are_found_by_all_that_select_them(place: str) -> None:
    [workload] = workloads(place)
    labels = workload["spec"]["template"]["metadata"]["labels"].items()
    selectors = [workload["spec"]["selector"]["matchLabels"], the(place, "Service")["spec"]["selector"]]
    selectors += [policy["spec"]["podSelector"]["matchLabels"] for policy in of_kind(place, "NetworkPolicy")]
    selectors += [pdb["spec"]["selector"]["matchLabels"] for pdb in of_kind(place, "PodDisruptionBudget")]
    assert all(selector.items() <= labels for selector in selectors)
    service = the(place, "Service")
    for monitor in of_kind(place, "ServiceMonitor"):
        assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
        assert monitor["spec"]["endpoints"][0]["port"] in {port["name"] for port in service["spec"]["ports"]}


@pytest.mark.parametrize("place", WORKERS)
def test_the_worker_has_time_to_park_its_work(place: str) -> None:
    grace = load(environment(place)).settings.shutdown_grace_seconds
    assert pod(place)["terminationGracePeriodSeconds"] >= grace + 2 * POLL_SECONDS


@pytest.mark.parametrize("place", WITH_WORKER)
def test_probes_ask_for_what_they_are_for(place: str) -> None:
    container = modelsync(place)
    routes = re.findall(r'@api\.get\("(/\w+)"', (ROOT / "src/modelsync/web/api.py").read_text())
    probes = {
        kind: container[kind] for kind in ("startupProbe", "livenessProbe", "readinessProbe") if kind in container
    }
    ports = {port["name"]: port["containerPort"] for port in container.get("ports", ())}
    for probe in probes.values():
        assert probe["httpGet"]["path"] in routes
        assert str(ports[probe["httpGet"]["port"]]) == environment(place).get("HTTP_PORT", "8080")
        assert probe["timeoutSeconds"] >= 5
    if "livenessProbe" in probes:
        assert probes["livenessProbe"]["httpGet"]["path"] == "/live", "a worker without AWS or models is not dead"
        assert budget(probes["livenessProbe"]) >= 60


@pytest.mark.parametrize("place", WORKERS)
def test_a_first_sync_of_an_hour_kills_nobody(place: str) -> None:
    container = modelsync(place)
    assert container["startupProbe"]["httpGet"]["path"] == "/live"
    assert budget(container["startupProbe"]) >= 120, "volume and bucket are looked at before the first answer"
    assert container["readinessProbe"]["httpGet"]["path"] == "/ready"
    for deployment in of_kind(place, "Deployment"):
        assert deployment["spec"]["progressDeadlineSeconds"] > DAY_ONE_SECONDS


@pytest.mark.parametrize("place", WORKERS)
def test_resources(place: str) -> None:
    resources = modelsync(place)["resources"]
    assert resources["requests"].items() >= {"cpu": "250m", "memory": "512Mi"}.items()
    assert resources["limits"].items() >= {"cpu": "1000m", "memory": "2Gi"}.items()


@pytest.mark.parametrize("place", [place for place in WORKERS if place != "components/node-cache"])
def test_one_worker_replaces_another_unless_it_is_scaled_out(place: str) -> None:
    spec = the(place, "Deployment")["spec"]
    if place == "components/scale-out":
        assert "replicas" not in spec, "KEDA sets them"
        assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    else:
        assert spec["replicas"] == 1
        assert spec["strategy"] == {"type": "Recreate"}


@pytest.mark.parametrize("overlay", ["dev", "prod"])
def test_the_volume_is_shared_and_its_class_and_size_are_the_overlays(overlay: str) -> None:
    spec = the(f"overlays/{overlay}", "PersistentVolumeClaim")["spec"]
    assert spec["accessModes"] == ["ReadWriteMany"]
    assert spec["storageClassName"] == "efs-sc"
    assert spec["resources"]["requests"]["storage"] == {"dev": "20Gi", "prod": "500Gi"}[overlay]


def test_prod_runs_this_release_with_a_queue_and_a_role() -> None:
    assert modelsync("overlays/prod")["image"].endswith(f"/{NAME}:{__version__}")
    assert list(load(environment("overlays/prod")).queues) == ["model_sync"]
    assert the("overlays/prod", "ServiceAccount")["metadata"]["annotations"]["eks.amazonaws.com/role-arn"]
    assert of_kind("overlays/prod", "PrometheusRule")


def test_dev_runs_what_was_built_here_with_no_registry() -> None:
    container = modelsync("overlays/dev")
    assert (container["image"], container["imagePullPolicy"]) == (f"{NAME}:latest", "IfNotPresent")
    assert not load(environment("overlays/dev")).queues


def test_a_changed_variable_is_a_new_rollout() -> None:
    names = {the(f"overlays/{overlay}", "ConfigMap")["metadata"]["name"] for overlay in ("dev", "prod")}
    assert len(names) == 2, "the digest of the content is part of the name"


def test_no_secret_is_kept_here() -> None:
    for place in (*WORKERS, *READERS):
        assert not of_kind(place, "Secret")
        for manifest in of_kind(place, "ConfigMap"):
            assert not {"API_TOKEN", "NOTIFY_WEBHOOK_SECRET", "AWS_SECRET_ACCESS_KEY"} & manifest["data"].keys()
    [reference] = [source["secretRef"] for source in modelsync("overlays/prod")["envFrom"] if "secretRef" in source]
    assert reference == {"name": NAME, "optional": True}
    assert the("components/external-secret", "ExternalSecret")["spec"]["target"]["name"] == NAME


def test_scaled_out_workers_follow_the_depth_of_their_queue() -> None:
    place = "components/scale-out"
    scaled = the(place, "ScaledObject")["spec"]
    assert scaled["scaleTargetRef"] == {"name": the(place, "Deployment")["metadata"]["name"]}
    assert scaled["minReplicaCount"] >= 2
    [trigger] = scaled["triggers"]
    assert trigger["metadata"]["queueURLFromEnv"] in environment(place)
    assert trigger["metadata"]["awsRegion"] == environment(place)["AWS_REGION"]
    assert trigger["authenticationRef"]["name"] == the(place, "TriggerAuthentication")["metadata"]["name"]
    keys = {spread["topologyKey"] for spread in pod(place)["topologySpreadConstraints"]}
    assert keys == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
    assert the(place, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1


def test_only_scaled_out_workers_have_a_disruption_budget() -> None:
    assert [place for place in WORKERS if of_kind(place, "PodDisruptionBudget")] == ["components/scale-out"]


def test_a_node_cache_hears_of_changes_without_a_queue_and_keeps_them_on_the_node() -> None:
    place = "components/node-cache"
    configuration = load(environment(place))
    assert not configuration.queues, "a queue hands each message to one node alone"
    assert 0 < configuration.settings.reconcile_interval_seconds <= 60
    [workload] = workloads(place)
    assert workload["kind"] == "DaemonSet"
    assert not {"replicas", "strategy", "progressDeadlineSeconds"} & workload["spec"].keys()
    claim, volume = the(place, "PersistentVolumeClaim"), the(place, "PersistentVolume")
    assert claim["spec"]["volumeName"] == volume["metadata"]["name"]
    assert claim["spec"]["storageClassName"] == volume["spec"]["storageClassName"] == ""
    assert volume["spec"]["claimRef"] == {"name": claim["metadata"]["name"], "namespace": NAMESPACE}
    [term] = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
    [expression] = term["matchExpressions"]
    assert pod(place)["nodeSelector"] == {expression["key"]: expression["values"][0]}


def test_a_single_node_needs_no_shared_file_system() -> None:
    spec = the("components/single-node", "PersistentVolumeClaim")["spec"]
    assert spec["accessModes"] == ["ReadWriteOnce"]
    assert "storageClassName" not in spec


def test_the_notifying_worker_has_a_token_and_its_account_the_role() -> None:
    place = "components/kubernetes-notify"
    binding = the(place, "RoleBinding")
    assert pod(place)["automountServiceAccountToken"] is True
    assert binding["roleRef"]["name"] == the(place, "Role")["metadata"]["name"]
    [subject] = binding["subjects"]
    assert (subject["name"], subject["namespace"]) == (pod(place)["serviceAccountName"], NAMESPACE)


def test_the_role_is_the_documented_one() -> None:
    page = (ROOT / "docs/notifications.md").read_text()
    [role] = [text for text in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "kind: Role\n" in text]
    documented = {manifest["kind"]: manifest for manifest in yaml.safe_load_all(role)}
    assert the("components/kubernetes-notify", "Role")["rules"] == documented["Role"]["rules"]


def test_priority_pushes_no_running_pod_out() -> None:
    priority = the("components/priority", "PriorityClass")
    assert pod("components/priority")["priorityClassName"] == priority["metadata"]["name"]
    assert priority["preemptionPolicy"] == "Never"


def test_an_application_starts_when_its_voice_is_on_the_shared_volume() -> None:
    spec = pod("examples/tts")
    [waiting] = spec["initContainers"]
    asked = _parser().parse_args(waiting["args"])
    assert asked.models == ["alice"]
    assert asked.timeout >= DAY_ONE_SECONDS
    assert waiting["image"] == modelsync("overlays/prod")["image"]
    claim = the("overlays/prod", "PersistentVolumeClaim")["metadata"]["name"]
    assert spec["volumes"] == [{"name": "models", "persistentVolumeClaim": {"claimName": claim}}]


def test_an_application_starts_when_its_sidecar_has_its_voice() -> None:
    sidecar = modelsync("examples/tts-sidecar")
    assert sidecar["restartPolicy"] == "Always"
    assert sidecar["args"] == ["run"]
    assert sidecar["startupProbe"]["httpGet"]["path"] == "/ready"
    assert budget(sidecar["startupProbe"]) >= DAY_ONE_SECONDS
    assert not load(environment("examples/tts-sidecar")).queues
    assert modelsync("examples/tts-init")["args"] == ["sync"]


@pytest.mark.parametrize("place", READERS)
def test_an_application_waits_as_long_as_a_first_sync_takes(place: str) -> None:
    assert the(place, "Deployment")["spec"]["progressDeadlineSeconds"] > DAY_ONE_SECONDS


def test_every_component_is_rendered_here_and_explained() -> None:
    page = (ROOT / "docs/kubernetes.md").read_text()
    assert [name for name in COMPONENTS if f"`{name}`" not in page] == []


def test_the_images_own_entry_point_stays() -> None:
    """It has an init before the worker, which reaps what hooks leave behind."""
    for place in (*WORKERS, *READERS):
        for container in containers(pod(place)):
            assert ("command" in container) is (container["name"] == "tts"), container["name"]
