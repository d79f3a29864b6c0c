"""Gets what is measured against, into .cache/bench: nothing of it touches the project's own environment."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "bench"


class MissingError(Exception):
    """Something cannot be had here; the text says why."""


def pypi(requirement: str) -> Path:
    """Install a pinned distribution into a venv of its own; return the venv's `bin`.

    Raises:
        MissingError: it cannot be installed.
    """
    venv = CACHE / "venvs" / requirement
    if not (venv / "installed").exists():
        uv = run([str(ROOT / "scripts" / "bootstrap.sh")])
        run([uv, "venv", "--quiet", "--clear", "--python", "3.11", str(venv)])
        run([uv, "pip", "install", "--quiet", "--python", str(venv / "bin" / "python"), requirement])
        (venv / "installed").touch()
    return venv / "bin"


def debian(*packages: str) -> Path:
    """Unpack packages of this Debian without installing them; return the root they are unpacked to.

    Raises:
        MissingError: they cannot be downloaded.
    """
    root = CACHE / "debian"
    for package in packages:
        done = root / f"{package}.unpacked"
        if not done.exists():
            root.mkdir(parents=True, exist_ok=True)
            try:
                run(["apt-get", "download", package], cwd=root)
            except MissingError:
                run(["apt-get", "update", "-qq"])
                run(["apt-get", "download", package], cwd=root)
            [archive] = root.glob(f"{package}_*.deb")
            run(["dpkg", "-x", str(archive), str(root)])
            archive.rename(done)
    return root


def last_line(text: str) -> str:
    """The end of what a program said, without this machine's paths."""
    lines = text.strip().splitlines() or ["it did not say why"]
    return lines[-1].replace(str(ROOT), ".")[:200]


def run(command: list[str], cwd: Path | None = None) -> str:
    """Run to the end and return what it printed.

    Raises:
        MissingError: there is no such command, or it failed.
    """
    try:
        done = subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True)
    except OSError as error:
        raise MissingError(f"{Path(command[0]).name} cannot be run: {error.strerror}") from error
    except subprocess.CalledProcessError as error:
        raise MissingError(f"{Path(command[0]).name} failed: {last_line(error.stderr)}") from error
    return done.stdout.strip()
