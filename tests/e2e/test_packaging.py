"""What is installed without the worker's dependencies: the client, in the images of applications."""

from __future__ import annotations

import subprocess
import tomllib
import venv
from pathlib import Path

import pytest

from support.distribution import command, uv
from support.world import World

ROOT = Path(__file__).parents[2]

READS = """
import sys
from modelsync.client import open_model, watch
with open_model("alice") as voice:
    print((voice / "model.onnx").read_bytes().decode())
with watch("alice") as revisions:
    print(next(revisions).path == voice)
known = {*sys.stdlib_module_names, "modelsync", "__main__"}
print(sorted(name for name in sys.modules if name.split(".")[0] not in known))
"""


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that has the wheel alone."""
    place = tmp_path_factory.mktemp("bare")
    venv.create(place, symlinks=True)
    # Offline, and not told to leave dependencies out: there are none.
    command(uv(), "pip", "install", "--quiet", "--offline", f"--python={place}/bin/python", str(wheel))
    return place / "bin"


def run(program: Path, *words: str, base: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, *words], env={"MODELS_BASE_PATH": str(base)}, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """A volume that the worker's code has made."""
    world = World(tmp_path)
    world.upload("alice", {"model.onnx": b"weights"})
    world.sync("alice")
    world.fetcher.close()
    return tmp_path


def test_the_client_reads_with_the_standard_library_alone(bare: Path, volume: Path) -> None:
    ended = run(bare / "python", "-c", READS, base=volume)
    assert (ended.stdout, ended.stderr) == ("weights\nTrue\n[]\n", "")


@pytest.mark.parametrize(
    "command", [["modelsync"], ["python", "-m", "modelsync"], ["python", "-m", "modelsync.client"]]
)
def test_wait_works_without_the_worker(bare: Path, volume: Path, command: list[str]) -> None:
    ended = run(bare / command[0], *command[1:], "wait", "alice", base=volume)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.endswith(f"{(volume / 'alice').resolve()}\n")


@pytest.mark.parametrize("words", [["run"], ["status"], ["--help"], []])
def test_other_commands_say_what_to_install(bare: Path, volume: Path, words: list[str]) -> None:
    ended = run(bare / "modelsync", *words, base=volume)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr == ("modelsync: typer is not installed: install modelsync[worker] (`wait` works without)\n")


def test_the_extras_build_on_each_other() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["dependencies"] == []
    assert "modelsync[worker]" in project["optional-dependencies"]["demo"]


def test_the_library_alone_is_light(bare: Path) -> None:
    code = "import sys, modelsync; print([m for m in sys.modules if m.startswith('modelsync.')])"
    assert run(bare / "python", "-c", code, base=ROOT).stdout == "[]\n"
