"""A worker's parts on a real volume, with a real client of a server that does what it is told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fakes.hostile_s3 import BUCKET, S3
from modelsync.adapters.aws import AwsOptions, AwsSession
from modelsync.adapters.s3 import S3Options, S3Store
from modelsync.adapters.s3.connections import Timeouts
from modelsync.core.facts import RequestRetried
from support.world import World


class HostileWorld(World):
    """A world whose bucket is `s3`. Waits between attempts take no time."""

    def __init__(self, base: Path, s3: S3, *, concurrency: int = 4, bandwidth: int = 0) -> None:
        super().__init__(base, concurrency=concurrency, bandwidth=bandwidth)
        self.s3 = s3
        self.client = self._client(10.0)

    def _client(self, patience_seconds: float) -> S3Store:
        session = AwsSession(AwsOptions("us-east-1", self.s3.url))
        timeouts = Timeouts(connect=5.0, read=patience_seconds, crawl=patience_seconds, page=patience_seconds)
        self.store._store = client = S3Store(S3Options(BUCKET, timeouts=timeouts), session, self.observe)
        return client

    def wait_no_longer_than(self, patience_seconds: float) -> None:
        """Give the network's answers so much time from now on: little where they never come, else much."""
        self.client.close()
        self.client = self._client(patience_seconds)

    def put(self, files: Mapping[str, bytes], *, model: str = "alice") -> None:
        """Upload files, without a commit file; no listing shows some of them only."""
        with self.s3.lock:
            for name, content in files.items():
                self.s3.put(f"{model}/{name}", content)

    def waits(self) -> list[float]:
        """Seconds between attempts, as they were told."""
        return [fact.wait_seconds for fact in self.facts if isinstance(fact, RequestRetried)]

    def close(self) -> None:
        self.fetcher.close()
        self.client.close()


def sentence(reason: str) -> str:
    """A reason, if it is one clear sentence."""
    assert reason.isprintable(), reason
    assert 10 < len(reason) < 400, reason
    assert "Error(" not in reason, reason
    return reason
