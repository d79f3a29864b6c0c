"""What happened, as frozen facts: one is handed to logs, metrics and the status board alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from modelsync.core.damage import Finding
from modelsync.core.health import Status
from modelsync.core.manifest import Reconciled, Scrubbed
from modelsync.core.names import ModelId
from modelsync.core.objects import Revision
from modelsync.core.retention import Why
from modelsync.errors import VolumeReason


class Outcome(StrEnum):
    """How the sync of one model ended."""

    SUCCESS = "success"
    """A revision was published, or a model that left the bucket was withdrawn."""
    NOOP = "noop"
    """Readers saw the right revision already, or the model is not in the bucket."""
    REJECTED = "rejected"
    """The content is refused, with its reason on record."""
    WAITING = "waiting"
    """The upload is not complete yet."""
    BUSY = "busy"
    """Another worker is at it."""
    ERROR = "error"
    """It failed and will be tried again."""


@dataclass(frozen=True, slots=True)
class SyncStarted:
    """A worker took the model. `why`: what marked it dirty; `event_at`: as `Published` has it."""

    model: ModelId
    sync_id: str
    why: str
    event_at: float | None = None


@dataclass(frozen=True, slots=True)
class FetchStarted:
    """A revision is being built."""

    model: ModelId
    revision: Revision
    sync_id: str
    files: int
    size_bytes: int
    reason: str


@dataclass(frozen=True, slots=True)
class BytesResumed:
    """Some bytes of a revision were in staging already, and are still what arrived."""

    model: ModelId
    sync_id: str
    count: int


@dataclass(frozen=True, slots=True)
class BytesReused:
    """A file's bytes were on the volume already. `how`: `clone`, `link` or `copy`."""

    model: ModelId
    sync_id: str
    path: str
    count: int
    how: str


@dataclass(frozen=True, slots=True)
class ReuseRefused:
    """A published file that a sync was to use again is not what was published: it is fetched instead."""

    model: ModelId
    revision: Revision
    sync_id: str
    finding: Finding


@dataclass(frozen=True, slots=True)
class BytesFetched:
    """Some bytes of a revision arrived and were written."""

    model: ModelId
    sync_id: str
    count: int


@dataclass(frozen=True, slots=True)
class RequestRetried:
    """A request failed and is made again after `wait_seconds`. `model`: None for one that is of no model."""

    model: ModelId | None
    sync_id: str
    what: str
    reason: str
    attempt: int
    wait_seconds: float


@dataclass(frozen=True, slots=True)
class FileVerified:
    """A file's bytes are proven."""

    model: ModelId
    revision: Revision
    sync_id: str
    path: str
    size_bytes: int
    proof: str


@dataclass(frozen=True, slots=True)
class Published:
    """Readers see the revision from now on.

    Attributes:
        model, revision, sync_id: what, and which sync did it.
        previous: what readers saw before.
        files, size_bytes: how much it is.
        published_at: since when.
        event_at: when S3 says the change was made, if an event told of it.
        reason: in a sentence.
        signer: who signed it, if that was asked for.
        pinned: it stays so whatever the bucket has.
        rolled_back: an operator went back to it.
        received_at: when the first event that told of the change came, if one did.
    """

    model: ModelId
    revision: Revision
    sync_id: str
    previous: Revision | None
    files: int
    size_bytes: int
    published_at: float
    event_at: float | None
    reason: str
    signer: str | None = None
    pinned: bool = False
    rolled_back: bool = False
    received_at: float | None = None


@dataclass(frozen=True, slots=True)
class SignatureJudged:
    """What readers see was held against its signature: `signer` made it, or `unsigned` says why nobody counts."""

    model: ModelId
    revision: Revision
    sync_id: str
    signer: str | None
    unsigned: str | None


@dataclass(frozen=True, slots=True)
class Pinned:
    """Readers keep the revision whatever the bucket has. `pin`: why; `rolled_back`: they saw another one before."""

    model: ModelId
    revision: Revision
    pin: str
    rolled_back: bool = False


@dataclass(frozen=True, slots=True)
class Unpinned:
    """The bucket decides again what readers of the model see; they saw this revision until then."""

    model: ModelId
    revision: Revision
    reason: str


@dataclass(frozen=True, slots=True)
class ModelGone:
    """Readers see a model that the bucket has had no more `since`, in seconds since the epoch."""

    model: ModelId
    since: float
    reason: str


@dataclass(frozen=True, slots=True)
class ModelBack:
    """A model that had left the bucket is there again, before it was withdrawn."""

    model: ModelId


@dataclass(frozen=True, slots=True)
class Unpublished:
    """The model's link was withdrawn: readers see it no more. `revision` is what they saw last."""

    model: ModelId
    revision: Revision
    sync_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class DeletionsReviewed:
    """How many models the bucket has no more while readers see them, and whether all of them are held back."""

    gone: int
    held: bool


@dataclass(frozen=True, slots=True)
class RevisionRejected:
    """A revision is refused, and that is on record."""

    model: ModelId
    revision: Revision
    sync_id: str
    rule: str
    reason: str


@dataclass(frozen=True, slots=True)
class KeyRefused:
    """A key in the bucket names no model."""

    reason: str


@dataclass(frozen=True, slots=True)
class SyncFinished:
    """A worker is done with the model for now.

    `stages`: seconds by stage, in order. `overdue`: it waits for what should have come long ago.
    """

    model: ModelId
    sync_id: str
    outcome: Outcome
    reason: str
    seconds: float
    revision: Revision | None = None
    stages: dict[str, float] = field(default_factory=dict)
    overdue: bool = False


@dataclass(frozen=True, slots=True)
class ModelKnown:
    """The volume holds this revision of the model, found without a sync.

    Attributes:
        model, revision, published_at: what readers see, and since when.
        damage: what is wrong with its files.
        in_step: the bucket has it too, or the model is pinned.
        pinned: it stays so whatever the bucket has.
        unsigned: why it counts as signed by nobody, where that was asked for.
        rolled_back: an operator went back to it.
    """

    model: ModelId
    revision: Revision
    published_at: float
    damage: str | None = None
    in_step: bool = False
    pinned: bool = False
    unsigned: str | None = None
    rolled_back: bool = False


@dataclass(frozen=True, slots=True)
class PublicationSeen:
    """A comparison found what another process has published; `previous`: what readers saw before, as far as known."""

    model: ModelId
    revision: Revision
    previous: Revision | None
    published_at: float
    pinned: bool
    rolled_back: bool


@dataclass(frozen=True, slots=True)
class RefusalKnown:
    """The bucket still shows what was refused before; found without a sync."""

    model: ModelId
    reason: str


@dataclass(frozen=True, slots=True)
class ModelAbsent:
    """Neither the bucket nor readers have such a model any more."""

    model: ModelId


@dataclass(frozen=True, slots=True)
class PushStage:
    """A push begins to `read` so many files, or to `upload` them."""

    model: ModelId
    stage: str
    files: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class BytesRead:
    """Some bytes of a file that is to be uploaded were read and summed up."""

    model: ModelId
    count: int


@dataclass(frozen=True, slots=True)
class BytesSent:
    """Some bytes were sent to the bucket. Negative: so many are sent again, since their request broke off."""

    model: ModelId
    count: int


@dataclass(frozen=True, slots=True)
class FileUploaded:
    """The bucket has a file."""

    model: ModelId
    path: str
    size_bytes: int
    reason: str


@dataclass(frozen=True, slots=True)
class UploadLeft:
    """An upload in parts could not be aborted: its parts stay in the bucket until its lifecycle rule removes them."""

    model: ModelId
    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class NoticeTold:
    """A receiver took a notice, at so many attempts. `happening`: what the notice tells of."""

    receiver: str
    notice_id: str
    model: ModelId
    happening: str
    attempts: int


@dataclass(frozen=True, slots=True)
class NoticeDelayed:
    """A receiver could not be told; the next attempt is made after `wait_seconds`."""

    receiver: str
    notice_id: str
    model: ModelId
    reason: str
    attempt: int
    wait_seconds: float


@dataclass(frozen=True, slots=True)
class NoticeLost:
    """A receiver will not be told: `refused`, `given_up` after the last attempt, or `dropped` from the queue."""

    receiver: str
    notice_id: str
    model: ModelId
    happening: str
    outcome: Literal["refused", "given_up", "dropped"]
    reason: str


@dataclass(frozen=True, slots=True)
class WorkloadEventsLost:
    """So many Kubernetes Events could not be made; they are not tried again. `happening`: what they were to tell of."""

    happening: str
    count: int
    reason: str


@dataclass(frozen=True, slots=True)
class HookRan:
    """A command of the operator's ended: `notify` or `publish`.

    Attributes:
        hook, model: which one, and what it was run for.
        outcome: `ok`, `failed` (an exit code but 0), `timeout` or `not_started`.
        code: its exit code, if it has one.
        seconds: how long it ran.
        output: the end of what it wrote, on one line.
    """

    hook: str
    model: ModelId
    outcome: str
    code: int | None
    seconds: float
    output: str


@dataclass(frozen=True, slots=True)
class CheckerReady:
    """A process that checks models is ready. `loose`: what it could not be kept from; None: nothing."""

    loose: str | None


@dataclass(frozen=True, slots=True)
class CheckerFailed:
    """A process that checks models came to no judgement: rule, what it did, and the file that it was at."""

    rule: str
    what: str
    path: str | None


@dataclass(frozen=True, slots=True)
class GateWarned:
    """A model passes the gate with a flaw that the operator does not want it refused for."""

    model: ModelId
    sync_id: str
    rule: str
    reason: str


@dataclass(frozen=True, slots=True)
class EventHandled:
    """A queue message came to its end: `published`, `noop`, `rejected`, `returned`, `ignored`, `unparsable`."""

    queue: str
    outcome: str


@dataclass(frozen=True, slots=True)
class MessageUnparsable:
    """A message is no S3 notification. `digest` names its body, which is hostile input and not logged."""

    queue: str
    reason: str
    digest: str


@dataclass(frozen=True, slots=True)
class StoreCalled:
    """A request to S3 was answered, or failed: `ok`, or the kind of error."""

    operation: str
    outcome: str


@dataclass(frozen=True, slots=True)
class QueueReceiveFailed:
    """Receiving from a queue failed."""

    queue: str
    reason: str


@dataclass(frozen=True, slots=True)
class HealthChanged:
    """A check says what it found; most of the time that is what it said before."""

    check: str
    status: Status
    reason: str


@dataclass(frozen=True, slots=True)
class ModelEvicted:
    """Readers see a model no more, to make room for another; it comes back when it is asked for by its name."""

    model: ModelId
    revision: Revision
    reason: str


@dataclass(frozen=True, slots=True)
class RevisionRemoved:
    """A revision that was out of use is gone from the volume. `size_bytes`: what that freed; 0: not measured."""

    model: ModelId
    revision: Revision
    why: Why
    reason: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class LeasesSeen:
    """How many revisions of which models readers hold leases on; models without are left out."""

    revisions: Mapping[ModelId, int]


@dataclass(frozen=True, slots=True)
class VolumeMeasured:
    """How large the volume is, how much of it is free, and whether a comparison ever finished on it."""

    total_bytes: int
    free_bytes: int
    reconciled: bool


@dataclass(frozen=True, slots=True)
class DamageFound:
    """A file on the volume is not what was published, and is dealt with. `seen`: readers of the model see it."""

    model: ModelId
    revision: Revision
    finding: Finding
    seen: bool


@dataclass(frozen=True, slots=True)
class BytesScrubbed:
    """Some bytes of published files were read and held against their records."""

    count: int


@dataclass(frozen=True, slots=True)
class ScrubFinished:
    """All files on the volume were read."""

    found: Scrubbed


@dataclass(frozen=True, slots=True)
class ScrubFailed:
    """The scrub could not go on; it tries again."""

    reason: str


@dataclass(frozen=True, slots=True)
class VolumeTried:
    """What the volume must be able to do was tried."""

    status: Status
    reason: str


@dataclass(frozen=True, slots=True)
class VolumeRefused:
    """The volume refused a call, or had no room. `whose`: the work that it was for, most of the time a model's."""

    whose: str
    reason: str


@dataclass(frozen=True, slots=True)
class VolumeCallFailed:
    """The volume refused a call, or had no room for a model. `reason`: why, in one word."""

    reason: VolumeReason


@dataclass(frozen=True, slots=True)
class ReconcileStarted:
    """The bucket is being compared with the volume."""

    why: str


@dataclass(frozen=True, slots=True)
class ReconcileFinished:
    """The comparison is complete, and what it found dirty has been tried once."""

    found: Reconciled
    seconds: float


@dataclass(frozen=True, slots=True)
class ReconcileFailed:
    """The comparison could not be completed; nothing was concluded from it."""

    reason: str


@dataclass(frozen=True, slots=True)
class ServiceStarted:
    """The service runs."""

    version: str
    bucket: str
    queues: tuple[str, ...]
    volume: str
    http_port: int


@dataclass(frozen=True, slots=True)
class ServiceStopping:
    """The service was asked to end, or must."""

    reason: str


Frequent = BytesFetched | FileVerified | StoreCalled
"""Told for each request or file of a download, by the thousand."""

Fact = (
    SyncStarted
    | FetchStarted
    | BytesResumed
    | BytesReused
    | ReuseRefused
    | BytesFetched
    | RequestRetried
    | FileVerified
    | Published
    | Pinned
    | Unpinned
    | ModelGone
    | ModelBack
    | Unpublished
    | DeletionsReviewed
    | RevisionRejected
    | KeyRefused
    | SyncFinished
    | ModelKnown
    | PublicationSeen
    | RefusalKnown
    | ModelAbsent
    | PushStage
    | BytesRead
    | BytesSent
    | FileUploaded
    | UploadLeft
    | NoticeTold
    | NoticeDelayed
    | NoticeLost
    | WorkloadEventsLost
    | HookRan
    | CheckerReady
    | CheckerFailed
    | GateWarned
    | SignatureJudged
    | EventHandled
    | MessageUnparsable
    | StoreCalled
    | QueueReceiveFailed
    | HealthChanged
    | VolumeMeasured
    | ModelEvicted
    | RevisionRemoved
    | LeasesSeen
    | DamageFound
    | BytesScrubbed
    | ScrubFinished
    | ScrubFailed
    | VolumeCallFailed
    | VolumeTried
    | VolumeRefused
    | ReconcileStarted
    | ReconcileFinished
    | ReconcileFailed
    | ServiceStarted
    | ServiceStopping
)
