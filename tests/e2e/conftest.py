"""A volume beside a bucket, and a network between them; what is released."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes.proxy import Proxy
from modelsync import __version__
from modelsync.demo.emulator import Emulator
from support.distribution import ROOT, build
from support.worker import UNGATED, Setting


@pytest.fixture
def setting(tmp_path: Path, emulator: Emulator, bucket: Any) -> Iterator[Setting]:
    """A volume beside the test's bucket and queue."""
    base = tmp_path / "models"
    base.mkdir()
    environment = {
        **os.environ,
        **emulator.environment(bucket.place),
        "MODELS_BASE_PATH": str(base),
        # Long: what is there of a voice before its commit file must not be taken for the whole.
        "SETTLE_SECONDS": "30",
        "HTTP_HOST": "127.0.0.1",
        "HTTP_PORT": "0",
        "LOG_LEVEL": "debug",
        **UNGATED,
    }
    made = Setting(base, tmp_path, environment)
    yield made
    made.close()


@pytest.fixture
def proxy(emulator: Emulator, setting: Setting) -> Iterator[Proxy]:
    """A network between the worker and S3, but not SQS."""
    made = Proxy(emulator.url)
    setting.environment |= {"AWS_ENDPOINT_URL_S3": made.url, "AWS_ENDPOINT_URL_SQS": emulator.url}
    yield made
    made.close()


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the source distribution, which is built from the checkout."""
    place = tmp_path_factory.mktemp("distribution")
    build("sdist", ROOT, place)
    with tarfile.open(place / f"modelsync-{__version__}.tar.gz") as archive:
        archive.extractall(place, filter="data")
    build("wheel", place / f"modelsync-{__version__}", place)
    return place / f"modelsync-{__version__}-py3-none-any.whl"
