"""Whom applications' notices go to, and who is asked before a revision is published."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

from modelsync.core.cluster import Standing
from modelsync.core.names import ModelId
from modelsync.core.notices import Notice
from modelsync.core.objects import Revision

Attend = Callable[[], None]
"""Called about every second while something lasts; raises `Stopped` when it must end."""


class Receiver(Protocol):
    """Takes notices, one at a time. The same notice may come twice."""

    @property
    def name(self) -> str:
        """Its name in logs, metrics and health; no secret is in it."""
        ...

    def tell(self, notice: Notice, attend: Attend) -> None:
        """Hand over a notice, within a bounded time.

        Raises:
            NotTold: try again.
            NoticeRefused: do not.
            Stopped: `attend` said so.
        """
        ...


@runtime_checkable
class Follower(Protocol):
    """A receiver whose state can be held against what is published. Called by one thread, beside `tell`."""

    @property
    def name(self) -> str:
        """Its name in health."""
        ...

    def align(self, published: Mapping[ModelId, Standing], attend: Attend) -> None:
        """Bring it to what readers see, if it is not there. Idempotent.

        Raises:
            NotTold: try again.
            NoticeRefused: there is nobody to be brought anywhere.
            Stopped: `attend` said so.
        """
        ...


class PublishHook(Protocol):
    """Has the last word before a revision is sealed. Called by any thread."""

    def vet(self, model: ModelId, revision: Revision, directory: str, attend: Attend) -> None:
        """Judge a revision whose files are complete and verified, in a directory that nobody else reads.

        Raises:
            Rejected: rule `hook`; it must not be published.
            HookFailed: nobody can say; try again.
            Stopped: `attend` said so.
        """
        ...
