"""What is released, built and installed as users install it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from modelsync import __version__

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, built from the checkout and unpacked."""
    directory = tmp_path_factory.mktemp("sdist")
    build("sdist", ROOT, directory)
    with tarfile.open(directory / f"modelsync-{__version__}.tar.gz") as archive:
        archive.extractall(directory, filter="data")
    return directory / f"modelsync-{__version__}"


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the source distribution."""
    directory = tmp_path_factory.mktemp("wheel")
    build("wheel", sdist, directory)
    return directory / f"modelsync-{__version__}-py3-none-any.whl"


def build(target: str, source: Path, directory: Path) -> None:
    run(sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(directory), cwd=source)


def run(*command: str, cwd: Path = ROOT, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_sdist_builds_a_wheel_with_everything_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        [license_] = [name for name in archive.namelist() if name.endswith("/LICENSE")]
        assert archive.read(license_) == (ROOT / "LICENSE").read_bytes()
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "src").split()
    assert names == {name.removeprefix("src/") for name in listed}


def test_the_wheel_and_the_lock_sync_in_a_bare_environment(
    wheel: Path, tmp_path: Path, emulator: Any, bucket: Any
) -> None:
    uv = run("./scripts/bootstrap.sh").strip()
    run(uv, "venv", "--quiet", "--python", sys.executable, str(tmp_path / "venv"))
    python = f"--python={tmp_path}/venv/bin/python"
    locked = [uv, "pip", "sync", "--quiet", python, "--require-hashes", "requirements.lock"]
    if subprocess.run([*locked, "--offline"], cwd=ROOT, capture_output=True, check=False).returncode != 0:
        run(*locked, env=os.environ | {"UV_SYSTEM_CERTS": "1", "UV_NATIVE_TLS": "1"})  # not all in uv's cache
    run(uv, "pip", "install", "--quiet", python, "--no-deps", "--offline", str(wheel))
    command = str(tmp_path / "venv" / "bin" / "modelsync")
    assert run(command, "--version", cwd=tmp_path) == f"modelsync {__version__}\n"

    bucket.put("alice/model.onnx", b"weights")
    models = tmp_path / "models"
    models.mkdir()
    environment = {
        "PATH": os.environ["PATH"],
        **emulator.environment(bucket.place),
        "MODELS_BASE_PATH": str(models),
        "SETTLE_SECONDS": "0",
    }
    json.loads(run(command, "sync", "--json", cwd=tmp_path, env=environment))
    assert (models / "alice" / "model.onnx").read_bytes() == b"weights"
