"""Checksums that need a file's bytes one after the other, while its parts arrive side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

from modelsync.app.checksums import Hasher
from modelsync.core.parts import Span
from modelsync.core.proof import Expected
from modelsync.ports import StagedFile


class InOrder:
    """Follows the parts as they arrive, in the threads that bring them; one of them at a time.

    A part that arrives while it is the next one is taken as it passes, from the buffers. What came before its turn is
    read from the file, by whoever brought what it waited for, while the others go on. Thread-safe.
    """

    def __init__(self, staged: StagedFile, spans: Sequence[Span], check: Callable[[], None]) -> None:
        """Make it.

        Args:
            staged: the file.
            spans: its parts, in order.
            check: called while bytes are read; what it raises ends the reading.
        """
        self._staged = staged
        self._spans = spans
        self._check = check
        self._lock = threading.Lock()
        self._hashers: Mapping[Expected, Hasher] = {}
        self._arrived: set[Span] = set()
        self._taken = 0
        self._busy = False
        self._all_there = False

    def begin(self, hashers: Mapping[Expected, Hasher]) -> None:
        """Say what is to be computed; without a call that is nothing."""
        with self._lock:
            self._hashers = hashers

    @contextmanager
    def passing(self, span: Span) -> Iterator[Collection[Hasher]]:
        """What must be given the bytes of a part as they pass, while it is brought: nothing if it is not its turn."""
        with self._lock:
            mine = bool(self._hashers) and not self._busy and self._next() == span
            self._busy = self._busy or mine
        if not mine:
            yield ()
            return
        yield self._hashers.values()
        with self._lock:  # not after an error: the bytes may be half taken
            self._taken += 1
            self._busy = False

    def follow(self, span: Span | None, *, all_there: bool) -> bool:
        """Take what is in order by now, unless another thread is at it: that one goes on.

        Args:
            span: the part that has arrived, if one has.
            all_there: so has everything else.

        Returns:
            Whether all is there and taken; so much is told to one caller alone.
        """
        with self._lock:
            self._arrived |= {span} if span else set()
            self._all_there = self._all_there or all_there
        while True:
            with self._lock:
                following = self._next() if self._hashers else None
                if self._busy or (following not in self._arrived and not self._all_there):
                    return False
                self._busy = True  # for ever, for whoever finds that nothing is left
            if following is None:
                return True
            for chunk in self._staged.read(following):
                self._check()
                for each in self._hashers.values():
                    each.update(chunk)
            self._staged.let_go(following)
            with self._lock:
                self._taken += 1
                self._busy = False

    def _next(self) -> Span | None:
        return self._spans[self._taken] if self._taken < len(self._spans) else None

    def value(self, demand: Expected) -> str | None:
        """A checksum, once `follow` has told that all is taken; None if it is not among them."""
        found = self._hashers.get(demand)
        return None if found is None else found.value()
