"""`modelsync run`: the service's life from preflight to exit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import SimpleQueue

from modelsync import __version__
from modelsync.adapters.clock import SystemClock
from modelsync.adapters.sqs import SqsQueue, sqs_client
from modelsync.adapters.volume import LocalVolume
from modelsync.app.board import Board
from modelsync.app.consumer import Consumer
from modelsync.app.consumers import Consumers
from modelsync.app.feed import Feed
from modelsync.app.janitor import Janitor
from modelsync.app.models import Models
from modelsync.app.overrides import Overrides
from modelsync.app.reconcile import Reconciler
from modelsync.app.scrub import Scrubber
from modelsync.app.sightings import Sightings
from modelsync.app.supervisor import Supervisor
from modelsync.app.teller import Teller
from modelsync.app.worker import Worker
from modelsync.config import options
from modelsync.config.load import Configuration
from modelsync.core.facts import HealthChanged, ServiceStarted, ServiceStopping
from modelsync.core.grace import TELL_SECONDS, share
from modelsync.core.health import Status, queue_check
from modelsync.core.names import ModelId
from modelsync.core.rollback import Overridden
from modelsync.errors import TryAgain
from modelsync.ports import Observer
from modelsync.service.fanout import FanOut
from modelsync.service.parts import Parts, build_parts, preflight
from modelsync.service.telling import build_teller
from modelsync.telemetry.logs import FactLogger, log
from modelsync.telemetry.metrics import Metrics
from modelsync.web.api import Views, make_api
from modelsync.web.server import HttpServer
from modelsync.web.writing import Commands

_WORKER_SILENCE_SECONDS = 300.0  # a hung fsync on NFS is not yet a dead worker
_RECEIVE_SILENCE_SECONDS = 120.0  # a long poll with its retries
_SILENCE_SECONDS = 60.0
COMPARE = "compare"
_BUSY_PATIENCE_SECONDS = 10.0


@dataclass
class Service:
    """A service that is put together. `http.port` tells where it listens."""

    configuration: Configuration
    parts: Parts
    reconciler: Reconciler
    supervisor: Supervisor
    consumers: Sequence[Consumer]
    http: HttpServer
    wakes: SimpleQueue[str]
    teller: Teller
    feed: Feed
    consuming: Consumers
    stop: threading.Event

    @classmethod
    def build(
        cls, configuration: Configuration, *, wakes: SimpleQueue[str] | None = None, sinks: Sequence[Observer] = ()
    ) -> Service:
        """Put everything together and try what can be tried.

        Args:
            configuration: what it goes by.
            wakes: `COMPARE` put in asks for a comparison, anything else ends the service and says why.
            sinks: told all facts, beside logs and metrics.

        Raises:
            ConfigurationError: with all that an operator needs to know.
        """
        clock, settings = SystemClock(), configuration.settings
        board, feed = Board(clock), Feed(clock, options.origin(settings))
        consuming = Consumers(LocalVolume(settings.models_base_path), clock, board.models)
        metrics = Metrics(board.models, consuming.rollouts)
        sinks = [metrics, FactLogger(), feed, *sinks]
        teller = build_teller(settings, FanOut([board, *sinks]), feed.notice, board.models)
        parts = build_parts(configuration, board=board, sinks=[*sinks, teller, Sightings(FanOut(sinks))])
        preflight(parts)
        reconciler = Reconciler(
            comparison=parts.comparison,
            volume=parts.volume,
            dirty=parts.dirty,
            clock=parts.clock,
            observe=parts.observe,
            interval_seconds=configuration.settings.reconcile_interval_seconds,
        )
        wakes = wakes or SimpleQueue()
        supervisor = Supervisor(parts.clock, on_failure=lambda name: wakes.put(f"{name} failed"))
        models = Models(parts.volume, board.models, consuming)
        views = Views(
            checks=board.checks,
            not_ready=_readiness(board),
            silent=supervisor.silent,
            metrics=metrics.render,
            model=models.one,
            models=models.page,
            states=models.states,
            activity=feed.activity,
            subscribe=feed.subscribe,
            report=consuming.report,
        )
        consumers = _consumers(configuration, parts)
        stop = threading.Event()
        http_options = options.http(configuration.settings)
        http = HttpServer(http_options, make_api(views, _commands(parts, stop, http_options.token, reconciler)))
        return cls(configuration, parts, reconciler, supervisor, consumers, http, wakes, teller, feed, consuming, stop)

    def run(self) -> int:
        """Run until `stop` is called or a loop fails; return the exit code."""
        draining, stop = threading.Event(), self.stop
        self._start(draining, stop)
        # SimpleQueue is the one thing that a signal handler may touch at any moment.
        while (why := self.wakes.get()) == COMPARE:
            self.reconciler.ask()
        failure = self.supervisor.failure
        self.parts.observe(ServiceStopping(f"{failure[0]} failed" if failure else why))
        self._end(draining, stop, self.configuration.settings.shutdown_grace_seconds)
        if failure is not None:
            log("error", "a loop failed", loop=failure[0], exc_info=failure[1])
            return 1
        return 0

    def _start(self, draining: threading.Event, stop: threading.Event) -> None:
        parts, spawn = self.parts, self.supervisor.spawn
        parts.observe(
            ServiceStarted(
                __version__,
                self.configuration.settings.s3_bucket_name,
                tuple(consumer.name for consumer in self.consumers),
                str(self.configuration.settings.models_base_path),
                self.http.port,
            )
        )
        self.http.start()
        self.teller.start(self.supervisor)
        parts.gate.warm()
        for number in range(self.configuration.settings.sync_workers):
            worker = Worker(parts.dirty, parts.sync, parts.observe)
            spawn(f"worker-{number}", worker.run, stop, silence_seconds=_WORKER_SILENCE_SECONDS)
        spawn("reconcile", self.reconciler.run, draining, silence_seconds=_RECEIVE_SILENCE_SECONDS)
        janitor = Janitor(parts.volume, parts.clock, parts.observe)
        spawn("janitor", janitor.run, draining, silence_seconds=_WORKER_SILENCE_SECONDS)
        spawn("collect", parts.collector.run, draining, silence_seconds=_WORKER_SILENCE_SECONDS)
        if options.http(self.configuration.settings).token is not None:
            spawn("consumers", self.consuming.run, draining, silence_seconds=_WORKER_SILENCE_SECONDS)
        if (rate := self.configuration.settings.scrub_bytes_per_second) > 0:
            scrubber = Scrubber(
                volume=parts.volume, dirty=parts.dirty, clock=parts.clock, observe=parts.observe, bytes_per_second=rate
            )
            spawn("scrub", scrubber.run, draining, silence_seconds=_WORKER_SILENCE_SECONDS)
        for consumer in self.consumers:
            spawn(f"receive-{consumer.name}", consumer.receive, draining, silence_seconds=_RECEIVE_SILENCE_SECONDS)
            spawn(f"keep-{consumer.name}", consumer.keep, stop, silence_seconds=_RECEIVE_SILENCE_SECONDS)

    def _end(self, draining: threading.Event, stop: threading.Event, grace_seconds: float) -> None:
        """Stop receiving, return what is untouched, end or park syncs, return the rest, tell of it, in that order."""
        now, grace = self.parts.clock.monotonic(), share(grace_seconds, telling=self.teller.has_receivers)
        park_at, work_until = now + grace.park_seconds, now + grace.work_seconds
        draining.set()
        working_on = self.parts.dirty.close()
        # A poll that still runs would take back what is returned now.
        self.supervisor.join("receive-", park_at)
        self._release(park_at, working_on)
        if not self.parts.dirty.drain(park_at):
            stop.set()
            self.parts.store.close()
            self.parts.dirty.drain(work_until)
        self.supervisor.join("receive-", work_until)
        stop.set()
        self._release(work_until)
        for loop in ("scrub", "collect"):
            self.supervisor.join(loop, work_until)
        self.parts.close()
        left_seconds = now + grace_seconds - self.parts.clock.monotonic()
        self.teller.finish(self.supervisor, max(min(left_seconds, TELL_SECONDS), 0.0))
        self.feed.close()
        self.http.stop()

    def _release(self, deadline: float, working_on: frozenset[ModelId] = frozenset()) -> None:
        """Return messages, of all queues side by side: one that hangs must not hold the others' messages."""
        releases = [
            threading.Thread(target=consumer.release, args=[working_on], daemon=True) for consumer in self.consumers
        ]
        for release in releases:
            release.start()
        for release in releases:
            release.join(max(deadline - self.parts.clock.monotonic(), 0.0))


def _commands(parts: Parts, stop: threading.Event, token: str | None, reconciler: Reconciler) -> Commands:
    """What the API may do; `stop` parks it."""
    overrides = Overrides(
        volume=parts.volume,
        refetch=parts.refetch,
        make_room=parts.collector.make_room,
        clock=parts.clock,
        observe=parts.observe,
        by="API",
        stop=stop,
        patience_seconds=_BUSY_PATIENCE_SECONDS,
    )

    def unpin(model: ModelId) -> Overridden:
        answer = overrides.unpin(model)
        if answer.changed:
            parts.dirty.mark(model, why="unpinned")
        return answer

    def sync(model: ModelId, recheck: bool) -> None:  # noqa: FBT001 - as the API calls it
        if recheck:
            overrides.recheck(model)
        parts.dirty.mark(model, why="API", wanted=True)

    return Commands(
        token=token,
        sync=sync,
        rollback=overrides.rollback,
        pin=overrides.pin,
        unpin=unpin,
        reconcile=reconciler.ask,
    )


def _consumers(configuration: Configuration, parts: Parts) -> list[Consumer]:
    queues = options.queues(configuration)
    if not queues:
        return []
    client = sqs_client(parts.session)
    consumers = []
    for queue_options in queues:
        queue = SqsQueue(queue_options, client)
        try:
            queue.check()
        except TryAgain as error:
            parts.observe(HealthChanged(f"queue:{queue.name}", Status.DEGRADED, str(error)))
        else:
            status, reason = queue_check("the queue answers", redrives=queue.redrives, unreadable=False)
            parts.observe(HealthChanged(f"queue:{queue.name}", status, reason))
        consumers.append(
            Consumer(
                queue,
                parts.dirty,
                clock=parts.clock,
                observe=parts.observe,
                options=options.consumer(configuration.settings),
            )
        )
    return consumers


def _readiness(board: Board) -> Callable[[], str | None]:
    """Readiness from what is known already: a probe must not wait for a volume that hangs."""

    def not_ready() -> str | None:
        volume = board.checks().get("volume")
        if volume is not None and volume.status is Status.UNHEALTHY:
            return f"the volume cannot be read: {volume.reason}"
        if not board.reconciled:
            return "no comparison with the bucket has ever finished on this volume"
        return None

    return not_ready
