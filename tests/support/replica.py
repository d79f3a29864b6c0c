"""One of several workers on a volume and a queue, whose loops a test runs pass by pass, in its own thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from fakes.clock import VirtualClock
from fakes.queue import FakeQueue
from fakes.store import FakeStore
from modelsync.app.consumer import Consumer, ConsumerOptions
from modelsync.app.dirty import DirtyModels, Work
from modelsync.app.progress import Beat
from modelsync.app.reconcile import Reconciler
from modelsync.app.worker import Worker
from modelsync.core.deletions import DeletionRules
from modelsync.core.facts import Fact, ReconcileFailed, ReconcileFinished
from support.world import World

BUCKET = "test"
SETTLE_SECONDS = 2.0
INTERVAL_SECONDS = 300.0


class _Break(DirtyModels):
    """Ends a worker's pass where no model is due."""

    def take(self, beat: Beat) -> Work | None:
        with self._changed:
            model, _ = self._next()
            return None if model is None else self._hand_out(model)


class Replica(World):
    """Verbs: `receive`, `work`, `keep`, `reconcile`, `end`."""

    def __init__(
        self, base: Path, bucket: FakeStore, queue: FakeQueue, clock: VirtualClock, rules: DeletionRules
    ) -> None:
        self.on_fact: Callable[[Fact], None] = lambda _fact: None
        super().__init__(
            base, store=bucket, clock=clock, rules=rules, settle_seconds=SETTLE_SECONDS, concurrency=1
        )  # fmt: skip
        self.dirty = _Break(clock)
        self.worker = Worker(self.dirty, self.sync_models, self.observe)
        self.consumer = Consumer(
            queue,
            self.dirty,
            clock=clock,
            observe=self.observe,
            options=ConsumerOptions(BUCKET, self.naming, SETTLE_SECONDS),
        )
        self.reconciler = Reconciler(
            comparison=self.comparison, volume=self.volume, dirty=self.dirty, clock=clock,
            observe=self.observe, interval_seconds=INTERVAL_SECONDS,
        )  # fmt: skip

    def observe(self, fact: Fact, /) -> None:
        super().observe(fact)
        self.on_fact(fact)

    def receive(self) -> None:
        """Ask the queue once."""
        _once(self.consumer.receive)

    def keep(self) -> None:
        """Delete what is settled, and extend the rest if it is time."""
        _once(self.consumer.keep)

    def work(self) -> None:
        """Sync every model that is due."""
        self.worker.run(self.stop, lambda: None)

    def reconcile(self, pace: int) -> None:
        """Compare once, and sync what is due at each `pace`-th beat of the comparison."""
        ended = threading.Event()
        told = len(self.facts)
        beats = 0

        def beat() -> None:
            nonlocal beats
            beats += 1
            if self.stop.is_set() or any(
                isinstance(fact, ReconcileFinished | ReconcileFailed) for fact in self.facts[told:]
            ):
                ended.set()
            elif beats % pace == 0:
                self.work()

        self.reconciler.run(ended, beat)

    def end(self) -> None:
        """What SIGTERM does after the work is parked."""
        self.consumer.release()


def _once(loop: Callable[[threading.Event, Beat], None]) -> None:
    stop = threading.Event()
    loop(stop, stop.set)
