"""Small file systems, made for one test."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

MIB = 1 << 20


@contextlib.contextmanager
def mounted(place: Path, kind: str, size_mib: int, *options: str) -> Iterator[Path]:
    """Mount a new file system: `tmpfs`, or an image of `ext3`, `ext4` or `xfs`, made with these options of its mkfs."""
    place.mkdir()
    if kind == "tmpfs":
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size_mib}m", "tmpfs", str(place)]
    else:
        image = place.with_suffix(".img")
        with image.open("wb") as file:
            file.truncate(size_mib * MIB)
        if shutil.which(f"mkfs.{kind}") is None:
            pytest.skip(f"mkfs.{kind} is not installed")
        subprocess.run([f"mkfs.{kind}", "-q", *options, image], check=True, capture_output=True)
        mount = ["mount", "-o", "loop", str(image), str(place)]
    made = subprocess.run(mount, capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"no file system can be mounted here: {made.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


@contextlib.contextmanager
def read_only(place: Path, source: Path) -> Iterator[Path]:
    """Show a directory at a second place, read-only, as a pod sees a volume that it must not write to."""
    place.mkdir()
    made = subprocess.run(["mount", "--bind", "-o", "ro", source, place], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"nothing can be mounted here: {made.stderr.strip()}")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", place], check=True)
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def fill(place: Path) -> None:
    """Leave no room for another block."""
    step = 64 * MIB
    filler = os.open(place / "filler", os.O_RDWR | os.O_CREAT)
    while step >= 4096:
        try:
            os.posix_fallocate(filler, os.fstat(filler).st_size, step)
        except OSError:
            step //= 2
    os.close(filler)


def use_up_inodes(place: Path) -> None:
    """Leave no room for another file, though there is room for bytes."""
    (place / "fillers").mkdir(exist_ok=True)
    with contextlib.suppress(OSError):
        for number in range(100_000):
            (place / "fillers" / str(number)).touch()


def free(place: Path) -> None:
    """Take it all back."""
    if (place / "filler").exists():
        os.truncate(place / "filler", 0)  # xfs frees the blocks of what is unlinked some time later
        (place / "filler").unlink()
    shutil.rmtree(place / "fillers", ignore_errors=True)
