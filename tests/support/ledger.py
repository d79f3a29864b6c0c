"""All that a bucket ever had, and what readers may see of it: a naive model to hold the volume against."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from fakes.store import FakeStore
from modelsync.core.manifest import Published
from modelsync.core.names import ModelId, Naming
from modelsync.core.objects import Digest, gather

Files = dict[str, bytes]
COMMIT = "modelsync.json"


def commit_file(files: Files) -> bytes:
    """The commit file of these files."""
    entries = [
        {"path": name, "size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in sorted(files.items())
    ]
    return json.dumps({"version": 1, "files": entries}).encode()


@dataclass(frozen=True)
class State:
    """What the bucket has of a model between two changes.

    Attributes:
        since: in seconds since the epoch.
        listing: its name, None without a weight file.
        wanted: what readers are to see; None without a weight file, while a commit's files are not there as it
            lists them, and if it lists no weight file.
        listed: the files that a commit file lists, as they are: whoever shows these already has nothing to do.
        tied: a commit file ties the files together; else only time does.
        newest: when its newest object was made.
    """

    since: float
    listing: Digest | None = None
    wanted: Files | None = None
    listed: Files | None = None
    tied: bool = False
    newest: float = 0.0

    @property
    def absent(self) -> bool:
        """Without a weight file it is no model."""
        return self.listing is None


class Ledger:
    """Hears of each change in the bucket, then knows what is right."""

    def __init__(self, bucket: FakeStore, naming: Naming, settle_seconds: float) -> None:
        self._bucket = bucket
        self._naming = naming
        self._settle_seconds = settle_seconds
        self._uploads: dict[str, tuple[float, float]] = {}
        self._states: dict[str, list[State]] = {}
        self._agreed: dict[str, int] = {}

    def states(self, model: str) -> list[State]:
        """All states since the beginning, which is an absence."""
        return self._states.setdefault(model, [State(self._bucket.now())])

    def changed(self, model: str) -> int:
        """Take note of a change; return its number."""
        objects = {remote.key: remote for remote in self._bucket.list(self._naming.prefix + model).objects}
        snapshot = gather(ModelId(model), objects.values(), self._naming)
        states = self.states(model)
        if snapshot is None:
            states.append(State(self._bucket.now()))
        else:
            have: Files = {file.path: self._bucket.content(file.object.key) for file in snapshot.files}
            commit = None if snapshot.commit is None else self._bucket.content(snapshot.commit.key)
            wanted, listed = self._wanted(have, commit)
            tied = snapshot.commit is not None
            states.append(State(self._bucket.now(), snapshot.digest, wanted, listed, tied, snapshot.newest))
        return len(states) - 1

    def _wanted(self, have: Files, commit: bytes | None) -> tuple[Files | None, Files | None]:
        if commit is None:
            return have, None
        entries = {entry["path"]: entry["sha256"] for entry in json.loads(commit)["files"]}
        if not entries.keys() <= have.keys() or not any(map(self._naming.is_weight, entries)):
            return None, None
        listed = {path: have[path] for path in entries}
        right = all(hashlib.sha256(listed[path]).hexdigest() == sha256 for path, sha256 in entries.items())
        return (listed if right else None), listed

    def may_be_seen(self, model: str, seen: Files) -> bool:
        """Whether a commit file listed exactly this, or the model was this, settled, with no upload in progress."""
        states = self.states(model)
        ends = [*(state.since for state in states[1:]), self._bucket.now()]
        return any(
            state.wanted == seen and (state.tied or self._settled(model, state, until))
            for state, until in zip(states, ends, strict=True)
        )

    def _settled(self, model: str, state: State, until: float) -> bool:
        begun, ended = self._uploads.get(model, (float("inf"), float("inf")))
        settled = state.newest + self._settle_seconds
        return settled <= until and (settled <= begun or ended <= until)

    def is_now(self, model: str, seen: Files) -> bool:
        """Whether a commit file ever listed exactly this, or the model is this at this moment."""
        states = self.states(model)
        return states[-1].wanted == seen or any(state.tied and state.wanted == seen for state in states)

    def upload_began(self, model: str) -> None:
        """Take note of an upload in progress."""
        self._uploads.setdefault(model, (self._bucket.now(), float("inf")))

    def upload_ended(self, model: str) -> None:
        """Take note of its end."""
        if model in self._uploads:
            self._uploads[model] = self._uploads[model][0], self._bucket.now()

    def agree(self, model: str, seen: Files | None, published: Published) -> None:
        """Take note of the newest state that the volume does justice to now."""
        states = self.states(model)
        current = published.current
        bid_farewell = seen is None or (current is not None and current.gone_since is not None)
        refused = {record.listing for record in published.quarantined}
        for number in range(len(states) - 1, self.agreed(model), -1):
            state = states[number]
            shown = seen is not None and seen in (state.wanted, state.listed)
            if bid_farewell if state.absent else (shown or state.listing in refused):
                self._agreed[model] = number
                return

    def agreed(self, model: str) -> int:
        """The newest state that the volume was ever found to do justice to."""
        return self._agreed.get(model, -1)

    def may_be_withdrawn(self, model: str, grace_seconds: float) -> bool:
        """Whether the model is not in the bucket, and left it (perhaps not for the first time) a grace ago."""
        states = self.states(model)
        left = [state.since for state in states[1:] if state.absent]
        return states[-1].absent and bool(left) and left[0] + grace_seconds <= self._bucket.now()


def read(base: Path, model: str) -> Files | None:
    """What an application reads: None without a link, which must lead to something whole."""
    if not os.path.lexists(base / model):
        return None
    target = (base / model).resolve(strict=True)
    if target.is_file():
        return {model: target.read_bytes()}
    return {name[len(str(target)) + 1 :]: Path(name).read_bytes() for name in _files_below(target)}


def fingerprint(directory: Path) -> dict[str, tuple[int, int, int, int]]:
    """What changes when a file below a directory does: inode, mode, size and time of the last write."""
    found = {name: os.lstat(name) for name in _files_below(directory)}
    return {name: (at.st_ino, at.st_mode, at.st_size, at.st_mtime_ns) for name, at in found.items()}


def _files_below(directory: Path) -> list[str]:
    return [f"{at}/{name}" for at, _, names in os.walk(directory) for name in names]
