"""Whom applications' notices go to, and who is asked before a revision is published."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

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
