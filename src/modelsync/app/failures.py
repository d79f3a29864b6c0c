"""What fails in a round over many models."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from modelsync.core.names import ModelId
from modelsync.core.words import some
from modelsync.errors import VolumeFailed


class Failures:
    """One model that fails does not keep the others from their turn: it is told at the end. For one thread."""

    def __init__(self) -> None:
        self._found: dict[ModelId, VolumeFailed] = {}

    @contextmanager
    def aside(self, model: ModelId) -> Iterator[None]:
        """Put a failure of the volume aside that comes up within: it is this model's."""
        try:
            yield
        except VolumeFailed as error:
            self._found.setdefault(model, error)

    def summary(self) -> VolumeFailed | None:
        """All that was put aside, as one; None: nothing was."""
        if not self._found:
            return None
        first, *others = self._found.values()
        also = f"; {some(self._found)} failed" if others else ""
        return VolumeFailed(f"{first}{also}", first.reason)

    def tell(self) -> None:
        """Raise what was put aside.

        Raises:
            VolumeFailed: something was.
        """
        if (failed := self.summary()) is not None:
            raise failed
