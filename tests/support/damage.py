"""What disks, and people with a shell, do to published files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def flip(path: Path) -> None:
    """Change one bit, and leave size, mode and inode as they were."""
    with _writable(path).open("r+b") as file:
        first = file.read(1)[0]
        file.seek(0)
        file.write(bytes([first ^ 1]))
    path.chmod(0o444)


def truncate(path: Path) -> None:
    """Cut the last byte off."""
    os.truncate(_writable(path), path.stat().st_size - 1)
    path.chmod(0o444)


def remove(path: Path) -> None:
    """Delete it."""
    path.unlink()


def add(path: Path) -> None:
    """Put a file beside it."""
    path.with_name("extra.txt").write_bytes(b"x")


def open_up(path: Path) -> None:
    """Let everybody write to it."""
    path.chmod(0o666)


def replace_by_link(path: Path) -> None:
    """Put a symlink in its place."""
    path.unlink()
    path.symlink_to("/etc/hostname")


def replace_by_pipe(path: Path) -> None:
    """Put a pipe in its place, which blocks whoever opens it."""
    path.unlink()
    os.mkfifo(path)


def _writable(path: Path) -> Path:
    path.chmod(0o644)
    return path


HARMS: dict[str, Callable[[Path], None]] = {
    "crc64nvme": flip,
    "size": truncate,
    "missing": remove,
    "extra": add,
    "mode": open_up,
}
