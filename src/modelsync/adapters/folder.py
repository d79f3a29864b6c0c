"""A directory of files to upload."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from modelsync.core.parts import Span
from modelsync.core.upload import LocalFile
from modelsync.errors import ConfigurationError, SourceChanged, SourceUnreadable

_BLOCK_BYTES = 256 << 10
_MAX_FILES = 100_000


class LocalFolder:
    """Implements `ports.push.Folder`."""

    def __init__(self, base: Path) -> None:
        """Find the directory.

        Raises:
            ConfigurationError: it is none.
        """
        self._base = Path(os.path.realpath(base))
        if not self._base.is_dir():
            raise ConfigurationError(f"{base} is no directory: name the one that holds the voice's files")

    @property
    def path(self) -> str:
        """Where it is."""
        return str(self._base)

    def scan(self) -> list[LocalFile]:
        """Everything in it that is no directory, in order of the paths."""
        found: list[LocalFile] = []
        try:
            for place in self._walk():
                found.append(self._look_at(place))
                if len(found) > _MAX_FILES:
                    raise SourceUnreadable(f"{self._base} has over {_MAX_FILES} files: is it the right directory?")
        except OSError as error:
            raise SourceUnreadable(f"{error.filename} cannot be read: {error.strerror}") from error
        return sorted(found, key=lambda file: file.path)

    def _walk(self) -> Iterator[Path]:
        directories = [self._base]
        while directories:
            with os.scandir(directories.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        directories.append(Path(entry.path))
                    else:
                        yield Path(entry.path)

    def _look_at(self, place: Path) -> LocalFile:
        path = place.relative_to(self._base).as_posix()
        if place.is_symlink():
            real = Path(os.path.realpath(place))
            if not real.exists():
                return LocalFile(path, problem="is a symlink that leads nowhere")
            if real.is_dir():
                return LocalFile(f"{path}/", problem="is a symlink to a directory: put the files themselves there")
            if not real.is_relative_to(self._base):
                return LocalFile(
                    path, problem="is a symlink that leads out of the directory: put the file itself there"
                )
        found = place.stat()
        problem = None if stat.S_ISREG(found.st_mode) else "is no regular file"
        return LocalFile(path, found.st_size, _stamp(found), problem)

    def read(self, file: LocalFile, span: Span) -> Iterator[memoryview]:
        """A span's bytes in order; a block is good until the next is asked for."""
        try:
            descriptor = os.open(self._base / file.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                if _stamp(os.fstat(descriptor)) != file.stamp:
                    raise _changed(file)
                buffer = memoryview(bytearray(min(_BLOCK_BYTES, span.size_bytes)))
                offset = span.start
                while offset < span.end:
                    count = os.preadv(descriptor, [buffer[: span.end - offset]], offset)
                    if count == 0:
                        raise _changed(file)
                    yield buffer[:count]
                    offset += count
            finally:
                os.close(descriptor)
        except FileNotFoundError as error:
            raise _changed(file) from error
        except OSError as error:
            raise SourceUnreadable(f"{file.path!r} cannot be read: {error.strerror}") from error


def _stamp(found: os.stat_result) -> tuple[int, ...]:
    return (found.st_size, found.st_mtime_ns, found.st_ino)


def _changed(file: LocalFile) -> SourceChanged:
    return SourceChanged(f"{file.path!r} changed while it was uploaded: push again when it is complete")
