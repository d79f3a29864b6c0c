"""The image, built by buildah, and run by podman as Kubernetes runs it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import uuid
from pathlib import Path
from typing import Any

from support.worker import Worker

ROOT = Path(__file__).parents[2]
UID = 10001
MEMORY_MIB = 512
# podman's own may be more than a machine allows.
LIMITS = ("--ulimit=nofile=4096:4096", "--ulimit=nproc=4096:4096")
# What the manifests ask for, and no /tmp.
RESTRICTIONS = (
    *LIMITS,
    f"--user={UID}:{UID}", "--read-only", "--read-only-tmpfs=false", "--cap-drop=all",
    "--security-opt=no-new-privileges", f"--memory={MEMORY_MIB}m", "--cpus=1", "--pids-limit=256",
)  # fmt: skip


def missing() -> str | None:
    """Why images cannot be built and run here; None if they can."""
    tools = [tool for tool in ("podman", "buildah", "runc") if not shutil.which(tool)]
    if tools:
        return f"{', '.join(tools)}: not installed"
    if os.geteuid() != 0:
        return "not root, who alone can give a volume to the container's user"
    if not os.environ.get("BASE_IMAGE") and not shutil.which("debootstrap", path=os.environ["PATH"] + ":/usr/sbin"):
        return "debootstrap is not installed, and BASE_IMAGE names no base image"
    return None


def run(*command: str) -> str:
    """Run a command to its end; its output."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout.strip()


def succeeds(*command: str) -> bool:
    """Whether a command succeeds."""
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def build(target: str) -> str:
    """Build a stage of the Dockerfile; the image's name."""
    base = os.environ.get("BASE_IMAGE") or run("./scripts/base-image.sh")
    name = f"localhost/modelsync-test-{target}"
    run(
        "buildah", "bud", "--isolation=chroot", "--network=host", "--layers", "--format=docker",
        f"--build-arg=BASE_IMAGE={base}", f"--target={target}", f"--tag={name}", ".",
    )  # fmt: skip
    return name


def inspect(image: str) -> dict[str, Any]:
    """What podman knows of an image."""
    [described] = json.loads(run("podman", "image", "inspect", image))
    return dict(described)


def children(container: str) -> list[int]:
    """The host's numbers of the children of a container's process 1, zombies too; none while it does not run."""
    first = run("podman", "inspect", "--format={{.State.Pid}}", container)
    path = Path(f"/proc/{first}/task/{first}/children")
    return [int(pid) for pid in path.read_text().split()] if first != "0" else []


class Pod(Worker):
    """A container of the image, under the restrictions of Kubernetes; signals go to its process 1."""

    def __init__(self, image: str, volume: Path, log: Path, environment: dict[str, str]) -> None:
        self.name = f"modelsync-test-{uuid.uuid4().hex[:8]}"
        variables = {"HTTP_HOST": "127.0.0.1", "HTTP_PORT": "0", "LOG_LEVEL": "debug"} | environment
        super().__init__(
            dict(os.environ), log,
            ["podman", "run", "--rm", f"--name={self.name}", "--network=host", "--no-healthcheck", *RESTRICTIONS,
             f"--volume={volume}:/models", *(f"--env={key}={value}" for key, value in variables.items()), image],
        )  # fmt: skip

    def execute(self, *command: str) -> str:
        """Run a command inside."""
        return run("podman", "exec", self.name, *command)

    def children(self) -> list[int]:
        """The host's numbers of process 1's children, zombies too."""
        return children(self.name)

    def written_bytes(self) -> int:
        """What the worker has written so far."""
        [worker] = self.children()
        lines = Path(f"/proc/{worker}/io").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("wchar:"))

    def remove(self) -> None:
        """Kill what is left of it."""
        subprocess.run(["podman", "rm", "--force", "--time=0", self.name], capture_output=True, check=False)
        self.process.wait(30)


def status(pid: int) -> dict[str, str]:
    """What the kernel says of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
