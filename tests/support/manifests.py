"""The manifests of deploy/kubernetes as kustomize renders them, and the tools that judge them."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from support.required import cannot

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy/kubernetes"
PLACE = ROOT / ".cache/deploy-tools"
NAME = "worker-model-sync-tts"
NAMESPACE = "voice-tts"
COMPONENTS = tuple(sorted(path.name for path in (KUBERNETES / "components").iterdir()))
WORKERS = ("overlays/dev", "overlays/prod", *(f"components/{name}" for name in COMPONENTS))
"""Of the worker. A component is rendered on top of the prod overlay, as docs/kubernetes.md has it done."""
READERS = ("examples/tts", "examples/tts-init", "examples/tts-sidecar")

Manifest = dict[str, Any]


def tool(name: str) -> str:
    """A tool's path; the test is skipped where there is none."""
    found = shutil.which(name, path=os.pathsep.join([str(PLACE / "bin"), str(PLACE / "debian/usr/bin"), os.defpath]))
    found = found or shutil.which(name)
    if found is None:
        cannot("manifests", f"there is no {name}: run scripts/deploy-tools.sh, or install it")
    return found


@functools.cache
def kustomize() -> list[str]:
    """What renders a directory; the test is skipped where there is nothing that can."""
    if found := shutil.which("kustomize"):
        return [found, "build"]
    kubectl = tool("kubectl")
    answer = subprocess.run([kubectl, "version", "--client", "-o", "json"], capture_output=True, text=True, check=True)
    version = json.loads(answer.stdout[answer.stdout.index("{") :]).get("kustomizeVersion", "v0")
    if int(version.removeprefix("v").split(".")[0]) < 5:
        cannot("manifests", f"{kubectl} is too old to render components: install kubectl 1.27, or kustomize 5")
    return [kubectl, "kustomize"]


@functools.cache
def rendered(place: str, namespace: str = "") -> str:
    """YAML of a directory below deploy/kubernetes, or of any other; of a component, together with the prod overlay.

    Args:
        place: the directory.
        namespace: another one than its own.
    """
    component = place.removeprefix("components/") if place.startswith("components/") else ""
    if not component and not namespace:
        return _render(KUBERNETES / place)
    with tempfile.TemporaryDirectory() as directory:
        added = [_relative(place, directory)] if component and component not in _in_prod() else []
        below = "overlays/prod" if component else place
        on_top_of(below, Path(directory), components=added, namespace=namespace or NAMESPACE)
        return _render(Path(directory))


def on_top_of(place: str, directory: Path, resources: Sequence[str] = (), **more: Any) -> str:
    """Write a kustomization that changes another one, and return the place where it stands."""
    document = {"namespace": NAMESPACE, "resources": [_relative(place, directory), *resources], **more}
    (directory / "kustomization.yaml").write_text(yaml.safe_dump(document))
    return str(directory)


def _in_prod() -> list[str]:
    document = yaml.safe_load((KUBERNETES / "overlays/prod/kustomization.yaml").read_text())
    return [Path(component).name for component in document["components"]]


def _relative(place: str, directory: str | Path) -> str:
    return os.path.relpath(KUBERNETES / place, Path(directory).resolve())


def _render(directory: Path) -> str:
    answer = subprocess.run([*kustomize(), directory], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def manifests(place: str) -> list[Manifest]:
    """What a rendering holds."""
    return [manifest for manifest in yaml.safe_load_all(rendered(place)) if manifest]


def of_kind(place: str, kind: str) -> list[Manifest]:
    """All of one kind."""
    return [manifest for manifest in manifests(place) if manifest["kind"] == kind]


def the(place: str, kind: str) -> Manifest:
    """The only one of its kind."""
    [found] = of_kind(place, kind)
    return found


def workloads(place: str) -> Iterator[Manifest]:
    """What makes pods."""
    for manifest in manifests(place):
        if "template" in manifest.get("spec", {}):
            yield manifest


def pod(place: str) -> Manifest:
    """The spec of the only kind of pod."""
    [workload] = workloads(place)
    spec: Manifest = workload["spec"]["template"]["spec"]
    return spec


def containers(spec: Manifest) -> list[Manifest]:
    """All containers of a pod."""
    return [*spec.get("initContainers", []), *spec["containers"]]


def modelsync(place: str) -> Manifest:
    """The container with the worker."""
    [found] = [container for container in containers(pod(place)) if container["name"] == "modelsync"]
    return found


def environment(place: str) -> dict[str, str]:
    """What the worker's container finds in its environment, without secrets."""
    maps = {manifest["metadata"]["name"]: manifest["data"] for manifest in of_kind(place, "ConfigMap")}
    container = modelsync(place)
    found: dict[str, str] = {}
    for source in container["envFrom"]:
        if "configMapRef" in source:
            found |= maps[source["configMapRef"]["name"]]
    return found | {variable["name"]: variable["value"] for variable in container.get("env", ())}


def run(command: Sequence[str | Path], **more: Any) -> subprocess.CompletedProcess[str]:
    """Run a tool to its end."""
    return subprocess.run(command, capture_output=True, text=True, check=False, **more)
