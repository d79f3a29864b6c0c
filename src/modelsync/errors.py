"""Every error of modelsync, classed by what the loop that meets it does next.

    ModelSyncError
    ├── ConfigurationError      stop: exit code 2, the operator changes the configuration
    │   ├── BucketMissing
    │   ├── QueueMissing
    │   └── VolumeUnusable
    ├── TryAgain                wait, with backoff, and do it again
    │   ├── StoreUnavailable    S3 did not answer, answered 5xx, or broke off
    │   │   └── StoreThrottled  S3 asked for fewer requests
    │   ├── StoreDenied         credentials or permissions: an operator may mend them meanwhile
    │   │   └── CredentialsRefused  they are no good, or no longer: look for others
    │   ├── QueueUnavailable    the same for SQS
    │   ├── ServiceUnavailable  the same for a worker's HTTP interface
    │   ├── NotTold             the same for a receiver of notices
    │   ├── HookFailed          the publish hook could not be run to its end
    │   ├── GateFailed          the gate could not judge
    │   ├── VolumeFailed        the file system refused a call (ENOSPC, EIO, EROFS, ESTALE)
    │   │   ├── NoRoom          a download does not fit, unless older revisions go
    │   │   └── FileUnreadable  one published file cannot be read: it counts as damaged
    │   ├── VerificationFailed  the bytes are not the ones that S3 has on record
    │   └── ModelBusy           another worker holds the model's writer lock
    ├── ObjectChanged           list and plan again: what was planned is no longer there
    ├── NotOffered              do without it: S3 does not offer or allow the call
    ├── SourceChanged           push again: a local file changed while it was uploaded
    ├── SourceUnreadable        push again once the local files can be read
    ├── NoticeRefused           give the notice up: its receiver will not have it
    ├── ReadFailed              (modelsync.client) a reader goes on with what it has, or ends
    │   ├── BadModelName        ask for another: no model can have this name
    │   ├── ModelNotFound       wait, or ask for another: nothing is published under the name
    │   ├── LeaseFailed         it is published, but the volume does not let it be held
    │   └── WaitTimedOut        it was not published in time
    ├── NotPossible             tell whoever asked for it
    ├── Rejected                put on record, and not tried again until the bucket changes
    └── Stopped                 shutting down: park the work

A message is one sentence that says what happened and what to do. Facts that code needs
are attributes.
"""

from __future__ import annotations

from typing import Literal

VolumeReason = Literal["full", "quota", "io", "read_only", "permission", "stale", "other"]
"""What is wrong with a volume, in one word; the label of a metric."""


class ModelSyncError(Exception):
    """The root: everything that modelsync raises on purpose."""


class ConfigurationError(ModelSyncError):
    """What the operator configured cannot work.

    Attributes:
        problems: one sentence for each thing that is wrong.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class BucketMissing(ConfigurationError):
    """The bucket does not exist."""


class QueueMissing(ConfigurationError):
    """A queue does not exist."""


class VolumeUnusable(ConfigurationError):
    """The volume is missing, read-only or cannot do what modelsync needs of it.

    Attributes:
        reason: the same in one word.
    """

    def __init__(self, problem: str, reason: VolumeReason = "other") -> None:
        super().__init__(problem)
        self.reason = reason


class TryAgain(ModelSyncError):
    """It failed this time and may succeed later.

    Attributes:
        dependency: the health check that the failure belongs to: `s3`, `volume`, a queue's name, or
            empty where the fault lies in one model alone.
    """

    dependency = ""


class StoreUnavailable(TryAgain):
    """S3 cannot be reached or failed.

    Attributes:
        pause_seconds: for how long S3 asks to be left alone (`Retry-After`).
    """

    dependency = "s3"

    def __init__(self, message: str, pause_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.pause_seconds = pause_seconds


class StoreThrottled(StoreUnavailable):
    """S3 asks to slow down."""


class StoreDenied(TryAgain):
    """S3 refuses the credentials or the permission; `of_object`: to one object, which says nothing of the others."""

    dependency = "s3"

    def __init__(self, message: str, *, of_object: bool = False) -> None:
        super().__init__(message)
        if of_object:
            self.dependency = ""


class CredentialsRefused(StoreDenied):
    """S3 does not know the access key, the signature does not fit, or the session has ended."""

    def __init__(self, message: str) -> None:
        super().__init__(message)


class QueueUnavailable(TryAgain):
    """SQS cannot be reached, failed or refused."""

    dependency = "queue"


class ServiceUnavailable(TryAgain):
    """A worker's HTTP interface cannot be reached, failed, or is something else."""


class NotTold(TryAgain):
    """A receiver of notices cannot be reached, or failed.

    Attributes:
        pause_seconds: for how long it asks to be left alone (`Retry-After`).
    """

    def __init__(self, message: str, pause_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.pause_seconds = pause_seconds


class HookFailed(TryAgain):
    """The publish hook cannot be started, or did not end in time."""


class GateFailed(TryAgain):
    """The process that checks models cannot be started, or the machine ends it."""


class VolumeFailed(TryAgain):
    """A call to the file system failed.

    Attributes:
        reason: why, in one word.
    """

    dependency = "volume"

    def __init__(self, message: str, reason: VolumeReason = "other") -> None:
        super().__init__(message)
        self.reason = reason


class NoRoom(VolumeFailed):
    """A download does not fit on the volume.

    Attributes:
        bytes_short: how much more would have to be free.
    """

    def __init__(self, message: str, bytes_short: int) -> None:
        super().__init__(message, "full")
        self.bytes_short = bytes_short


class FileUnreadable(VolumeFailed):
    """One published file cannot be read: it is not there, or its blocks are lost."""


class VerificationFailed(TryAgain):
    """A file's bytes do not have the size or checksum that S3 has on record.

    Attributes:
        path: the file's path inside the model.
        proof: the kind of checksum that was compared.
        expected: its value according to S3.
        actual: its value computed from the bytes received.
        arrived: S3's own checksum was right before: these bytes are the bucket's.
    """

    def __init__(self, path: str, *, proof: str, expected: str, actual: str, arrived: bool = False) -> None:
        super().__init__(
            f"{path}: {proof} is {actual}, but S3 has {expected} on record; upload the file again if it stays so"
        )
        self.path = path
        self.proof = proof
        self.expected = expected
        self.actual = actual
        self.arrived = arrived


class ModelBusy(TryAgain):
    """Another worker is syncing the model."""


class ObjectChanged(ModelSyncError):
    """An object was replaced or removed since it was listed."""


class NotOffered(ModelSyncError):
    """S3, or a store that speaks its protocol, does not offer a call or does not allow it."""


class SourceChanged(ModelSyncError):
    """A local file changed while it was uploaded."""


class SourceUnreadable(ModelSyncError):
    """A local file or directory cannot be read."""


class NoticeRefused(ModelSyncError):
    """A receiver answered that it will not have a notice."""


class ReadFailed(ModelSyncError):
    """A model cannot be read from the volume."""


class BadModelName(ReadFailed):
    """No model can have this name."""


class ModelNotFound(ReadFailed):
    """Nothing is published under the name, or not any more."""


class LeaseFailed(ReadFailed):
    """A published revision cannot be held."""


class WaitTimedOut(ReadFailed):
    """A model was not published in time."""


class NotPossible(ModelSyncError):
    """What an operator asked for cannot be done as things are."""


class Rejected(ModelSyncError):
    """The content must not be published.

    Attributes:
        rule: short name of the rule that refused it, a label in metrics.
        reason: one sentence.
    """

    def __init__(self, rule: str, reason: str) -> None:
        super().__init__(reason)
        self.rule = rule
        self.reason = reason


class Stopped(ModelSyncError):
    """The process is shutting down."""
