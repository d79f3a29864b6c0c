"""What is released, built and installed as users install it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path
from typing import Any

from modelsync import __version__
from support.distribution import ROOT, build, command, uv
from support.formats.tensors import voice


def test_the_sdist_builds_a_wheel_with_everything_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        [license_] = [name for name in archive.namelist() if name.endswith("/LICENSE")]
        assert archive.read(license_) == (ROOT / "LICENSE").read_bytes()
    listed = command("git", "ls-files", "--cached", "--others", "--exclude-standard", "src").split()
    assert names == {name.removeprefix("src/") for name in listed}


def test_the_wheel_that_is_released_is_the_one_that_is_tested(wheel: Path, tmp_path: Path) -> None:
    """`make build` makes it from the checkout, the tests from the sdist: byte for byte the same."""
    build("wheel", ROOT, tmp_path)
    [released] = tmp_path.iterdir()
    assert (released.name, released.read_bytes()) == (wheel.name, wheel.read_bytes())


def test_the_sdist_has_no_tests_which_need_more_than_it_has(wheel: Path) -> None:
    with tarfile.open(wheel.with_name(f"modelsync-{__version__}.tar.gz")) as archive:
        parts = {name.split("/")[1] for name in archive.getnames()}
    assert "src" in parts
    assert not parts & {"tests", "bench", "scripts", "deploy"}


def test_the_wheel_and_the_lock_sync_in_a_bare_environment(
    wheel: Path, tmp_path: Path, emulator: Any, bucket: Any
) -> None:
    pip = [uv(), "pip"]
    command(uv(), "venv", "--quiet", "--python", sys.executable, str(tmp_path / "venv"))
    python = f"--python={tmp_path}/venv/bin/python"
    locked = [*pip, "sync", "--quiet", python, "--require-hashes", "requirements.lock"]
    if subprocess.run([*locked, "--offline"], cwd=ROOT, capture_output=True, check=False).returncode != 0:
        # Not all is in uv's cache. conftest has taken away where the machine's certificates are.
        command(*locked, env=os.environ | {"UV_SYSTEM_CERTS": "1"})
    before = set(command(*pip, "freeze", python).split())
    # Offline: the lock has all that the extra asks for.
    command(*pip, "install", "--quiet", python, "--offline", f"modelsync[worker,kubernetes,signing] @ {wheel.as_uri()}")
    assert {line for line in command(*pip, "freeze", python).splitlines() if "modelsync" not in line} == before
    modelsync = str(tmp_path / "venv" / "bin" / "modelsync")
    assert command(modelsync, "--version", cwd=tmp_path) == f"modelsync {__version__}\n"

    bucket.put("alice/model.safetensors", voice(1))
    models = tmp_path / "models"
    models.mkdir()
    environment = {
        "PATH": os.environ["PATH"],
        **emulator.environment(bucket.place),
        "MODELS_BASE_PATH": str(models),
        "SETTLE_SECONDS": "0",
    }
    json.loads(command(modelsync, "sync", "--json", cwd=tmp_path, env=environment))
    assert (models / "alice" / "model.safetensors").read_bytes() == voice(1), "the gate is there too"


def test_the_sbom_has_every_locked_package(tmp_path: Path) -> None:
    written = tmp_path / "modelsync.cdx.json"
    command("./scripts/sbom.sh", str(written), env=os.environ | {"BIN": sysconfig.get_path("scripts")})
    sbom = json.loads(written.read_text())
    subject = sbom["metadata"]["component"]
    assert (sbom["bomFormat"], subject["name"], subject["version"]) == ("CycloneDX", "modelsync", __version__)
    locked = dict(re.findall(r"^([\w.-]+)==([^ ;]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    assert {part["name"]: part["version"] for part in sbom["components"]} == locked
    assert all(part["purl"].startswith("pkg:pypi/") for part in sbom["components"])
