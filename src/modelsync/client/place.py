"""What the volume shows the readers of one model."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from modelsync.core.layout import CURRENT, FILES, LEASE, QUARANTINE, REVISIONS, STAGING, home_of, read_link
from modelsync.core.manifest import BadRecord, Current, Published, Quarantine
from modelsync.core.names import RESERVED, ModelId, unsafe, unsafe_model
from modelsync.core.objects import Revision
from modelsync.core.status import view_of
from modelsync.errors import BadModelName, LeaseFailed, ModelNotFound

GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ESTALE})
"""What is met at a revision that was removed, or that an NFS client still shows, or does not show yet."""

BasePath = str | os.PathLike[str] | None

_ADVICE = {
    errno.EACCES: "let this process's user read the volume",
    errno.EPERM: "let this process's user read the volume",
    errno.EIO: "look at the volume's health",
    errno.ENOLCK: "its file system has no locks: mount it with NFSv4, or without `nolock`",
    errno.EOPNOTSUPP: "its file system has no locks: use one with flock",
    errno.ENOSYS: "its file system has no locks: use one with flock",
}


def look_anew(directory: Path) -> None:
    """See a directory's names as they are now.

    An NFS client shows old ones for as long as its attribute cache lives, 60 s by default; opening
    the directory makes it ask the server (not with the mount option `nocto`).

    Raises:
        OSError: it is not there, or the volume failed.
    """
    with suppress(PermissionError):  # names in it may be opened all the same
        os.close(os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))


@dataclass(frozen=True, slots=True)
class Target:
    """A revision that readers see.

    Attributes:
        revision: its name.
        path: the directory of its files, or the one file that is the model.
        lock: its `lease.lock`.
    """

    revision: Revision
    path: Path
    lock: Path


class Place:
    """A model's place on a volume. Reads anew for every answer; nothing here writes."""

    def __init__(self, model: str, base: BasePath) -> None:
        """Name it.

        Args:
            model: the model's name; may come from anywhere.
            base: the volume; None: `MODELS_BASE_PATH`, or `/models`.

        Raises:
            BadModelName: no model can have this name.
        """
        reason = unsafe(model) or unsafe_model(model)
        if reason is not None:
            raise BadModelName(f"{model!r} is no model's name: {reason}")
        self.model = ModelId(model)
        self.base = Path(base or os.environ.get("MODELS_BASE_PATH") or "/models").absolute()
        self.link = self.base / model
        self._home = self.base / home_of(self.model)

    @property
    def directories(self) -> tuple[Path, Path]:
        """Where a publication shows: the link's directory and the record's. They may not be there yet."""
        return self.link.parent, self._home

    def look(self) -> Target:
        """What the link says, without a look at whether it is there.

        Raises:
            ModelNotFound: there is no link of modelsync's.
            OSError: the volume failed.
        """
        try:
            look_anew(self.link.parent)
            text = os.readlink(self.link)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ModelNotFound(f"{self.model} is not published (yet): {self.link} is not there") from error
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            text = ""  # no link at all
        linked = read_link(self.model, text)
        if linked is None:
            raise ModelNotFound(f"{self.model} is not published: {self.link} is not modelsync's: move it away")
        directory = self._home / REVISIONS / linked.directory
        files = directory / FILES
        return Target(linked.revision, files / linked.path if linked.path else files, directory / LEASE)

    def present(self) -> Target:
        """What the link says, if that is there.

        Raises:
            ModelNotFound: it is not, or there is no link of modelsync's.
            LeaseFailed: the volume cannot be read.
        """
        try:
            target = self.look()
            target.path.stat()
        except OSError as error:
            if error.errno not in GONE:
                raise self.failed(error) from error
            raise ModelNotFound(f"{self.model} is not there: {self.link} leads to nothing") from error
        return target

    def failed(self, error: OSError) -> LeaseFailed:
        """Say what it means that the volume failed."""
        advice = _ADVICE.get(error.errno or 0)
        return LeaseFailed(
            f"{error.filename or self.link} cannot be used: {error.strerror}{f': {advice}' if advice else ''}"
        )

    def reason(self) -> str:
        """Why nothing is published, as far as the volume tells."""
        try:
            if not (self.base / RESERVED).is_dir():
                return f"no modelsync has worked on {self.base} yet: is it the right volume?"
            published = Published(
                current=self._current(), quarantined=self._refusals(), leftover=(self._home / STAGING).exists()
            )
        except OSError as error:
            return str(self.failed(error))
        view = view_of(self.model, published, None)
        return f"{view.state}: {view.reason}"

    def _current(self) -> Current | None:
        try:
            return Current.from_json((self._home / CURRENT).read_bytes())
        except (OSError, BadRecord):
            return None

    def _refusals(self) -> tuple[Quarantine, ...]:
        records = []
        for path in (self._home / QUARANTINE).glob("*.json"):
            try:
                records.append(Quarantine.from_json(path.read_bytes()))
            except (OSError, BadRecord):
                continue
        return tuple(records)
