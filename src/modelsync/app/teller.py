"""Tells applications what readers see: facts become notices in each receiver's outbox."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

from modelsync.app.align import Aligner
from modelsync.app.outbox import Outbox, OutboxOptions
from modelsync.app.supervisor import Supervisor
from modelsync.core.facts import Fact, HealthChanged
from modelsync.core.health import notifications_check
from modelsync.core.names import ModelId
from modelsync.core.notices import Notice, notice_of
from modelsync.core.status import ModelStatus
from modelsync.ports import Clock, Observer
from modelsync.ports.telling import Follower, Receiver

_SILENCE_SECONDS = 120.0  # a receiver's name that is looked up, and its time-outs
_END_SECONDS = 1.0  # for what is under way to notice that it must end


class Teller:
    """Implements `ports.Observer`: takes what happened, and returns at once."""

    wants_frequent = False

    def __init__(
        self,
        receivers: Sequence[Receiver],
        *,
        clock: Clock,
        observe: Observer,
        heard: Callable[[Notice], None] = lambda _: None,
        known: Callable[[], Mapping[ModelId, ModelStatus]] | None = None,
        options: OutboxOptions | None = None,
    ) -> None:
        """Make it.

        Args:
            receivers: each has a queue and a thread of its own, so that none waits for another.
            clock: for times and waits.
            observe: told what became of the notices.
            heard: called with every notice, at once.
            known: what readers see, for receivers that are brought to it after each comparison; None: none is.
            options: bounds of each queue.
        """
        self._clock = clock
        self._observe = observe
        self._heard = heard
        self._outboxes = [
            Outbox(
                receiver, clock=clock, observe=observe, options=options or OutboxOptions(), changed=self._tell_health
            )
            for receiver in receivers
        ]
        self._aligners = [
            Aligner(receiver, known, clock=clock, changed=self._tell_health)
            for receiver in receivers
            if known is not None and isinstance(receiver, Follower)
        ]
        self._stop = threading.Event()

    def __call__(self, fact: Fact, /) -> None:
        """Take a fact."""
        for aligner in self._aligners:
            aligner(fact)
        if (notice := notice_of(fact, self._clock.now())) is not None:
            self._heard(notice)
            for outbox in self._outboxes:
                outbox.put(notice)

    @property
    def has_receivers(self) -> bool:
        """Whether anybody is to be told."""
        return bool(self._outboxes)

    def start(self, supervisor: Supervisor) -> None:
        """Begin to tell, in threads under the supervisor."""
        for outbox in self._outboxes:
            supervisor.spawn(f"tell-{outbox.name}", outbox.run, self._stop, silence_seconds=_SILENCE_SECONDS)
        for aligner in self._aligners:
            supervisor.spawn(f"align-{aligner.name}", aligner.run, self._stop, silence_seconds=_SILENCE_SECONDS)
        if self._outboxes:
            self._tell_health()

    def finish(self, supervisor: Supervisor, seconds: float) -> None:
        """Hand over what waits, within a bounded time; what is left then is counted as dropped."""
        deadline = self._clock.monotonic() + seconds
        for outbox in self._outboxes:
            outbox.finish(deadline)
        self._stop.set()
        for loops in ("tell-", "align-"):
            supervisor.join(loops, deadline + _END_SECONDS)

    def _tell_health(self) -> None:
        told = [(one.name, one.trouble) for one in self._aligners] + [(one.name, one.trouble) for one in self._outboxes]
        troubled = {name: trouble for name, trouble in told if trouble is not None}
        self._observe(HealthChanged("notifications", *notifications_check(troubled)))
