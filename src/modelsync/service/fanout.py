"""One observer for several sinks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from modelsync.core.facts import Fact, Frequent
from modelsync.ports import Observer

_FREQUENT = frozenset(get_args(Frequent))


class FanOut:
    """Implements `ports.Observer`: hands each fact to all sinks, but the frequent ones only to those who want them."""

    def __init__(self, sinks: Sequence[Observer]) -> None:
        self._sinks: list[Observer] = []
        self._of_frequent: list[Observer] = []
        for sink in sinks:
            self.add(sink)

    def add(self, sink: Observer) -> None:
        """Tell one more sink, from now on."""
        self._sinks.append(sink)
        if getattr(sink, "wants_frequent", True):
            self._of_frequent.append(sink)

    def __call__(self, fact: Fact, /) -> None:
        """Hand a fact on."""
        for sink in self._of_frequent if type(fact) in _FREQUENT else self._sinks:
            sink(fact)
