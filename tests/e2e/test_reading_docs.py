"""The examples of docs/reading.md do what the page says."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.collector import collect, collect_superseded, held
from support.worker import until
from support.world import World

PAGE = (Path(__file__).parents[2] / "docs" / "reading.md").read_text()


def examples(language: str) -> list[str]:
    """All blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "files")  # a base that is named like a part of the layout
    yield made
    made.fetcher.close()


@pytest.fixture(autouse=True)
def _base(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()


def publish(world: World, content: bytes, model: str = "alice") -> Path:
    world.upload(model, {"model.onnx": content, "config.json": b'{"rate": 1}'})
    world.sync(model)
    return (world.base / model).resolve(strict=True).parent


def run_python(code: str, world: World) -> str:
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"MODELS_BASE_PATH": str(world.base)}, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return ended.stdout


def test_python_opens_a_model(world: World) -> None:
    publish(world, b"weights")
    assert run_python(examples("python")[0] + "print(config, weights)", world) == "{'rate': 1} b'weights'\n"


def test_python_follows_a_model(world: World) -> None:
    publish(world, b"weights")
    said = "follow(lambda path: (print((path / 'model.onnx').read_bytes()), stop.set()))"
    assert run_python(examples("python")[1] + said, world) == "b'weights'\n"


@pytest.fixture
def script(tmp_path: Path) -> list[str]:
    """The shell's example, by the plainest shell there is."""
    if shutil.which("flock") is None:
        pytest.skip("flock is not installed: apt-get install util-linux")
    path = tmp_path / "with-model"
    path.write_text(examples("sh")[0])
    return ["sh", str(path)]


def test_a_shell_script_holds_what_its_command_reads(world: World, script: list[str]) -> None:
    directory = publish(world, b"weights")
    environment = os.environ | {"MODELS_BASE_PATH": str(world.base)}
    command = [*script, "alice", "sh", "-c", 'cat "$MODEL_PATH/model.onnx"; read line; cat "$MODEL_PATH/config.json"']
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as reader:
        assert reader.stdout is not None
        assert reader.stdout.read(7) == b"weights"
        publish(world, b"weights 2")
        assert not collect(directory)
        assert reader.communicate(b"\n", timeout=30)[0] == b'{"rate": 1}'
    assert reader.returncode == 0
    assert collect(directory)


@pytest.mark.parametrize("name", ["solo.onnx", "files.onnx"])
def test_a_shell_script_reads_a_model_of_one_file(world: World, script: list[str], name: str) -> None:
    world.bucket.put(name, b"weights")
    world.sync(name)
    environment = os.environ | {"MODELS_BASE_PATH": str(world.base)}
    command = [*script, name, "sh", "-c", 'cat "$MODEL_PATH"']
    assert subprocess.run(command, env=environment, capture_output=True, timeout=30, check=True).stdout == b"weights"


def test_a_shell_script_tells_what_is_not_published(world: World, script: list[str]) -> None:
    text = Path(script[1]).read_text().replace("sleep 1", "sleep 0")
    Path(script[1]).write_text(text)
    environment = os.environ | {"MODELS_BASE_PATH": str(world.base)}
    ended = subprocess.run([*script, "bob", "true"], env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == f"{world.base}/bob is not published, or cannot be held"


def test_a_program_in_cpp_follows_a_model_and_holds_it(world: World, tmp_path: Path) -> None:
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed: apt-get install g++")
    source, program = tmp_path / "follow.cpp", tmp_path / "follow"
    source.write_text(examples("cpp")[0])
    warnings = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    subprocess.run(["g++", "-std=c++17", *warnings, "-o", program, source], check=True, timeout=100)
    with subprocess.Popen([program, world.base, "alice"], stdout=subprocess.PIPE, text=True) as follower:
        try:
            assert follower.stdout is not None
            first = publish(world, b"1")
            assert follower.stdout.readline() == f"{first}/files\n"
            until(lambda: held(first), "the lease")
            second = publish(world, b"2")
            assert follower.stdout.readline() == f"{second}/files\n"
            until(lambda: collect_superseded(world.base, "alice"), "the end of the old lease")
            assert held(second)
        finally:
            follower.send_signal(signal.SIGKILL)


def test_manifests_are_yaml_with_a_read_only_volume_for_readers() -> None:
    pods: list[dict[str, Any]] = [yaml.safe_load(text) for text in examples("yaml")]
    assert len(pods) == 2
    for pod in pods:
        [application] = pod["spec"]["containers"]
        assert application["volumeMounts"] == [{"name": "models", "mountPath": "/models", "readOnly": True}]
        assert [volume["name"] for volume in pod["spec"]["volumes"]] == ["models"]
