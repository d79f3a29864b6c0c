"""Whether a download fits on the volume."""

from __future__ import annotations

from dataclasses import dataclass

_UNITS = ("bytes", "KiB", "MiB", "GiB")


@dataclass(frozen=True, slots=True)
class SpaceRules:
    """What downloads must leave alone.

    Attributes:
        min_free_bytes: what must stay free on the volume.
        budget_bytes: what modelsync may use of it at most; 0: all.
    """

    min_free_bytes: int = 0
    budget_bytes: int = 0


def too_full(
    needed_bytes: int, rules: SpaceRules, *, free_bytes: int, reserved_bytes: int, used_bytes: int
) -> str | None:
    """Return why a download must not begin, or None if it may.

    Args:
        needed_bytes: what it will write.
        rules: what must be kept.
        free_bytes: free on the volume now.
        reserved_bytes: what other downloads still will write.
        used_bytes: what modelsync uses of the volume now; counts only where there is a budget.
    """
    others = f", {amount(reserved_bytes)} of them for downloads under way" if reserved_bytes else ""
    left = rules.budget_bytes - used_bytes - reserved_bytes - needed_bytes
    if rules.budget_bytes and left < 0:
        rest = max(rules.budget_bytes - used_bytes, 0)
        return (
            f"{amount(needed_bytes)} are needed, and {amount(rest)} of the {amount(rules.budget_bytes)} that modelsync"
            f" may use are left{others}: raise VOLUME_BUDGET_BYTES, or remove models from the bucket"
        )
    min_free_bytes = rules.min_free_bytes
    if free_bytes - reserved_bytes - needed_bytes >= min_free_bytes:
        return None
    return (
        f"{amount(needed_bytes)} are needed, {amount(free_bytes)} are free{others}, and {amount(min_free_bytes)} must"
        " stay free: enlarge the volume, free space on it, or lower VOLUME_MIN_FREE_BYTES"
    )


def amount(size_bytes: int) -> str:
    """A size for people.

    Examples:
        >>> amount(3 << 29)
        '1.5 GiB'
    """
    power = min((max(size_bytes, 1).bit_length() - 1) // 10, len(_UNITS) - 1)
    return f"{size_bytes / (1 << 10 * power):.{1 if power else 0}f} {_UNITS[power]}"
