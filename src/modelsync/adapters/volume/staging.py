"""A revision in progress: files written in parts, from many threads, resumable."""

from __future__ import annotations

import errno
import json
import mmap
import os
import stat
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from modelsync.adapters.volume.adopt import copy, share
from modelsync.adapters.volume.direct import LEAST_BYTES, DirectWriter, on_local_disk
from modelsync.adapters.volume.files import (
    allocate,
    make_directories,
    open_up,
    remove_tree,
    start_write_back,
    sync_directory,
    volume_errors,
    write_new,
    write_out,
)
from modelsync.adapters.volume.paths import ModelPaths, files_of, journal_of, lease_of, manifest_of
from modelsync.adapters.volume.reading import chunks_of
from modelsync.adapters.volume.revisions import whole_directory
from modelsync.adapters.volume.showing import shown
from modelsync.adapters.volume.unsettled import Unsettled
from modelsync.core.manifest import FileRecord, Manifest
from modelsync.core.names import RelPath
from modelsync.core.parts import Span
from modelsync.errors import VolumeFailed
from modelsync.ports import Held, Part

_READ_BYTES = 1 << 20
_AT_ONCE_BYTES = 1 << 20


class Journal:
    """Which parts a staged revision has: one JSON line each, appended after the part is written.

    It is never synced: after a power loss it may tell of parts whose bytes are not there, so a
    part counts only if the bytes on disk have the checksum that the line tells.
    """

    def __init__(self, path: Path) -> None:
        self._known = dict(_read_journal(path))
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._lock = threading.Lock()
        try:
            if os.fstat(self._descriptor).st_size:
                self._write(b"\n")  # a torn last line must not swallow the next one
        except OSError:
            self.close()
            raise

    def parts(self, path: RelPath, etag: str) -> dict[Span, int]:
        """Parts that an earlier attempt recorded for this content of a file."""
        return self._known.get((path, etag), {})

    def append(self, path: RelPath, etag: str, part: Part) -> None:
        """Record a part."""
        self._known.setdefault((path, etag), {})[part.span] = part.crc64nvme
        line = json.dumps([path, etag, part.span.start, part.span.end, part.crc64nvme])
        with self._lock:
            self._write(f"{line}\n".encode())

    def _write(self, data: bytes) -> None:
        while data:
            data = data[_some(os.write(self._descriptor, data)) :]

    def close(self) -> None:
        """Release the file."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            with volume_errors("close the journal"):
                os.close(descriptor)


def _read_journal(path: Path) -> dict[tuple[RelPath, str], dict[Span, int]]:
    known: dict[tuple[RelPath, str], dict[Span, int]] = {}
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return known
    for line in lines:
        try:
            name, etag, start, end, crc = json.loads(line)
            known.setdefault((RelPath(name), str(etag)), {})[Span(int(start), int(end))] = int(crc)
        except (ValueError, TypeError):
            continue  # torn by a crash: the part is fetched again
    return known


def _some(count: int) -> int:
    """What a call wrote; it may be less than it was given, but not nothing.

    Raises:
        OSError: nothing was written.
    """
    if count == 0:
        raise OSError(errno.EIO, "nothing was written")
    return count


class LocalStagedFile:
    """Implements `ports.StagedFile`."""

    def __init__(
        self,
        path: str,
        name: RelPath,
        size_bytes: int,
        etag: str,
        journal: Journal,
        *,
        direct: bool,
    ) -> None:
        """Open the file, or make it; `direct`: write it past the page cache."""
        self._name = name
        self._etag = etag
        self._size_bytes = size_bytes
        self._journal = journal
        self._at_hand = False
        with volume_errors(f"open {name} in staging"):
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            self._direct: DirectWriter | None = None
            try:
                self._make_room()
                if direct:
                    self._direct = DirectWriter(path)
            except OSError:
                os.close(self._descriptor)
                raise

    def _make_room(self) -> None:
        found_bytes = os.fstat(self._descriptor).st_size
        if self._size_bytes <= _AT_ONCE_BYTES and not found_bytes:
            return  # written in one go, which makes the room
        if found_bytes != self._size_bytes:
            os.ftruncate(self._descriptor, self._size_bytes)
        allocate(self._descriptor, self._size_bytes)

    def recorded(self) -> list[Part]:
        """Parts that the journal tells of, as far as the file goes."""
        with volume_errors(f"look at {self._name} in staging"):
            # A crash can leave a small file, whose room is not made beforehand, shorter than the journal tells.
            there_bytes = min(os.fstat(self._descriptor).st_size, self._size_bytes)
            parts = sorted(self._journal.parts(self._name, self._etag).items())
            return [Part(span, crc) for span, crc in parts if span.end <= there_bytes]

    def _chunks(self, span: Span) -> Iterator[memoryview]:
        # Given back at once, where each thread's heap would keep its own.
        buffer = memoryview(mmap.mmap(-1, min(_READ_BYTES, max(span.size_bytes, 1))))
        offset = span.start
        while offset < span.end:
            count = os.preadv(self._descriptor, [buffer[: min(len(buffer), span.end - offset)]], offset)
            if count == 0:
                raise VolumeFailed(f"{self._name} in staging became shorter while it was read")
            yield buffer[:count]
            offset += count

    def write(self, offset: int, data: memoryview, *, passing: bool = False) -> None:
        """Write bytes at an offset; past the page cache, unless they are read again."""
        direct = self._direct if passing or not self._at_hand else None
        with volume_errors(f"write {self._name}"):
            while data:
                count = direct.write(offset, data) if direct else 0
                if not count:
                    count = self._write_cached(offset, data)
                data, offset = data[count:], offset + count

    def _write_cached(self, offset: int, data: memoryview) -> int:
        count = _some(os.pwrite(self._descriptor, data, offset))
        if count > _AT_ONCE_BYTES // 2:
            start_write_back(self._descriptor, offset, count)
        return count

    def record(self, part: Part) -> None:
        """Put on record that a part is written."""
        with volume_errors("write the journal"):
            self._journal.append(self._name, self._etag, part)

    def read(self, span: Span) -> Iterator[memoryview]:
        """Bytes that are written, in order."""
        with volume_errors(f"read {self._name} in staging"):
            yield from self._chunks(span)

    def keep_at_hand(self) -> None:
        """Leave the disk's bytes in the page cache from now on."""
        self._at_hand = True

    def let_go(self, span: Span) -> None:
        """Have a span's bytes written, and out of the page cache."""
        if self._direct and self._at_hand:
            with volume_errors(f"make {self._name} durable"):
                try:
                    write_out(self._descriptor, span.start, span.size_bytes)
                except OSError:
                    self.discard()
                    raise

    def finish(self) -> None:
        """Make the bytes durable and read-only. On NFS a full disk shows only here.

        Where that fails nobody can say what is on disk: the kernel takes pages that it could not
        write for written, and would tell so the next time. The bytes are fetched again.
        """
        with volume_errors(f"make {self._name} durable"):
            os.fchmod(self._descriptor, 0o444)
            try:
                os.fsync(self._descriptor)
            except OSError:
                self.discard()
                raise
            if self._direct and self._at_hand:
                # It has been read: readers' own pages are worth more.
                os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    def discard(self) -> None:
        """Forget the bytes, so that the journal's checksums no longer fit them."""
        with volume_errors(f"empty {self._name}"):
            os.fchmod(self._descriptor, 0o600)
            os.ftruncate(self._descriptor, 0)
            os.ftruncate(self._descriptor, self._size_bytes)

    def close(self) -> None:
        """Release the file. On NFS a full disk can show here too."""
        descriptor, self._descriptor = self._descriptor, -1
        with volume_errors(f"close {self._name}"):
            try:
                if self._direct is not None:
                    self._direct.close()
            finally:
                if descriptor >= 0:
                    os.close(descriptor)


class LocalStaging:
    """Implements `ports.Staging`."""

    def __init__(self, directory: Path, sealed: Path, base: Path) -> None:
        self._base = base
        self._directory = directory
        self._sealed = sealed
        self._lock = threading.Lock()
        with volume_errors("make the staging directory"):
            self._anew = not directory.exists()
            self._opened: set[RelPath] = set()
            self._folders = {""}
            self._files = files_of(directory)
            self._root = str(self._files)
            self._files.mkdir(parents=True, exist_ok=True)
            if not self._anew:
                open_up(self._files)
            self._journal = Journal(journal_of(directory))
            self._unsettled = Unsettled()

    def file(self, path: RelPath, size_bytes: int, etag: str) -> LocalStagedFile:
        """Open, or open again, a file of the revision."""
        target = self._place(path)
        direct = size_bytes >= LEAST_BYTES and on_local_disk(self._base)
        return LocalStagedFile(target, path, size_bytes, etag, self._journal, direct=direct)

    def _place(self, path: RelPath) -> str:
        """Where a file of the revision goes; nothing is in its way."""
        target = f"{self._root}/{path}"
        with volume_errors(f"make room for {path}"), self._lock:
            folder = path.rpartition("/")[0]
            if not self._anew or path in self._opened or folder not in self._folders:
                self._make_way(Path(target))
            self._opened.add(path)
            self._folders.add(folder)
        return target

    def begun(self, path: RelPath, etag: str) -> bool:
        """Whether parts of this content of a file are on record."""
        return bool(self._journal.parts(path, etag))

    def put(self, path: RelPath, etag: str, data: memoryview, crc64nvme: int) -> None:
        """Write a small file whole, read-only, and put that on record."""
        target = self._place(path)
        with volume_errors(f"write {path}"):
            descriptor = os.open(target, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                written = 0
                while written < len(data):
                    written += _some(os.pwrite(descriptor, data[written:], written))
                os.fchmod(descriptor, 0o444)
                self._journal.append(path, etag, Part(Span(0, len(data)), crc64nvme))
            except OSError:
                os.close(descriptor)
                raise
        self._unsettled.add(path, descriptor)

    def staged_bytes(self, path: RelPath) -> int:
        """Bytes of the volume that a file of the revision takes up already, and that it will be written to."""
        with volume_errors("measure staging"):
            try:
                found = os.lstat(f"{self._root}/{path}")  # a Path for each of many files would cost more than the call
            except (FileNotFoundError, NotADirectoryError):
                return 0
            return found.st_blocks * 512 if stat.S_ISREG(found.st_mode) and found.st_nlink == 1 else 0

    def share(self, path: RelPath, held: Held, *, link: bool) -> str | None:
        """Give a file of the revision the bytes of a published one where that takes no space."""
        with volume_errors(f"reuse {path}"), self._lock:
            source = self._source(held)
            return None if source is None else share(source, self._cleared(path), held.record.size_bytes, link=link)

    def copy(self, path: RelPath, held: Held) -> bool:
        """Give a file of the revision a copy of a published one."""
        with volume_errors(f"reuse {path}"), self._lock:
            source = self._source(held)
            return source is not None and copy(source, self._cleared(path), held.record.size_bytes)

    def _source(self, held: Held) -> Path | None:
        directory = whole_directory(ModelPaths(self._base, held.model), held.revision)
        return directory and files_of(directory) / held.record.path

    def _cleared(self, path: RelPath) -> Path:
        target = self._files / path
        self._make_way(target)
        target.unlink(missing_ok=True)
        return target

    def _make_way(self, target: Path) -> None:
        """See that a file can stand at the path, whatever an earlier revision's files look like."""
        root = self._files
        for parent in reversed(target.relative_to(root).parents[:-1]):
            if (root / parent).is_symlink() or (root / parent).is_file():
                (root / parent).unlink()
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_symlink() or target.is_dir():
            remove_tree(target)
        elif target.exists():
            if target.stat().st_nlink > 1:
                target.unlink()  # an adopted file: its bytes are those of a published revision
            else:
                target.chmod(0o600)  # a finished file of an earlier attempt is read-only

    @property
    def directory(self) -> str:
        """Where the files are."""
        return self._root

    def read(self, path: RelPath) -> Iterator[memoryview]:
        """The bytes of a complete file in order."""
        with volume_errors(f"read {path} in staging"):
            yield from chunks_of(self._files / path, _READ_BYTES)

    @contextmanager
    def shown(self, records: Collection[FileRecord], check: Callable[[], None]) -> Iterator[str]:
        """Leave only these files, and lend the directory that holds them to whoever must not change it."""
        with volume_errors("show staging to the hook"):
            self._leave_only({record.path for record in records})
            with shown(self._files, records, check):
                yield str(self._files)

    def reduce(self, wanted: Collection[RelPath]) -> None:
        """Remove what an earlier attempt staged and these files have no use for."""
        if not self._anew:
            with volume_errors("tidy staging"):
                self._leave_only(wanted)

    def seal(self, manifest: Manifest) -> None:
        """Make the revision complete and durable, beside a damaged one of its name."""
        self._unsettled.settle()
        with volume_errors(f"complete revision {manifest.revision}"):
            for left in (manifest_of(self._directory), lease_of(self._directory)):
                left.unlink(missing_ok=True)  # by an attempt that died here
            write_new(manifest_of(self._directory), manifest.to_json(), 0o444)
            write_new(lease_of(self._directory), b"", 0o644)
            self._leave_only({record.path for record in manifest.files})
            sync_directory(self._directory)
            make_directories(self._sealed.parent, below=self._sealed.parent.parent)
            self._directory.rename(self._sealed)
            # Only now: if anything of this fails, the next attempt still needs it.
            self._journal.close()
            journal_of(self._sealed).unlink(missing_ok=True)
            sync_directory(self._sealed.parent)

    def _leave_only(self, wanted: Collection[RelPath]) -> None:
        """Remove what was staged for another revision, and make the directories durable."""
        for directory, directories, names in os.walk(self._root, topdown=False):
            below = f"{directory}/"[len(self._root) + 1 :]
            links = [name for name in directories if Path(directory, name).is_symlink()]
            for name in (*names, *links):
                if f"{below}{name}" not in wanted:
                    Path(directory, name).unlink()
            if below and not os.listdir(directory):
                Path(directory).rmdir()
            else:
                sync_directory(Path(directory))

    def close(self) -> None:
        """Release what is open."""
        self._unsettled.close()
        self._journal.close()
