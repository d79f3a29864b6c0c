"""One observer for several sinks."""

from __future__ import annotations

from collections.abc import Sequence

from modelsync.core.facts import Fact
from modelsync.ports import Observer


class FanOut:
    """Implements `ports.Observer`: hands each fact to all sinks."""

    def __init__(self, sinks: Sequence[Observer]) -> None:
        self._sinks = list(sinks)

    def add(self, sink: Observer) -> None:
        """Tell one more sink, from now on."""
        self._sinks.append(sink)

    def __call__(self, fact: Fact, /) -> None:
        """Hand a fact on."""
        for sink in self._sinks:
            sink(fact)
