"""`kubectl`, `kustomize`, `docker` for a test of deploy.sh: they record their calls, and do what a file says.

As a program, it is the tool that it is called as. `rules.json` beside it maps the words of a call (`kubectl diff`,
whatever the options between them) to an exit code and what is printed; `kubectl kustomize` and `kustomize build` render
a small manifest by the kustomization's own `namespace` and `images`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

HERE = Path(__file__).parent
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
    return below | ({"namespace": said["namespace"]} if "namespace" in said else {})


def main() -> int:
    call = [Path(sys.argv[0]).name, *sys.argv[1:]]
    with (HERE / "calls").open("a") as calls:
        calls.write(json.dumps(call) + "\n")
    rules = json.loads((HERE / "rules.json").read_text())
    code, text = next((rules[words] for words in rules if set(words.split()) <= set(call)), (0, ""))
    if not code and call[:2] in (["kubectl", "kustomize"], ["kustomize", "build"]):
        text = MANIFEST.format(**render(Path(call[2])))
    sys.stdout.write(text)
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
