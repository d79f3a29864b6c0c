"""What `modelsync doctor` needs of the world, beside what the work needs.

As everywhere, adapters translate what foreign libraries throw into `ModelSyncError`s.
"""

from __future__ import annotations

from typing import Protocol

from modelsync.core.doctor.bucket import Reached
from modelsync.core.doctor.identity import Identity
from modelsync.core.doctor.notification import Notification
from modelsync.core.doctor.queue import QueueState
from modelsync.core.doctor.volume import Abilities, Rights, Room
from modelsync.core.mounts import Mount


class Identification(Protocol):
    """Credentials."""

    def identity(self) -> Identity:
        """Where they come from and when they end.

        Raises:
            StoreDenied: there are none, or they cannot be had now.
        """
        ...


class BucketInspection(Protocol):
    """A bucket's settings.

    Raises, from every method:
        StoreUnavailable: S3 did not answer.
        StoreDenied: it refuses the credentials.
    """

    @property
    def where(self) -> str:
        """The endpoint's host and port."""
        ...

    def reach(self) -> Reached:
        """Ask for the bucket without a signature."""
        ...

    def versioning(self) -> str:
        """`Enabled`, `Suspended`, or empty where it was never on.

        Raises:
            NotOffered: the store has no such setting, or does not let us see it.
        """
        ...

    def notification(self) -> Notification:
        """Where the bucket sends its events.

        Raises:
            NotOffered: as for `versioning`.
        """
        ...


class QueueInspection(Protocol):
    """A queue, looked at without receiving from it.

    Raises, from every method:
        QueueUnavailable: SQS failed or did not answer.
        QueueMissing: there is no such queue.
    """

    @property
    def name(self) -> str:
        """As in `SQS_<NAME>_QUEUE_URL`, in lower case."""
        ...

    @property
    def url(self) -> str:
        """Its address."""
        ...

    def state(self) -> QueueState:
        """Its attributes.

        Raises:
            NotOffered: they may not be read.
        """
        ...

    def refused(self) -> tuple[str, ...]:
        """The permissions on messages that SQS denies, such as `sqs:ReceiveMessage`. No message is touched."""
        ...


class VolumeInspection(Protocol):
    """The volume.

    Raises, from every method:
        VolumeFailed: the file system refused.
    """

    def mount(self) -> Mount | None:
        """What is mounted at its path; None if that cannot be told.

        Raises:
            VolumeUnusable: there is no directory.
        """
        ...

    def room(self) -> Room:
        """What is free."""
        ...

    def rights(self) -> Rights:
        """Who we are, and whose the directory is that we write into."""
        ...

    def trial(self) -> Abilities:
        """Do everything that publication does, in a directory that is removed again.

        Raises:
            VolumeUnusable: it cannot be done there.
        """
        ...


class GateInspection(Protocol):
    """The gate."""

    def try_out(self) -> str | None:
        """Start a process that checks models, and end it; return what it could not be kept from, or None.

        Raises:
            GateFailed: it does not start.
        """
        ...
