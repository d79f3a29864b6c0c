"""Rounds over all scenarios and peers, interleaved, each run into a fresh directory on the disk."""

from __future__ import annotations

import os
import random
import shutil
import sys
from pathlib import Path

from bench import standin
from bench.transfer import install, process
from bench.transfer.peers import Job, Peer
from bench.transfer.process import FailedError
from bench.transfer.results import Results
from bench.transfer.scenarios import Scenario
from bench.transfer.server import Server, serve

WARM_BYTES = 4 << 30
VOLUME = install.CACHE / "volume"
ASIDE = install.CACHE / "aside"


def measure_all(scenarios: list[Scenario], peers: list[Peer], rounds: int) -> Results:
    """Install the peers, warm up by an uncounted round in which every byte is compared, and measure.

    Raises:
        MissingError: the server cannot be had.
    """
    results = Results()
    present = [peer for peer in peers if installed(peer, results)]
    buckets = list(dict.fromkeys(scenario.bucket for scenario in scenarios))
    shutil.rmtree(VOLUME, ignore_errors=True)
    shutil.rmtree(ASIDE, ignore_errors=True)
    ASIDE.mkdir(parents=True)
    with serve(buckets) as server, process.aside():
        warm()
        for number in range(rounds + 1):
            for scenario in scenarios:
                turn = [peer for peer in present if not peer.only or scenario.name in peer.only]
                random.Random(number).shuffle(turn)
                for peer in turn:
                    sys.stderr.write(f"round {number} of {rounds}: {scenario.name}, {peer.name}\n")
                    one(server, scenario, peer, results, warming=number == 0)
    shutil.rmtree(ASIDE)
    return results


def put_aside() -> None:
    """Give a run's bytes back, but keep its empty files until the end.

    For a minute ext4 takes no inode of a removed file again, and looks past all of them at each new
    one: whoever came next would pay half a millisecond a file.
    """
    for path in VOLUME.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.chmod(0o600)
            os.truncate(path, 0)
    VOLUME.rename(ASIDE / str(len(os.listdir(ASIDE))))


def installed(peer: Peer, results: Results) -> bool:
    """Install a peer, or note why it is missing."""
    try:
        results.versions[peer.name] = peer.version()
    except install.MissingError as error:
        results.missing[peer.name] = str(error)
        return False
    return True


def one(server: Server, scenario: Scenario, peer: Peer, results: Results, *, warming: bool) -> None:
    """One run; a peer that fails is noted and not asked again in this scenario."""
    failed = f"{peer.name}, {scenario.name}"
    if failed in results.missing:
        return
    VOLUME.mkdir(parents=True, exist_ok=True)
    os.sync()
    job = Job(scenario, server.urls[scenario.port], VOLUME)
    try:
        run = process.run(peer.command(job), environment(peer, job, server.ca), install.CACHE / "output")
        if peer.keeps:
            compare(job, server, every_byte=warming)
    except FailedError as error:
        results.missing[failed] = str(error)
        return
    finally:
        put_aside()
    if not warming:
        results.runs.setdefault(scenario.name, {}).setdefault(peer.name, []).append(run)


def environment(peer: Peer, job: Job, ca: Path | None = None) -> dict[str, str]:
    """What every peer is told, each by the names that it reads, and nothing of the caller's but the basics."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(install.CACHE),
        "LANG": "C.UTF-8",
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": job.url,
        **(dict.fromkeys(("AWS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE"), str(ca)) if ca else {}),
        **peer.environment(job),
    }


def compare(job: Job, server: Server, *, every_byte: bool) -> None:
    """Hold what arrived against the bucket: sizes, and if asked the CRC64NVME of every byte.

    Raises:
        FailedError: something is missing or different.
    """
    bucket = job.scenario.bucket
    for key in bucket.keys:
        path = job.target / key
        if not path.is_file() or path.stat().st_size != bucket.size_bytes:
            raise FailedError(f"{key} did not arrive")
        if every_byte and standin.describe(path)[2] != server.crcs[f"{bucket.name}/{key}"]:
            raise FailedError(f"{key} arrived with other bytes")


def warm() -> None:
    """Touch memory and disk once: on virtual machines the first use of a page is slow."""
    VOLUME.mkdir(parents=True, exist_ok=True)
    zeros = VOLUME / "zeros"
    with zeros.open("wb") as file:
        for _ in range(WARM_BYTES // standin.CHUNK):
            file.write(bytes(standin.CHUNK))
    zeros.unlink()
