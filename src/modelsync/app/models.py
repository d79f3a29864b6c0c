"""The models, as volume and board know them."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace

from modelsync.app.consumers import Consumers
from modelsync.core.names import ModelId, unsafe, unsafe_model
from modelsync.core.rollout import rollout
from modelsync.core.status import ModelPage, ModelStatus, ModelView, State, told, view_of
from modelsync.ports import Volume

_MOST_LOOKS = 1000


class Models:
    """Reads the volume anew for every answer. Thread-safe.

    Raises, from every method:
        VolumeFailed: the volume cannot be read.
    """

    def __init__(
        self,
        volume: Volume,
        known: Callable[[], Mapping[ModelId, ModelStatus]],
        consumers: Consumers | None = None,
    ) -> None:
        """Make it.

        Args:
            volume: what readers see.
            known: what a running service knows beyond that.
            consumers: who has reported what it runs.
        """
        self._volume = volume
        self._known = known
        self._consumers = consumers

    def one(self, name: str) -> ModelView | None:
        """A model, or None if neither volume nor service knows it."""
        if unsafe(name) is not None or unsafe_model(name) is not None:
            return None
        view = self._view(ModelId(name), self._known())
        consumers = self._consumers.of(view.id) if view and self._consumers else ()
        return replace(view, consumers=consumers) if view and consumers else view

    def page(self, limit: int, after: str = "", contains: str = "", state: State | None = None) -> ModelPage:
        """At most `limit` models, in order of their names, that come after a name.

        There may be fewer before the end: no more than so many are looked at for one page.

        Args:
            limit: how many.
            after: "" is before all.
            contains: only names that have this in them, in upper or lower case.
            state: only models in this state.
        """
        known, wanted = self._known(), contains.casefold()
        names = sorted(name for name in {*self._volume.models(), *known} if wanted in name.casefold())
        start = bisect_right(names, after) if after else 0
        views: list[ModelView] = []
        looks = 0
        for number, name in enumerate(names[start:], start + 1):
            status = known.get(name)
            if state is None or status is None or status.state is state:
                looks += 1
                view = self._view(name, known)
                if view is not None and state in {None, view.state}:
                    views.append(view)
                if number < len(names) and (len(views) == limit or looks == max(limit, _MOST_LOOKS)):
                    return ModelPage(tuple(views), name)
        return ModelPage(tuple(views), None)

    def states(self) -> dict[State, int]:
        """How many models the service knows to be in each state."""
        return dict(Counter(status.state for status in self._known().values()))

    def _view(self, model: ModelId, known: Mapping[ModelId, ModelStatus]) -> ModelView | None:
        published = self._volume.published(model)
        status = known.get(model)
        if not told(published, status):
            return None
        view = view_of(model, published, status)
        consumers = self._consumers.of(model) if self._consumers else ()
        return replace(view, rollout=rollout(consumers, view.revision)) if consumers else view
