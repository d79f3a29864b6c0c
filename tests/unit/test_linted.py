"""The Dockerfile, the scripts and the workflows, by the linters of their kind."""

from __future__ import annotations

import re
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.required import PARTS

ROOT = Path(__file__).parents[2]
TOOLS = Path(sysconfig.get_path("scripts"))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.mark.parametrize(
    "command",
    [
        ["hadolint", "Dockerfile"],
        ["shellcheck", "deploy.sh", ".ci/run", *(str(path) for path in (ROOT / "scripts").glob("*.sh"))],
        ["zizmor", "--offline", "--quiet", "--no-progress", ".github"],
    ],
    ids=lambda command: command[0],
)
def test_the_linter_finds_nothing(command: list[str]) -> None:
    done = subprocess.run(
        [TOOLS / command[0], *command[1:]], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_names_every_action_by_its_commit_and_its_version(path: Path) -> None:
    uses = re.findall(r"uses: (.*)", path.read_text())
    assert uses
    assert [line for line in uses if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_gives_each_job_its_rights_and_an_end(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {}
    for job in workflow["jobs"].values():
        assert "permissions" in job
        assert job["timeout-minutes"] <= 60


def jobs(workflow: str) -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / ".github/workflows" / workflow).read_text())["jobs"])


def test_ci_skips_no_test_for_want_of_tools() -> None:
    required = {job.get("env", {}).get("MODELSYNC_REQUIRE") for job in jobs("ci.yml").values()}
    assert required >= PARTS


def test_pypi_comes_after_all_that_can_fail() -> None:
    """What it has once cannot be taken back."""
    found = jobs("release.yml")
    before, waiting = set(), ["pypi"]
    while waiting:
        needs = found[waiting.pop()].get("needs", [])
        waiting += [needs] if isinstance(needs, str) else needs
        before |= set(waiting)
    assert before == {"build", "container", "attest", "image"}
    assert found["container"]["env"]["MODELSYNC_REQUIRE"] == "container"


def test_compose_builds_as_docker_build_does_unless_variables_say_otherwise() -> None:
    arguments = dict(
        re.findall(r'^ARG (BASE_IMAGE|INDEX_URL)="?([^"\n]*)', (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    )
    assert len(arguments) == 2
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    for service in services.values():
        assert service["build"]["args"] == {name: f"${{{name}:-{default}}}" for name, default in arguments.items()}


def test_the_builder_gets_every_file_that_the_dockerfile_copies() -> None:
    copied = {
        word
        for line in re.findall(r"^COPY (?!--from)(.*) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
        for word in line.split()
    }
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert allowed == copied
