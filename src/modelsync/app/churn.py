"""How long a model that was just looked at must be quiet before the next look, so that a storm costs few.

Nothing is believed of what events say: a message still waits for a look that began after it came.
"""

from __future__ import annotations

from modelsync.core.names import ModelId

_FIRST_SECONDS = 0.1
_DOUBLINGS = 6
_MEMORY = 10.0
PATIENCE_SECONDS = 30.0
"""A storm that does not end puts a look off no longer than this."""
_SPARE = 100

Kind = bool
"""Whether an event is one of a commit file: the looks that other files cause do not hold up its own."""


class Churn:
    """Counts looks in a row that found nothing new, or during which more events came. Not thread-safe."""

    def __init__(self) -> None:
        self._looks: dict[tuple[ModelId, Kind], tuple[int, float]] = {}
        self._sweep_at = _SPARE

    def quiet_seconds(self, model: ModelId, kind: Kind, now: float, *, running: bool, crowded: bool) -> float:
        """How long after an event that comes now no other may come; 0: look at once.

        Args:
            model: what it tells of.
            kind: of the event.
            now: on the clock's monotonic scale.
            running: a look for such an event is under way.
            crowded: it came with many others, and more are likely to follow.
        """
        looks, last = self._looks.get((model, kind), (0, float("-inf")))
        recent = now - last <= _memory_seconds(looks)
        if not recent:
            looks = 0
        more = running or (crowded and recent)
        if looks or more:
            self._looks[model, kind] = looks, now
        return _quiet(looks + more)

    def looked(self, model: ModelId, kind: Kind, now: float, *, again: bool) -> None:
        """Take note of the end of a look for such events; `again`: in vain, or more of them came meanwhile."""
        looks, _ = self._looks.get((model, kind), (0, now))
        self._looks[model, kind] = (looks + 1 if again else 0), now
        if len(self._looks) > self._sweep_at:
            self._looks = {
                key: (count, last) for key, (count, last) in self._looks.items() if now - last <= _memory_seconds(count)
            }
            self._sweep_at = 2 * len(self._looks) + _SPARE


def _memory_seconds(looks: int) -> float:
    return _MEMORY * _quiet(max(looks, 1))


def _quiet(looks: int) -> float:
    return _FIRST_SECONDS * 2.0 ** min(looks - 1, _DOUBLINGS) if looks else 0.0
