"""What the volume can do, for `modelsync doctor`. It leaves nothing behind."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from modelsync.adapters.volume.adopt import share
from modelsync.adapters.volume.direct import DirectWriter, on_local_disk
from modelsync.adapters.volume.files import (
    PASSING,
    meaning,
    remove_tree,
    temporary_name,
    volume_errors,
    write_new,
)
from modelsync.adapters.volume.mounts import mount_of
from modelsync.adapters.volume.trial import try_steps
from modelsync.core.doctor.volume import Abilities, Rights, Room
from modelsync.core.mounts import Mount
from modelsync.core.names import RESERVED
from modelsync.errors import VolumeFailed, VolumeUnusable


class LocalInspection:
    """Implements `ports.doctor.VolumeInspection`."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self._own = base / RESERVED

    def mount(self) -> Mount | None:
        """What is mounted at its path."""
        try:
            there = stat.S_ISDIR(self._base.stat().st_mode)
        except (FileNotFoundError, NotADirectoryError):
            there = False
        except OSError as error:
            raise VolumeFailed(f"MODELS_BASE_PATH={self._base} cannot be looked at: {meaning(error)[1]}") from error
        if not there:
            raise VolumeUnusable(
                f"MODELS_BASE_PATH={self._base} is no directory: mount the volume there, or set the right path"
            )
        return mount_of(self._base)

    def room(self) -> Room:
        """What is free."""
        with volume_errors("measure the volume"):
            found = os.statvfs(self._base)
        inodes = found.f_favail if found.f_files else None
        return Room(found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize, inodes)

    def rights(self) -> Rights:
        """Who we are, and whose the directory is that we write into."""
        with volume_errors("look at the volume"):
            path = self._own if self._own.exists() else self._base
            found = path.stat()
        return Rights(str(path), os.geteuid(), os.getegid(), found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode))

    def trial(self) -> Abilities:
        """Do everything that publication does, in a directory that is removed again."""
        try:
            with self._scratch() as scratch:
                try_steps(scratch)
                return self._abilities(scratch)
        except OSError as error:
            reason, advice = meaning(error)
            kind = VolumeFailed if reason in PASSING else VolumeUnusable
            raise kind(f"MODELS_BASE_PATH={self._base} cannot be used: {advice}", reason) from error

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        """A directory of our own. What was not there before is not there after: its owner would be who asked."""
        anew = not self._own.exists()
        scratch = self._own / temporary_name()
        try:
            scratch.mkdir(parents=True)
            yield scratch
        finally:
            with suppress(OSError):  # what is left behind, the worker sweeps
                remove_tree(scratch)
            if anew:
                with suppress(OSError):  # a worker has begun meanwhile
                    self._own.rmdir()

    def _abilities(self, scratch: Path) -> Abilities:
        source = scratch / "source"
        write_new(source, b"x", 0o444)
        reuse = share(source, scratch / "target", 1, link=True) or "copy"
        write_new(scratch / "direct", b"")
        writer = DirectWriter(str(scratch / "direct"))
        try:
            return Abilities(reuse, direct=writer.works and on_local_disk(self._base))
        finally:
            writer.close()
