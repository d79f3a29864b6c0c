"""Transfers: modelsync and its peers fetch the same objects from the same server, in turn."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from bench.transfer import install
from bench.transfer.peers import PEERS
from bench.transfer.report import chapter
from bench.transfer.rounds import measure_all
from bench.transfer.scenarios import SCENARIOS

ROUNDS = 5
RAW = install.CACHE / "transfer.json"
SETTING = f"""One interleaved run of {ROUNDS} rounds after one that is not counted: median (least-most) of whole
processes, start-up included. The client has one core, the server another: nginx on loopback, objects in memory, each
with its ETag and its CRC64NVME; certificates are checked. Files go to the machine's disk, into a fresh directory each
time, and in the uncounted round every byte of them is compared. Peak RSS is that of the process tree. modelsync's
figures include the proof of every byte, fsync and publication. What is in italics is no peer but a limit."""


def measure() -> str:
    """Run everything, keep the raw figures as JSON, and return the page's chapter."""
    results = measure_all(SCENARIOS, PEERS, ROUNDS)
    RAW.write_text(json.dumps(results.raw(), indent=1))
    return chapter(results, SCENARIOS, PEERS)


def narrow(arguments: Sequence[str]) -> str:
    """Run what the command line chooses."""
    parser = argparse.ArgumentParser("python -m bench transfer", description=__doc__)
    parser.add_argument("--scenario", action="append", choices=[scenario.name for scenario in SCENARIOS])
    parser.add_argument("--peer", action="append", choices=[peer.key for peer in PEERS])
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N")
    chosen = parser.parse_args(arguments)
    if chosen.rounds < 1:
        parser.error("--rounds is 1 or more")
    scenarios = [scenario for scenario in SCENARIOS if not chosen.scenario or scenario.name in chosen.scenario]
    peers = [peer for peer in PEERS if not chosen.peer or peer.key in chosen.peer]
    return chapter(measure_all(scenarios, peers, chosen.rounds), scenarios, peers)
