"""What modelsync's transfers are held to, and whether a run met it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bench.transfer.results import Results
from bench.transfer.scenarios import CAP_BYTES_PER_SECOND, CONNECTIONS, ONE

OURS = "modelsync"


@dataclass(frozen=True)
class Target:
    """A figure of modelsync's that is to be at most `factor` times another; either is NaN if it was not measured."""

    what: str
    unit: str
    figure: float
    factor: float
    base: float

    def row(self) -> str:
        """A row of the page's table."""
        ratio = self.figure / self.base
        if math.isnan(ratio):
            return f"| {self.what} | | | | {self.factor:.2f} | not measured |\n"
        verdict = "met" if ratio <= self.factor else "**missed**"
        figures = f"{self.figure:.2f} {self.unit} | {self.base:.2f} {self.unit} | {ratio:.2f} | {self.factor:.2f}"
        return f"| {self.what} | {figures} | {verdict} |\n"


def target_table(*targets: Target) -> str:
    """The page's table of these."""
    return "| | modelsync | to | ratio | at most | |\n|---|---|---|---|---|---|\n" + "".join(
        target.row() for target in targets
    )


def targets(results: Results, peers: list[str]) -> list[Target]:
    """All targets; a best peer is sought among `peers`."""

    def wall(scenario: str, name: str = OURS) -> float:
        return results.median(scenario, name, "wall_seconds")

    def cpu(scenario: str, name: str = OURS) -> float:
        return results.median(scenario, name, "cpu_seconds") / ONE.gib

    peaks = {scenario: results.median(scenario, OURS, "peak_rss_mib") for scenario in results.runs}
    working = [peak for scenario, peak in peaks.items() if scenario != "tiny"]  # which is start and end alone
    fsync = wall("one", "dd conv=fsync") - wall("one", "dd")
    curl = 1.5 * wall("one", "curl to /dev/null") + max(fsync, 0.0)
    capped = max(wall("tiny") + ONE.total_bytes / (CAP_BYTES_PER_SECOND * CONNECTIONS), wall("one"))
    best_https = least([wall("one-https", name) for name in peers])
    best_https_cpu = least([cpu("one-https", name) for name in peers])
    best_eight = least([wall("eight", name) for name in peers])
    return [
        Target("2 GiB, http: wall, to s5cmd's", "s", wall("one"), 0.85, wall("one", "s5cmd")),
        Target("2 GiB, http: wall, to boto3's", "s", wall("one"), 0.5, wall("one", "boto3")),
        Target("2 GiB, http: wall, to 1.5 x curl to /dev/null + the fsync alone", "s", wall("one"), 1, curl),
        Target("2 GiB, https: wall, to the best peer's", "s", wall("one-https"), 1, best_https),
        Target("2 GiB, https: CPU, to the best peer's", "s/GiB", cpu("one-https"), 1, best_https_cpu),
        Target("8 x 256 MiB: wall, to the best peer's", "s", wall("eight"), 0.8, best_eight),
        Target("5,000 x 64 KiB: wall, to s5cmd's", "s", wall("small"), 0.45, wall("small", "s5cmd")),
        Target("5,000 x 64 KiB: wall, to boto3's", "s", wall("small"), 0.12, wall("small", "boto3")),
        Target("S3-like: wall, to what the caps or one core allow", "s", wall("s3-like"), 1 / 0.95, capped),
        Target("memory: highest peak of a scenario, to 128 MiB", "MiB", max(peaks.values(), default=math.nan), 1, 128),
        Target(
            "memory: highest peak of a transfer, to the lowest",
            "MiB",
            max(working, default=math.nan),
            1.25,
            least(working),
        ),
        Target("2 GiB, http: CPU, to 1.0 s/GiB", "s/GiB", cpu("one"), 1, 1),
        Target("2 GiB, https: CPU, to 1.5 s/GiB", "s/GiB", cpu("one-https"), 1, 1.5),
    ]


def least(values: list[float]) -> float:
    """The least that was measured."""
    return min((value for value in values if not math.isnan(value)), default=math.nan)
