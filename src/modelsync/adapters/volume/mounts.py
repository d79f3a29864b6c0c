"""What is mounted where, by Linux's own table."""

from __future__ import annotations

import os
import re
from pathlib import Path

from modelsync.core.mounts import Mount

_ESCAPED = re.compile(r"\\([0-7]{3})")


def mount_of(path: Path) -> Mount | None:
    """The mount that a path is on; None if that cannot be told."""
    try:
        found = path.stat()
        device = f"{os.major(found.st_dev)}:{os.minor(found.st_dev)}"
        lines = Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()
        mounts = [_mount(line) for line in lines if line.split(" ", 3)[2] == device]
    except (OSError, IndexError, ValueError):
        return None
    real = os.path.realpath(path)
    above = [mount for mount in mounts if os.path.commonpath([real, mount.point]) == mount.point]
    return max(above or mounts, key=lambda mount: len(mount.point), default=None)


def _mount(line: str) -> Mount:
    # "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue", see proc(5)
    mine, _, its = line.partition(" - ")
    kind, source, options = its.split(" ", 2)
    _, _, _, _, point, own, *_ = mine.split(" ")
    return Mount(kind, _plain(source), _plain(point), f"{own},{options}")


def _plain(field: str) -> str:
    return _ESCAPED.sub(lambda found: chr(int(found[1], 8)), field)
