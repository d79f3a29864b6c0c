"""What was measured."""

from __future__ import annotations

import math
import statistics
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Run:
    """One run of one program, start-up included. `peak_rss_mib` is 0 if it ended before the first sample."""

    wall_seconds: float
    cpu_seconds: float
    peak_rss_mib: float


@dataclass
class Results:
    """All counted runs by scenario's and peer's name; and why a peer, or a peer in a scenario, is missing."""

    runs: dict[str, dict[str, list[Run]]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def values(self, scenario: str, peer: str, figure: str) -> list[float]:
        """A figure of every round; empty if there is none."""
        return [getattr(run, figure) for run in self.runs.get(scenario, {}).get(peer, [])]

    def median(self, scenario: str, peer: str, figure: str) -> float:
        """Its median; NaN if there is none."""
        values = self.values(scenario, peer, figure)
        return statistics.median(values) if values else math.nan

    def raw(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return asdict(self)
