"""Building and installing what is released."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]


def command(*words: str, cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> str:
    """Run a command to its good end; its output."""
    done = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def uv() -> str:
    """The uv of `make install`."""
    return command("./scripts/bootstrap.sh").strip()


def build(target: str, source: Path, directory: Path) -> None:
    """Build a wheel or an sdist from a source tree."""
    command(sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(directory), cwd=source)
