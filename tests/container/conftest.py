"""The images, pods on volumes of their own, and the figures that docs/image.md shows."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from support import podman
from support.pages import show
from support.podman import UID, Pod
from support.required import cannot


@pytest.fixture(scope="session", autouse=True)
def _tools() -> None:
    if reason := podman.missing():
        cannot("container", reason)


@pytest.fixture(scope="session")
def image(_tools: None) -> str:
    """The worker's image."""
    return podman.build("worker")


@pytest.fixture(scope="session")
def figures(_tools: None) -> Iterator[dict[str, str]]:
    """What is measured; written into the docs at the end, if FIGURES is set."""
    measured: dict[str, str] = {}
    yield measured
    if os.environ.get("FIGURES"):
        table = "| | |\n|---|---|\n" + "".join(f"| {name} | {value} |\n" for name, value in measured.items())
        commit = podman.run("git", "describe", "--always", "--dirty", "--exclude=*")
        when = datetime.now(UTC).date().isoformat()
        show("image.md", "figures", f"{table}\nOf commit {commit}, on {when}.\n\n")


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """An empty volume that belongs to the image's user."""
    made = tmp_path / "models"
    made.mkdir()
    os.chown(made, UID, UID)
    for directory in (tmp_path, *tmp_path.parents[:2]):
        directory.chmod(0o755)
    return made


@pytest.fixture
def start(image: str, volume: Path, tmp_path: Path) -> Iterator[Callable[..., Pod]]:
    """Starts pods on the volume, one after the other."""
    pods: list[Pod] = []

    def make(environment: dict[str, str]) -> Pod:
        pods.append(Pod(image, volume, tmp_path / f"pod-{len(pods)}.log", environment))
        return pods[-1]

    yield make
    for pod in pods:
        pod.remove()
