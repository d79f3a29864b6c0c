"""Scale: many objects that have not changed, and many messages about few models."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from bench.scale import messages
from bench.scale.compare import PEERS, SCENARIOS, measure_all
from bench.scale.report import chapter
from bench.transfer import install

ROUNDS = 5
RAW = install.CACHE / "scale.json"
SETTING = f"""Unchanged objects: {ROUNDS} rounds after one that is not counted, modelsync and its peers in turn: median
(least-most) of whole processes, start-up included. The client has one core, the server another: nginx on loopback with
the listing's pages, made up front and worded as S3 words them. modelsync's volume and the peers' tree are in memory.
Messages: from a queue on loopback, about weights and commit files of models that all changed just before, to a worker
with default settings."""


def measure() -> str:
    """Run everything, keep the raw figures as JSON, and return the page's chapter."""
    results, drained = measure_all(SCENARIOS, PEERS, ROUNDS), messages.measure()
    raw = {"runs": results.raw()["runs"], "messages": vars(drained)}
    RAW.write_text(json.dumps(raw, indent=1))
    return chapter(results, SCENARIOS, PEERS, drained)


def narrow(arguments: Sequence[str]) -> str:
    """Run what the command line chooses."""
    parser = argparse.ArgumentParser("python -m bench scale", description=__doc__)
    names = [*(scenario.name for scenario in SCENARIOS), "messages"]
    parser.add_argument("--scenario", action="append", choices=names)
    parser.add_argument("--peer", action="append", choices=[peer.key for peer in PEERS])
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N")
    chosen = parser.parse_args(arguments)
    if chosen.rounds < 1:
        parser.error("--rounds is 1 or more")
    wanted = chosen.scenario or names
    scenarios = [scenario for scenario in SCENARIOS if scenario.name in wanted]
    peers = [peer for peer in PEERS if not chosen.peer or peer.key in chosen.peer]
    drained = messages.measure() if "messages" in wanted else None
    return chapter(measure_all(scenarios, peers, chosen.rounds), scenarios, peers, drained)
