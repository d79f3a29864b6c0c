"""Who judges a model's content before readers see it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from modelsync.core.judgement import Judgement
from modelsync.core.limits import GateLimits
from modelsync.core.names import RelPath
from modelsync.ports.telling import Attend


class Gate(Protocol):
    """Judges models by their files. Called by any thread."""

    @property
    def rules(self) -> str:
        """Names what it goes by: what other rules let pass, or refused, has to be judged again."""
        ...

    @property
    def limits(self) -> GateLimits:
        """How large a model may be: those who know its size beforehand need not fetch it."""
        ...

    def warm(self) -> None:
        """Make ready for a model that will come soon. Takes no time, and never raises."""
        ...

    def judge(self, directory: str, files: Mapping[RelPath, int], attend: Attend) -> Judgement:
        """Judge a model, within a time that its size bounds.

        Content on which the judging itself fails, again and again, is refused.

        Args:
            directory: where its files are.
            files: their sizes in bytes by their paths.
            attend: called several times a second; what it raises ends the judging.

        Raises:
            GateFailed: nobody can judge now; try again.
            VolumeFailed: a file cannot be read.
            Stopped: `attend` said so.
        """
        ...
