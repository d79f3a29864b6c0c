"""A checkout with deploy.sh, and tools that record what they are told."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fakes import cluster

ROOT = Path(__file__).parents[2]
NAME = "worker-model-sync-tts"
OVERLAYS = {
    "dev": "namespace: voice-tts\nresources: [base]\nimages: [{name: worker-model-sync-tts, newTag: dev}]\n",
    "prod": "namespace: voice-tts\nresources: [base]\n"
    f"images: [{{name: {NAME}, newName: registry.example:5000/tts/{NAME}, newTag: 0.1.0}}]\n",
}
SYSTEM = ("bash", "env", "dirname", "mkdir", "mktemp", "rm", "cat", "awk", "grep", "git")
CONTEXT = "arn:aws:eks:eu-central-1:123456789012:cluster/voices"
HEALTH = """\
health: healthy
  queue:model_sync: healthy, messages are received
  s3: healthy, the bucket answers
  sync: healthy, every model is as the bucket has it
  volume: healthy, the volume can be written
"""
DIFF = f"""\
+++ apps.v1.Deployment.voice-tts.{NAME}
-        image: registry.example/tts/{NAME}:0.1.0
+        image: registry.example/tts/{NAME}:0.2.0
"""
RULES = {
    "kubectl config current-context": (0, f"{CONTEXT}\n"),
    "kubectl get namespace": (0, "namespace/other\n"),
    "kubectl diff": (1, DIFF),
    "kubectl rollout": (0, f'deployment "{NAME}" successfully rolled out\n'),
    "kubectl exec": (0, HEALTH),
    "docker build": (0, "Successfully built\n"),
    "docker push": (0, "0.2.0: pushed\n"),
}
"""What the tools say if all goes well."""


def make(root: Path) -> Path:
    """A checkout at the tag v0.2.0: deploy.sh, two overlays, and stubs of kubectl and docker below `tools`."""
    checkout = Checkout(root)
    checkout.tools.mkdir(parents=True)
    shutil.copy(ROOT / "deploy.sh", root)
    for name, text in OVERLAYS.items():
        directory = root / "deploy" / "kubernetes" / "overlays" / name
        directory.mkdir(parents=True)
        (directory / "kustomization.yaml").write_text(text)
    for tool in SYSTEM:
        (checkout.tools / tool).symlink_to(shutil.which(tool) or tool)
    for tool in ("kubectl", "docker"):
        checkout.add(tool)
    checkout.rules()
    (root / ".gitignore").write_text("*\n!deploy.sh\n!src/\n!src/**\n")
    git = ("git", "-c", "user.name=test", "-c", "user.email=test@example.com")
    plain = os.environ | {"GIT_CONFIG_GLOBAL": os.devnull}  # signs nothing
    for words in ("init -q", "add deploy.sh", "commit -qm one", "tag v0.2.0"):
        subprocess.run([*git, *words.split()], cwd=root, env=plain, check=True)
    return root


class Checkout:
    """deploy.sh, run with the tools of its checkout alone."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tools = root / "tools"

    def add(self, tool: str) -> None:
        """Put a stub on the PATH."""
        stub = self.tools / tool
        stub.write_text(f"#!{sys.executable}\n" + Path(cluster.__file__).read_text())
        stub.chmod(0o755)

    def take(self, tool: str, command: list[str]) -> None:
        """Put a real program on the PATH, which is called with the words behind a tool's first one."""
        (self.tools / tool).write_text(f'#!/bin/sh\nshift\nexec {shlex.join(command)} "$@"\n')
        (self.tools / tool).chmod(0o755)

    def remove(self, tool: str) -> None:
        """Take a tool from the PATH."""
        (self.tools / tool).unlink()

    def rules(self, **rules: tuple[int, str]) -> None:
        """Say what calls print, and how they end, where that is not as usual."""
        (self.tools / "rules.json").write_text(json.dumps(rules | RULES | rules))

    def deploy(
        self, options: str, answer: str | None = None, *, stderr: int = subprocess.PIPE, **more: str
    ) -> subprocess.CompletedProcess[str]:
        """Run deploy.sh; `answer` is typed at its terminal, without one it has no terminal."""
        with typed(answer) as stdin:
            return subprocess.run(
                ["./deploy.sh", *shlex.split(options)],
                cwd=self.root, env={"PATH": str(self.tools)} | more, stdin=stdin, stdout=subprocess.PIPE,
                stderr=stderr, text=True, check=False, timeout=60,
            )  # fmt: skip

    def transcript(self, options: str) -> str:
        """A run as a terminal shows it."""
        return f"$ ./deploy.sh {options}\n{self.deploy(options, stderr=subprocess.STDOUT).stdout}"

    def calls(self) -> list[str]:
        """What the tools were told to do, in order: no questions; temporary directories are called WORK."""
        path = self.tools / "calls"
        lines = [" ".join(json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []
        questions = re.compile(r"kubectl kustomize|kustomize build|kubectl config|--raw /version|get namespace")
        return [re.sub(r"\.cache/deploy\.\w+", "WORK", line) for line in lines if not questions.search(line)]


@contextmanager
def typed(answer: str | None) -> Iterator[int]:
    """A terminal at which something is typed; None: no terminal."""
    if answer is None:
        yield subprocess.DEVNULL
        return
    ours, theirs = pty.openpty()
    try:
        os.write(ours, answer.encode())
        yield theirs
    finally:
        os.close(ours)
        os.close(theirs)
