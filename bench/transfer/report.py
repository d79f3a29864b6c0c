"""The results as Markdown."""

from __future__ import annotations

import statistics

from bench.transfer.peers import Peer
from bench.transfer.results import Results
from bench.transfer.scenarios import CAP_BYTES_PER_SECOND, CONNECTIONS, Scenario
from bench.transfer.targets import OURS, targets

NOTES = f"""
The best peer is the best that is no limit, for each figure. The fsync alone is `dd conv=fsync` less `dd`. The caps
allow {CONNECTIONS} x {CAP_BYTES_PER_SECOND / 1e6:.0f} MB/s after modelsync's start; one core allows what it takes
without caps. 95 % of what is allowed is a ratio of 1.05. Memory counts as flat up to a ratio of 1.25.
"""


def chapter(results: Results, scenarios: list[Scenario], peers: list[Peer]) -> str:
    """What was run, each scenario's figures, and the targets."""
    text = programs(results, peers)
    for scenario in scenarios:
        text += f"\n### {scenario.title}\n\n{figures(results, scenario, peers)}"
    text += "\n### Targets\n\n| | modelsync | to | ratio | at most | |\n|---|---|---|---|---|---|\n"
    names = [peer.name for peer in peers if not peer.limit and peer.name != OURS]
    return text + "".join(target.row() for target in targets(results, names)) + NOTES


def programs(results: Results, peers: list[Peer]) -> str:
    """Which programs, how they were run, and what each does not do."""
    text = "| | version | run as | leaves out |\n|---|---|---|---|\n"
    for peer in peers:
        version = results.versions.get(peer.name, "missing")
        text += f"| {label(peer)} | {version} | {peer.run_as} | {peer.leaves_out} |\n"
    for name, reason in results.missing.items():
        text += f"\nMissing: **{name}**: {reason}\n"
    return text


def figures(results: Results, scenario: Scenario, peers: list[Peer]) -> str:
    """Medians and spread, the fastest first, limits last."""
    large = scenario.bucket.gib >= 1
    text = f"| | wall s | CPU {'s/GiB' if large else 's'} | peak RSS MiB |\n|---|---|---|---|\n"
    measured = [peer for peer in peers if peer.name in results.runs.get(scenario.name, {})]
    measured.sort(key=lambda peer: (peer.limit, results.median(scenario.name, peer.name, "wall_seconds")))
    for peer in measured:
        wall = spread(results.values(scenario.name, peer.name, "wall_seconds"), 2)
        cpu = spread(results.values(scenario.name, peer.name, "cpu_seconds"), 2, scenario.bucket.gib if large else 1)
        sampled = [peak for peak in results.values(scenario.name, peer.name, "peak_rss_mib") if peak]
        memory = spread(sampled, 0) if sampled else "too short to see"
        text += f"| {label(peer)} | {wall} | {cpu} | {memory} |\n"
    return text


def spread(values: list[float], digits: int, divisor: float = 1) -> str:
    """Median, least and most."""
    median, least, most = (f(values) / divisor for f in (statistics.median, min, max))
    return f"{median:.{digits}f} ({least:.{digits}f}-{most:.{digits}f})"


def label(peer: Peer) -> str:
    """A limit is no peer: in italics."""
    if peer.name == OURS:
        return f"**{peer.name}**"
    return f"*{peer.name}*" if peer.limit else peer.name
