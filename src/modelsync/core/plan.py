"""What to do about one model, and why.

`triage` needs the listing alone and answers for most models; `plan` also needs the commit file,
where there is one. What the bucket does not have is for `deletions.depart`. All are total: every
answer carries its reason, in words that logs, the API and tests share.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from modelsync.core.commit import CommittedFile
from modelsync.core.manifest import Current, FileRecord, Mismatch, Published, Quarantine
from modelsync.core.names import RelPath
from modelsync.core.objects import Digest, ModelFile, RemoteObject, Revision, Snapshot, revision_of
from modelsync.core.words import some


@dataclass(frozen=True, slots=True)
class Noop:
    """Readers see what they should. `relist`: put the listing's name on record, and who signed it."""

    reason: str
    relist: bool = False


@dataclass(frozen=True, slots=True)
class Gone:
    """The model is not in the bucket, and readers see nothing that could be withdrawn."""

    reason: str


@dataclass(frozen=True, slots=True)
class Leave:
    """The model left the bucket; its readers keep it for now.

    Attributes:
        reason: since when and until when.
        since: when a listing was first without it, in seconds since the epoch.
        known: that is on record.
        seconds: until it is to be looked at again; None: it stays.
    """

    reason: str
    since: float
    known: bool
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Unpublish:
    """The model left the bucket and its grace is over: withdraw its link, if the breaker lets it.

    `visible`: there is a link to withdraw; else it only has to be put on record that it is gone.
    """

    revision: Revision
    reason: str
    since: float
    visible: bool = True


@dataclass(frozen=True, slots=True)
class Wait:
    """The upload is not complete; look again after `seconds`, or at the next event.

    `overdue`: what it waits for should have come long ago.
    """

    reason: str
    seconds: float
    overdue: bool = False


@dataclass(frozen=True, slots=True)
class Refuse:
    """The content must not be published.

    Attributes:
        known: that is on record already.
        mismatch: where bytes are why.
        file: in which something was found.
        gate: names the rules that refuse it, where an operator sets them.
    """

    revision: Revision
    rule: str
    reason: str
    known: bool = False
    mismatch: Mismatch | None = None
    file: FileRecord | None = None
    gate: str = ""


@dataclass(frozen=True, slots=True)
class Switch:
    """The revision is on the volume: point the link at it."""

    revision: Revision
    reason: str


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """A file to fetch. `sha256`: what the commit file demands, in hex."""

    path: RelPath
    object: RemoteObject
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Build:
    """Fetch the files, verify them, publish the revision."""

    revision: Revision
    files: tuple[PlannedFile, ...]
    reason: str

    @property
    def size_bytes(self) -> int:
        """Sum of the files' sizes."""
        return sum(file.object.size_bytes for file in self.files)


Decision = Noop | Gone | Leave | Unpublish | Wait | Refuse | Switch | Build

VOLUME_RULES = frozenset({"path-taken"})
"""Rules that look at the volume, which an operator can change without a change in the bucket."""

INCOMPLETE_RECHECK_SECONDS = 30.0
"""How soon an incomplete commit is listed again if no event comes."""


def in_step(listing: Digest, published: Published, *, signers: str = "", gate: str = "") -> bool:
    """Whether a listing with this name asks for no work: it is published or refused already, by rules that hold."""
    if not published.consistent or published.leftover:
        return False
    current = published.current
    if current is not None and current.unpublished_at is None:
        if current.gone_since is not None:
            return False  # it is back: its tombstone must go
        if current.listing == listing:
            return _is_judged(current, signers)
    if current is not None and current.evicted:
        return True  # whoever wants it back asks for it
    return any(_stands(record, listing, (signers, gate)) for record in published.quarantined)


def _is_judged(current: Current, signers: str) -> bool:
    """Whether it is known who signed what readers see, where that is asked for."""
    return signers in {"", current.signers}


def _stands(record: Quarantine, listing: Digest, rules: Collection[str]) -> bool:
    """Whether a refusal still holds: for this listing, for something that the bucket shows, by rules that hold."""
    return record.listing == listing and record.rule not in VOLUME_RULES and record.gate in {"", *rules}


def triage(
    snapshot: Snapshot,
    published: Published,
    *,
    s3_now: float,
    settle_seconds: float,
    quiet_seconds: float,
    wanted: bool = False,
    signers: str = "",
    gate: str = "",
) -> Noop | Wait | Refuse | Switch | None:
    """Answer from the listing alone; None where a plan has to be made.

    Args:
        snapshot: the model in the bucket.
        published: the model on the volume.
        s3_now: seconds since the epoch by S3's clock, when it listed.
        settle_seconds: age that the last change of a model without commit file must have.
        quiet_seconds: since the last event that told of the model.
        wanted: somebody asked for the model by its name.
        signers: names those who may sign, and whether somebody must; empty: nobody asks.
        gate: names the rules that content has to pass.
    """
    current = published.current
    if current is not None and current.evicted and not wanted:
        return Noop("it was withdrawn to make room on the volume: sync it by its name to have it back")
    if (pinned := _keep_to_pin(published)) is not None:
        return pinned
    listing = snapshot.digest
    if current is not None and current.listing == listing and published.consistent and published.linked is not None:
        relist = not _is_judged(current, signers)
        return Noop("the bucket has not changed since it was published", relist=relist)
    for record in published.quarantined:
        if _stands(record, listing, (signers, gate)):
            return Refuse(record.revision, record.rule, record.reason, known=True)
    if snapshot.refused is not None:
        return Refuse(revision_of(snapshot.files), "key", snapshot.refused)
    if snapshot.commit is None:
        age = s3_now - snapshot.newest
        if age < settle_seconds:
            # Not longer, however far in the past S3's clock may be.
            seconds = min(settle_seconds - age, max(settle_seconds, INCOMPLETE_RECHECK_SECONDS))
            return Wait(f"the newest object is {max(age, 0):.1f} s old: settling", seconds)
        if quiet_seconds < settle_seconds:
            return Wait(f"the last event is {quiet_seconds:.1f} s old: settling", settle_seconds - quiet_seconds)
    return None


def _keep_to_pin(published: Published) -> Noop | Switch | None:
    """What a pin asks for; None without one, or if its revision cannot be used."""
    current = published.current
    if current is None or current.pin is None:
        return None
    if published.consistent:
        return Noop(f"pinned to {current.revision}: {current.pin}")
    if current.revision in published.kept:
        return Switch(current.revision, f"pinned to {current.revision}: readers are led back to it")
    return None


def plan(
    snapshot: Snapshot,
    commit: Sequence[CommittedFile] | None,
    published: Published,
    *,
    s3_now: float,
    commit_timeout_seconds: float,
) -> Noop | Wait | Switch | Build:
    """Decide which revision to publish, of which files.

    Args:
        snapshot: the model in the bucket, past `triage`.
        commit: the content of its commit file, or None without one.
        published: the model on the volume.
        s3_now: seconds since the epoch by S3's clock, when it listed.
        commit_timeout_seconds: how long a commit file may wait for its files.
    """
    if commit is None:
        chosen = tuple(PlannedFile(file.path, file.object) for file in snapshot.files)
    else:
        files = {file.path: file for file in snapshot.files}
        missing = [entry for entry in commit if not _matches(files.get(entry.path), entry)]
        if missing:
            return await_files(
                snapshot,
                _incomplete(missing, files.get(missing[0].path), len(commit)),
                [entry.path for entry in missing],
                s3_now=s3_now,
                commit_timeout_seconds=commit_timeout_seconds,
            )
        chosen = tuple(
            PlannedFile(entry.path, files[entry.path].object, entry.sha256)
            for entry in sorted(commit, key=lambda entry: entry.path)
        )
    revision = revision_of(ModelFile(file.path, file.object) for file in chosen)
    if published.consistent and published.linked == revision:
        return Noop("the files have not changed since they were published", relist=True)
    current = published.current
    if current is not None and current.pin is not None and current.revision != revision:
        return Noop(f"pinned to {current.revision}, which is damaged and no longer in the bucket: unpin the model")
    if revision in published.kept:
        return Switch(revision, "the revision is on the volume already")
    if published.damage and published.linked == revision:
        return Build(revision, chosen, f"the published revision is damaged: {published.damage[0]}")
    if current is None:
        return Build(revision, chosen, "not published yet")
    if current.evicted:
        return Build(revision, chosen, "it was withdrawn to make room, and is asked for")
    if current.unpublished_at is not None:
        return Build(revision, chosen, "it is in the bucket again, and the volume has not kept this content")
    return Build(revision, chosen, f"the bucket differs from the published revision {current.revision}")


def await_files(
    snapshot: Snapshot, reason: str, missing: Sequence[RelPath], *, s3_now: float, commit_timeout_seconds: float
) -> Wait:
    """Wait for files of a commit, and say so when none has come for too long.

    The time is counted from the newest object, by S3's clock: uploading the next version in place
    makes the old commit file incomplete, however old that is.
    """
    if s3_now - snapshot.newest <= commit_timeout_seconds:
        return Wait(reason, INCOMPLETE_RECHECK_SECONDS)
    return Wait(
        f"incomplete for more than {commit_timeout_seconds:.0f} s: {reason}; missing: {some(missing)}; upload them, or"
        " a new commit file",
        INCOMPLETE_RECHECK_SECONDS,
        overdue=True,
    )


def upload_in_progress(file: PlannedFile, snapshot: Snapshot) -> bool:
    """Whether a file that differs from its commit file is newer than it: the next commit is on its way."""
    return snapshot.commit is not None and file.object.last_modified >= snapshot.commit.last_modified


def _matches(file: ModelFile | None, entry: CommittedFile) -> bool:
    return file is not None and file.object.size_bytes == entry.size_bytes


def _incomplete(missing: Sequence[CommittedFile], found: ModelFile | None, listed: int) -> str:
    first = missing[0]
    state = (
        "is not there"
        if found is None
        else f"has {found.object.size_bytes} bytes, not the {first.size_bytes} that the commit file lists"
    )
    return f"{listed - len(missing)} of {listed} files are there: {first.path} {state}"
