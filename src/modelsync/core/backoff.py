"""How long to wait before trying again."""

from __future__ import annotations


def backoff_seconds(
    attempt: int, *, base_seconds: float, cap_seconds: float, jitter: float, asked_seconds: float = 0.0
) -> float:
    """Exponential backoff with full jitter, never under a quarter of the step.

    Source: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/

    Args:
        attempt: failures in a row so far, from 1.
        base_seconds: the first step.
        cap_seconds: the longest step.
        jitter: a random number from 0 to 1.
        asked_seconds: the wait that the other side asks for: heeded, up to the cap.
    """
    step = min(cap_seconds, base_seconds * 2.0 ** min(attempt - 1, 32))
    return max(step * (0.25 + 0.75 * jitter), min(asked_seconds, cap_seconds))
