"""What all tests share."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import settings

from modelsync.demo.emulator import ENVIRONMENT, Emulator, Place
from support.localstack import LocalStack, of_this_run
from support.required import VARIABLE
from support.rights import heed_file_modes

# No deadline: a busy machine is no failure. Derandomised: a run can be repeated.
settings.register_profile("modelsync", deadline=None, derandomize=True, max_examples=200)
settings.load_profile("modelsync")
# `--hypothesis-profile=search` looks for what the others have not met yet, for some minutes.
settings.register_profile("search", deadline=None, derandomize=False, max_examples=10_000, print_blob=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the switch that writes golden files anew."""
    parser.addoption("--write-golden", action="store_true", help="write what golden files expect, instead of comparing")


@pytest.fixture(scope="session", autouse=True)
def _clean_environment() -> None:
    """No test may meet the credentials, proxies or certificates of the machine that it runs on."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "SSL_CERT_", VARIABLE)) or name.lower().endswith("_proxy"):
            del os.environ[name]
    os.environ.update(ENVIRONMENT, AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull)


@pytest.fixture(scope="session", autouse=True)
def _no_right_that_the_worker_lacks() -> None:
    """Root would write to read-only files and never notice."""
    heed_file_modes()


@pytest.fixture(scope="session")
def emulator() -> Iterator[Emulator]:
    """One moto server for all tests: each makes a bucket of its own."""
    with Emulator() as running:
        yield running


@pytest.fixture(scope="session")
def localstack(tmp_path_factory: pytest.TempPathFactory) -> LocalStack:
    """One LocalStack for all tests of all workers: what moto cannot do is tested there."""
    return of_this_run(tmp_path_factory)


@dataclass(frozen=True)
class Bucket:
    """A bucket with a queue that hears of its changes."""

    emulator: Emulator
    place: Place
    s3: Any
    sqs: Any

    @property
    def name(self) -> str:
        return self.place.bucket

    def put(self, key: str, content: bytes, **more: str) -> None:
        """Upload an object."""
        self.s3.put_object(Bucket=self.name, Key=key, Body=content, **({"ChecksumAlgorithm": "CRC64NVME"} | more))

    def messages(self) -> tuple[int, int]:
        """How many messages are visible, and how many in flight."""
        attributes = self.sqs.get_queue_attributes(QueueUrl=self.place.queue_url, AttributeNames=["All"])["Attributes"]
        return (
            int(attributes["ApproximateNumberOfMessages"]),
            int(attributes["ApproximateNumberOfMessagesNotVisible"]),
        )


@pytest.fixture
def bucket(emulator: Emulator) -> Bucket:
    """A bucket and a queue for one test."""
    place = emulator.make_place(f"test-{uuid.uuid4().hex[:12]}")
    return Bucket(emulator, place, emulator.client("s3"), emulator.client("sqs"))
