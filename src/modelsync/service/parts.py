"""What every command that syncs is made of."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from modelsync.adapters.aws import AwsSession
from modelsync.adapters.clock import SystemClock
from modelsync.adapters.gate import CheckerGate
from modelsync.adapters.s3 import S3Store
from modelsync.adapters.volume import LocalVolume
from modelsync.app.bandwidth import Bandwidth
from modelsync.app.board import Board
from modelsync.app.breaker import Breaker
from modelsync.app.collect import Collector
from modelsync.app.compare import Comparison
from modelsync.app.decide import Decider
from modelsync.app.dirty import DirtyModels
from modelsync.app.fetch import Fetcher
from modelsync.app.namespace import Namespace
from modelsync.app.refetch import Refetcher
from modelsync.app.sync import ModelSync
from modelsync.app.trouble import VolumeHealth
from modelsync.app.vetting import Vetting
from modelsync.config import options
from modelsync.config.load import Configuration
from modelsync.core.plan import InForce
from modelsync.errors import TryAgain
from modelsync.ports import Observer
from modelsync.service.fanout import FanOut
from modelsync.service.signing import signatures
from modelsync.service.telling import publish_hook


@dataclass(frozen=True)
class Parts:
    """The parts that syncing needs, wired."""

    clock: SystemClock
    board: Board
    observe: Observer
    session: AwsSession
    store: S3Store
    volume: LocalVolume
    dirty: DirtyModels
    fetcher: Fetcher
    gate: CheckerGate
    sync: ModelSync
    comparison: Comparison
    refetch: Refetcher
    collector: Collector

    def close(self) -> None:
        """Let go of threads and connections."""
        self.fetcher.close()
        self.gate.close()
        self.store.close()


def build_parts(configuration: Configuration, *, board: Board, sinks: Sequence[Observer]) -> Parts:
    """Put the parts together; nothing runs yet.

    Raises:
        ConfigurationError: region or endpoint cannot be, or those who may sign cannot be read.
    """
    settings = configuration.settings
    clock = SystemClock()
    observe = FanOut([board, *sinks])
    observe.add(VolumeHealth(observe))
    session = AwsSession(options.aws(settings))
    store = S3Store(options.s3(settings), session, observe)
    volume = LocalVolume(settings.models_base_path, keep_refused=settings.quarantine_keep_files)
    dirty = DirtyModels(clock)
    namespace = Namespace()
    breaker = Breaker(volume, clock, observe, options.deletions(settings))
    collector = Collector(volume, clock, observe, options.collect(settings))
    observe.add(collector)
    gate = CheckerGate(options.gate(settings), observe)
    vetting = Vetting(volume, gate, publish_hook(settings, observe))
    judges = signatures(settings, store, volume)

    def in_force() -> InForce:
        return InForce(vetting.rules, judges.signers() if judges else "")

    fetcher = Fetcher(store, options.fetch(settings), Bandwidth(settings.bandwidth_limit_bytes_per_second, clock))
    sync = ModelSync(
        store=store,
        volume=volume,
        fetcher=fetcher,
        decider=Decider(
            store=store,
            volume=volume,
            namespace=namespace,
            clock=clock,
            observe=observe,
            options=options.decide(settings),
            in_force=in_force,
        ),
        breaker=breaker,
        clock=clock,
        observe=observe,
        make_room=collector.make_room,
        options=options.sync(settings),
        vetting=vetting,
        signatures=judges,
    )
    return Parts(
        clock=clock,
        board=board,
        observe=observe,
        session=session,
        store=store,
        volume=volume,
        dirty=dirty,
        fetcher=fetcher,
        gate=gate,
        sync=sync,
        comparison=Comparison(
            store=store,
            volume=volume,
            namespace=namespace,
            naming=options.naming(settings),
            breaker=breaker,
            rules=options.deletions(settings),
            clock=clock,
            observe=observe,
            in_force=in_force,
        ),
        refetch=Refetcher(
            bring=sync.bring,
            naming=options.naming(settings),
            source=options.sync(settings).source,
            clock=clock,
            observe=observe,
        ),
        collector=collector,
    )


def preflight(parts: Parts) -> None:
    """Try volume and bucket before anything starts.

    Raises:
        ConfigurationError: what cannot mend itself: no volume, no such bucket, a wrong region.
    """
    # What fails now may come back: the service starts degraded, with what is on the volume.
    with suppress(TryAgain):
        parts.volume.check()
        parts.volume.sweep()
    with suppress(TryAgain):
        parts.store.check()
