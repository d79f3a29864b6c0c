"""Uploads as a careful publisher makes them, and as most people do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelsync.demo.upload import upload


def put_voice(bucket: Any, model: str, files: Mapping[str, bytes]) -> None:
    """Upload a voice, its commit file last."""
    upload(bucket.s3, bucket.name, model, files)


def aws_cp(environment: Mapping[str, str], voice: Path, target: str, endpoint_url: str) -> subprocess.Popen[bytes]:
    """`aws s3 cp --recursive`: all files side by side, large ones in parts."""
    command = [str(Path(sys.executable).with_name("aws")), "s3", "cp", "--recursive", "--only-show-errors"]
    return subprocess.Popen(
        [*command, str(voice), target],
        env={**environment, "AWS_ENDPOINT_URL": endpoint_url}, stdin=subprocess.DEVNULL,
    )  # fmt: skip
