"""A world for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.hostile_s3 import S3
from support.world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.fetcher.close()


@pytest.fixture
def s3() -> Iterator[S3]:
    """A server for one test, that does what it is told."""
    server = S3()
    yield server
    server.close()
