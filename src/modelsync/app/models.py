"""The models, as volume and board know them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import replace

from modelsync.app.consumers import Consumers
from modelsync.core.names import ModelId, unsafe, unsafe_model
from modelsync.core.rollout import rollout
from modelsync.core.status import ModelPage, ModelStatus, ModelView, told, view_of
from modelsync.ports import Volume


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
        if view is None or not consumers:
            return view
        return replace(view, consumers=consumers, rollout=rollout(consumers, view.revision))

    def page(self, limit: int, after: str = "") -> ModelPage:
        """At most `limit` models, in order of their names, that come after a name."""
        known = self._known()
        names = sorted({*self._volume.models(), *known})
        start = bisect_right(names, after) if after else 0
        some = names[start : start + limit]
        views = [view for name in some if (view := self._view(name, known)) is not None]
        return ModelPage(tuple(views), some[-1] if start + limit < len(names) else None)

    def _view(self, model: ModelId, known: Mapping[ModelId, ModelStatus]) -> ModelView | None:
        published = self._volume.published(model)
        status = known.get(model)
        return view_of(model, published, status) if told(published, status) else None
