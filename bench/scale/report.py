"""The results as Markdown."""

from __future__ import annotations

import math

from bench.scale.compare import Compared
from bench.scale.messages import MESSAGES, MODELS, OBJECTS, Drained
from bench.transfer.peers import Peer
from bench.transfer.report import label, programs, spread
from bench.transfer.scenarios import Scenario
from bench.transfer.targets import OURS, Target, least


def chapter(results: Compared, scenarios: list[Scenario], peers: list[Peer], drained: Drained | None) -> str:
    """What was run, each scenario's figures, and the targets."""
    text = programs(results, peers)
    for scenario in scenarios:
        text += f"\n### {scenario.title}\n\n{figures(results, scenario, peers)}"
    if drained is not None:
        text += f"\n### {MESSAGES:,} messages\n\n{drained.table()}"
    text += "\n### Targets\n\n| | modelsync | to | ratio | at most | |\n|---|---|---|---|---|---|\n"
    names = [peer.name for peer in peers if peer.name != OURS]
    return text + "".join(target.row() for target in targets(results, names, drained))


def figures(results: Compared, scenario: Scenario, peers: list[Peer]) -> str:
    """Medians and spread, and what the server was asked."""
    text = (
        "| | wall s | CPU s | peak RSS MiB | pages listed | objects fetched | other requests |\n" + "|---" * 7 + "|\n"
    )
    for peer in peers:
        if peer.name in results.runs.get(scenario.name, {}):
            wall, cpu, memory = (
                spread(results.values(scenario.name, peer.name, figure), digits)
                for figure, digits in (("wall_seconds", 2), ("cpu_seconds", 2), ("peak_rss_mib", 0))
            )
            asked = results.asked[scenario.name, peer.name]
            text += f"| {label(peer)} | {wall} | {cpu} | {memory} | {asked.lists} | {asked.gets} | {asked.others} |\n"
    return text


def targets(results: Compared, peers: list[str], drained: Drained | None) -> list[Target]:
    """All targets; the best peer is sought among `peers`."""

    def wall(scenario: str, name: str = OURS) -> float:
        return results.median(scenario, name, "wall_seconds")

    def peak(scenario: str) -> float:
        return results.median(scenario, OURS, "peak_rss_mib")

    def lists(scenario: str) -> float:
        asked = results.asked.get((scenario, OURS))
        return asked.lists if asked else math.nan

    best = least([wall("100k", name) for name in peers])
    found = drained or Drained(math.nan, math.nan, math.nan)
    return [
        Target("100,000 objects: wall, to the best peer's", "s", wall("100k"), 0.4, best),
        Target("100,000 objects: peak RSS, to 150 MiB", "MiB", peak("100k"), 1, 150),
        Target("100,000 objects: list requests, to 101", "", lists("100k"), 1, 101),
        Target("1,000,000 objects: wall, to ten times that of 100,000", "s", wall("1m"), 1, 10 * wall("100k")),
        Target("1,000,000 objects: peak RSS, to 200 MiB", "MiB", peak("1m"), 1, 200),
        Target(f"{MESSAGES:,} messages: time, to 2,000 a second", "s", found.seconds, 1, MESSAGES / 2000),
        Target(f"{MESSAGES:,} messages: listings, to two a model", "", found.listings, 1, 2 * MODELS),
        Target(f"{MESSAGES:,} messages: objects fetched, to those that changed", "", found.downloads, 1, OBJECTS),
    ]
