"""Terraform with deploy/aws, against an emulator."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from modelsync.demo.emulator import ENVIRONMENT, REGION, Emulator
from support.manifests import ROOT, run

_PROVIDER = f"""
provider "aws" {{
  region                      = "{REGION}"
  s3_use_path_style           = true
  skip_credentials_validation = true
  skip_metadata_api_check     = true
}}
"""


class Terraform:
    """A root module in a directory of its own, with the project's module in `./module`."""

    def __init__(self, directory: Path, cloud: Emulator, root: str, without: tuple[str, ...] = ()) -> None:
        """Prepare it; the test is skipped where there is no Terraform or no provider.

        Args:
            directory: empty.
            cloud: stands for AWS.
            root: the root module, but for the provider.
            without: files of the module that the emulator cannot do.
        """
        found = shutil.which("terraform") or shutil.which("tofu")
        if found is None:
            pytest.skip("there is no terraform: install it")
        shutil.copytree(ROOT / "deploy/aws", directory / "module", ignore=shutil.ignore_patterns(*without))
        (directory / "main.tf").write_text(_PROVIDER + root)
        self._binary = found
        self._directory = directory
        self._environment = os.environ | ENVIRONMENT | {"TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1"}
        self._environment["AWS_ENDPOINT_URL"] = cloud.url
        if self._run("init", "-input=false").returncode != 0:
            pytest.skip("terraform finds no AWS provider: let its CLI configuration name a mirror, or a network")

    def _run(self, *arguments: str, timeout: float = 100) -> subprocess.CompletedProcess[str]:
        plain = () if arguments[0] == "output" else ("-no-color",)
        return run([self._binary, *arguments, *plain], cwd=self._directory, env=self._environment, timeout=timeout)

    def __call__(self, *arguments: str, timeout: float = 100) -> str:
        """Run it to its end, within so many seconds, and return what it says."""
        answer = self._run(*arguments, timeout=timeout)
        assert answer.returncode == 0, answer.stdout + answer.stderr
        return answer.stdout
