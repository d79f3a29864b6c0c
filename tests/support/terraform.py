"""Terraform with deploy/aws, against an emulator."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from modelsync.demo.emulator import ENVIRONMENT, REGION, Emulator
from support.manifests import ROOT, run
from support.required import cannot

_PROVIDER = f"""
provider "aws" {{
  region                      = "{REGION}"
  s3_use_path_style           = true
  skip_credentials_validation = true
  skip_metadata_api_check     = true
}}
"""


def settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Terraform's own, but for a CLI configuration that is not there: then its usual directories have the provider."""
    gone = not Path(environment.get("TF_CLI_CONFIG_FILE", "/")).exists()
    return {name: value for name, value in environment.items() if not (gone and name == "TF_CLI_CONFIG_FILE")}


class Terraform:
    """A root module in a directory of its own, with the project's module in `./module`."""

    def __init__(self, directory: Path, cloud: Emulator, root: str, without: tuple[str, ...] = ()) -> None:
        """Prepare it; the test is skipped where there is no Terraform or no provider, unless that is required.

        Args:
            directory: empty.
            cloud: stands for AWS.
            root: the root module, but for the provider.
            without: files of the module that the emulator cannot do.
        """
        found = shutil.which("terraform") or shutil.which("tofu")
        if found is None:
            cannot("terraform", "there is no terraform: install it")
        shutil.copytree(ROOT / "deploy/aws", directory / "module", ignore=shutil.ignore_patterns(*without))
        (directory / "main.tf").write_text(_PROVIDER + root)
        self._binary = found
        self._directory = directory
        self._environment = settings(os.environ) | ENVIRONMENT | {"TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1"}
        self._environment["AWS_ENDPOINT_URL"] = cloud.url
        begun = self._run("init", "-input=false")
        if begun.returncode != 0:
            no_provider = "terraform finds no AWS provider: let its CLI configuration name a mirror, or a network"
            cannot("terraform", no_provider, begun.stderr)

    def _run(self, *arguments: str, timeout: float = 100) -> subprocess.CompletedProcess[str]:
        plain = () if arguments[0] == "output" else ("-no-color",)
        return run([self._binary, *arguments, *plain], cwd=self._directory, env=self._environment, timeout=timeout)

    def __call__(self, *arguments: str, timeout: float = 100) -> str:
        """Run it to its end, within so many seconds, and return what it says."""
        answer = self._run(*arguments, timeout=timeout)
        assert answer.returncode == 0, answer.stdout + answer.stderr
        return answer.stdout
