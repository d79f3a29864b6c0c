"""A bucket in memory, a real volume, and everything between, wired for one test."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from fakes.clock import VirtualClock
from fakes.store import FakeStore, FaultyStore
from modelsync.adapters.volume import LocalVolume
from modelsync.app.bandwidth import Bandwidth
from modelsync.app.board import Board
from modelsync.app.breaker import Breaker
from modelsync.app.collect import CollectOptions, Collector
from modelsync.app.compare import Comparison
from modelsync.app.decide import DecideOptions, Decider
from modelsync.app.dirty import DirtyModels, Work
from modelsync.app.fetch import Fetcher
from modelsync.app.namespace import Namespace
from modelsync.app.overrides import Overrides
from modelsync.app.patience import Patience
from modelsync.app.refetch import Refetcher
from modelsync.app.repair import Repairer
from modelsync.app.result import SyncResult
from modelsync.app.settling import SettleOptions
from modelsync.app.signatures import Signatures
from modelsync.app.spans import FetchOptions
from modelsync.app.sync import ModelSync, SyncOptions
from modelsync.app.trouble import VolumeHealth
from modelsync.app.verify import Verified, Verifier
from modelsync.app.vetting import Vetting
from modelsync.core.deletions import DeletionRules
from modelsync.core.facts import Fact
from modelsync.core.manifest import Reconciled
from modelsync.core.names import ModelId, Naming
from modelsync.core.plan import InForce
from modelsync.core.retention import RetentionRules, Verdict
from modelsync.core.rollback import Overridden
from modelsync.core.space import SpaceRules
from modelsync.ports.gate import Gate
from modelsync.ports.signing import SignatureVerifier

Told = TypeVar("Told")
PATIENCE = Patience(attempts=3)


class World:
    """Verbs: `upload`, `sync`, `read`, `compare`, `verify`, `repair`. `facts` is what was told meanwhile."""

    def __init__(
        self,
        base: Path,
        *,
        naming: Naming | None = None,
        settle_seconds: float = 0.0,
        store: FakeStore | None = None,
        concurrency: int = 4,
        min_free_bytes: int = 0,
        budget_bytes: int = 0,
        bandwidth: int = 0,
        volume: LocalVolume | None = None,
        rules: DeletionRules | None = None,
        retention: RetentionRules | None = None,
        stale_seconds: float = 86400.0,
        clock: VirtualClock | None = None,
        gate: Gate | None = None,
        keep_refused: bool = False,
        trusted: SignatureVerifier | None = None,
        require: bool = True,
    ) -> None:
        self.base = base
        self.clock = clock or VirtualClock()
        self.bucket = store or FakeStore()
        self.bucket.now = self.clock.now
        self.store = FaultyStore(self.bucket)
        self.volume = volume or LocalVolume(base, keep_refused=keep_refused)
        self.volume.check()
        self.facts: list[Fact] = []
        self.board = Board(self.clock)
        self.volume_health = VolumeHealth(self.observe)
        self.namespace = Namespace()
        self.naming = naming or Naming()
        self.stop = threading.Event()
        self.dirty = DirtyModels(self.clock)
        self.fetcher = Fetcher(
            self.store, FetchOptions(concurrency=concurrency, attempts=3), Bandwidth(bandwidth, self.clock)
        )
        self.rules = rules or DeletionRules()
        self.breaker = Breaker(self.volume, self.clock, self.observe, self.rules)
        self.space = SpaceRules(min_free_bytes, budget_bytes)
        self.collector = Collector(
            self.volume, self.clock, self.observe, CollectOptions(retention or RetentionRules(), self.space)
        )
        vetting = Vetting(self.volume, gate, None)
        signatures = trusted and Signatures(self.store, self.volume, trusted, self.naming, require)

        def in_force() -> InForce:
            return InForce(vetting.rules, signatures.signers() if signatures else "")

        self.sync_models = ModelSync(
            store=self.store,
            volume=self.volume,
            fetcher=self.fetcher,
            decider=Decider(
                store=self.store,
                volume=self.volume,
                namespace=self.namespace,
                clock=self.clock,
                observe=self.observe,
                options=DecideOptions(
                    self.naming,
                    SettleOptions(settle_seconds, stale_seconds),
                    deletions=self.rules,
                    patience=PATIENCE,
                ),
                in_force=in_force,
            ),
            breaker=self.breaker,
            clock=self.clock,
            observe=self.observe,
            make_room=self.collector.make_room,
            options=SyncOptions("s3://test/", self.space),
            vetting=vetting,
            signatures=signatures,
        )
        self.refetcher = Refetcher(
            bring=self.sync_models.bring,
            naming=self.naming,
            source="s3://test/",
            clock=self.clock,
            observe=self.observe,
        )
        self.overrides = Overrides(
            volume=self.volume,
            refetch=self.refetcher,
            make_room=self.collector.make_room,
            clock=self.clock,
            observe=self.observe,
            by="test",
            stop=self.stop,
            patience_seconds=5.0,
        )
        self.verifier = Verifier(self.volume)
        self.repairer = Repairer(self.volume, self.verifier, self.clock, self.observe)
        self.comparison = Comparison(
            store=self.store,
            volume=self.volume,
            namespace=self.namespace,
            naming=self.naming,
            breaker=self.breaker,
            rules=self.rules,
            clock=self.clock,
            observe=self.observe,
            in_force=in_force,
            patience=PATIENCE,
        )

    def observe(self, fact: Fact, /) -> None:
        self.facts.append(fact)
        self.board(fact)
        self.volume_health(fact)

    def told(self, kind: type[Told]) -> list[Told]:
        """All facts of a kind."""
        return [fact for fact in self.facts if isinstance(fact, kind)]

    def upload(self, model: str, files: Mapping[str, bytes]) -> None:
        """Upload files, without a commit file."""
        for name, content in files.items():
            self.bucket.put(f"{self.naming.prefix}{model}/{name}", content)

    def commit(self, model: str, files: Mapping[str, bytes]) -> None:
        """Upload the commit file of these files."""
        entries = [
            {"path": name, "size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in files.items()
        ]
        self.bucket.put(
            f"{self.naming.prefix}{model}/modelsync.json", json.dumps({"version": 1, "files": entries}).encode()
        )

    def remove(self, model: str) -> None:
        """Delete all objects of a model."""
        for remote in self.bucket.list(f"{self.naming.prefix}{model}/").objects:
            self.bucket.remove(remote.key)

    def sync(self, model: str, *, wanted: bool = False) -> SyncResult:
        """Sync one model, once."""
        work = Work(ModelId(model), f"sync-{len(self.facts)}", "test", None, 0, [], wanted=wanted)
        return self.sync_models.sync(work, stop=self.stop, beat=lambda: None)

    def rollback(self, model: str, to: str | None = None) -> Overridden:
        """Roll back, as the command does."""
        return self.overrides.rollback(ModelId(model), to)

    def compare(self) -> tuple[list[ModelId], Reconciled]:
        """Compare bucket and volume; return the models that need a look now. `later`: those that do later, and when."""
        marked: list[ModelId] = []
        self.later: dict[ModelId, float] = {}

        def mark(model: ModelId, delay_seconds: float) -> None:
            if delay_seconds > 0:
                self.later[model] = delay_seconds
            else:
                marked.append(model)

        return marked, self.comparison.run(mark, self.stop, lambda: None)

    def verify(self, model: str) -> Verified:
        """Read a model's revisions and hold them against their manifests."""
        return self.verifier.model(ModelId(model), lambda _count: None)

    def settle(self, model: str) -> None:
        """Act on everything that is wrong with a model, but for its rebuilding."""
        for revision, finding in self.verify(model).findings:
            if revision is not None:
                self.repairer.settle(ModelId(model), revision, [finding.path], lambda _count: None, stop=self.stop)

    def collect(self) -> list[Verdict]:
        """Remove what no rule keeps; return what was looked at."""
        return self.collector.sweep(lambda: None)

    def repair(self, model: str) -> SyncResult:
        """What `verify --repair` and the scrub do."""
        self.settle(model)
        return self.sync(model)

    def read(self, model: str) -> dict[str, bytes]:
        """Read a model as an application does: resolve once, then open everything below."""
        directory = (self.base / model).resolve(strict=True)
        return {
            path.relative_to(directory).as_posix(): path.read_bytes()
            for path in sorted(directory.rglob("*"))
            if path.is_file()
        }

    def home(self, model: str) -> Path:
        """Where modelsync keeps a model of a plain name."""
        return self.base / ".modelsync" / "models" / model
