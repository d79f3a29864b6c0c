"""Whether a download fits on the volume."""

from __future__ import annotations

from dataclasses import dataclass

from modelsync.core.words import size


@dataclass(frozen=True, slots=True)
class SpaceRules:
    """What downloads must leave alone.

    Attributes:
        min_free_bytes: what must stay free on the volume.
        budget_bytes: what modelsync may use of it at most; 0: all.
    """

    min_free_bytes: int = 0
    budget_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Shortage:
    """A download does not fit: `bytes_short` more would have to be free, and `reason` says of which rule."""

    bytes_short: int
    reason: str


def shortage(
    needed_bytes: int, rules: SpaceRules, *, free_bytes: int, reserved_bytes: int, used_bytes: int
) -> Shortage | None:
    """Return what is short for a download, or None if it may begin. With 0 bytes: what is short already.

    Args:
        needed_bytes: what it will write.
        rules: what must be kept.
        free_bytes: free on the volume now.
        reserved_bytes: what other downloads still will write.
        used_bytes: what modelsync uses of the volume now; counts only where there is a budget.
    """
    others = f", {size(reserved_bytes)} of them for downloads under way" if reserved_bytes else ""
    left = rules.budget_bytes - used_bytes - reserved_bytes - needed_bytes
    if rules.budget_bytes and left < 0:
        rest = max(rules.budget_bytes - used_bytes, 0)
        return Shortage(
            max(-left, rules.min_free_bytes + reserved_bytes + needed_bytes - free_bytes),
            f"{size(needed_bytes)} are needed, and {size(rest)} of the {size(rules.budget_bytes)} that modelsync may"
            f" use are left{others}: raise VOLUME_BUDGET_BYTES, or remove models from the bucket",
        )
    short = rules.min_free_bytes + reserved_bytes + needed_bytes - free_bytes
    if short <= 0:
        return None
    return Shortage(
        short,
        f"{size(needed_bytes)} are needed, {size(free_bytes)} are free{others}, and {size(rules.min_free_bytes)}"
        " must stay free: enlarge the volume, free space on it, or lower VOLUME_MIN_FREE_BYTES",
    )
