"""`kubectl`, `kustomize`, `docker` for a test of deploy.sh: they record their calls, and do what a file says.

As a program, it is the tool that it is called as. `rules.json` beside it maps the words of a call (`kubectl diff`,
whatever the options between them) to an exit code and what is printed; `kubectl apply` names what it applies; `kubectl
kustomize` and `kustomize build` render small manifests by the kustomization's own `namespace`, `images` and `patches`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
OF_THE_NAMESPACE = """\
apiVersion: v1
kind: Namespace
metadata:
  name: {namespace}
---
"""
MANIFEST = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: worker-model-sync-tts
  namespace: {namespace}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  labels:
    app.kubernetes.io/name: worker-model-sync-tts
  name: worker-model-sync-tts
  namespace: {namespace}
spec:
  template:
    spec:
      containers:
      - args: [run]
        image: {name}:{tag}
        name: modelsync
"""


def render(directory: Path) -> dict[str, str]:
    """What a kustomization and those below it say of namespace and image."""
    import yaml  # most calls render nothing

    said = yaml.safe_load((directory / "kustomization.yaml").read_text())
    [resource] = said["resources"]
    below = render(directory / resource) if resource != "base" else {"name": "worker-model-sync-tts", "tag": "latest"}
    for image in said.get("images", []):
        if image["name"] == below["name"]:
            below |= {"name": image.get("newName", below["name"]), "tag": str(image.get("newTag", below["tag"]))}
    for patch in said.get("patches", []):
        deleted = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "any"}, "$patch": "delete"}
        assert (patch["target"], yaml.safe_load(patch["patch"])) == ({"kind": "Namespace"}, deleted)
        below["first"] = ""
    return below | ({"namespace": said["namespace"]} if "namespace" in said else {})


def manifests(first: str = OF_THE_NAMESPACE, **named: str) -> str:
    """What is rendered: a namespace, unless it is patched out, a ConfigMap and a Deployment."""
    return (first + MANIFEST).format(**named)


def applied(file: Path) -> Iterator[str]:
    """What kubectl says of each manifest."""
    import yaml

    for manifest in yaml.safe_load_all(file.read_text()):
        group, slash, _ = manifest["apiVersion"].partition("/")
        yield f"{manifest['kind'].lower()}{slash and '.' + group}/{manifest['metadata']['name']} configured\n"


def main() -> int:
    call = [Path(sys.argv[0]).name, *sys.argv[1:]]
    with (HERE / "calls").open("a") as calls:
        calls.write(json.dumps(call) + "\n")
    rules = json.loads((HERE / "rules.json").read_text())
    code, text = next((rules[words] for words in rules if set(words.split()) <= set(call)), (0, ""))
    if not code and call[:2] in (["kubectl", "kustomize"], ["kustomize", "build"]):
        text = manifests(**render(Path(call[2])))
    if not code and call[0] == "kubectl" and "apply" in call:
        text = "".join(applied(Path(call[-1])))
    sys.stdout.write(text)
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
