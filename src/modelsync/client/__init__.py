"""Reading models safely: standard library only, for the applications that use the models.

    from modelsync.client import open_model

    with open_model("alice") as voice:          # a Path: the files of one revision, which stays
        config = json.loads((voice / "config.json").read_bytes())

docs/reading.md tells how, and how to do the same without Python.
"""

from __future__ import annotations

import threading

from modelsync.client.lease import Lease, acquire
from modelsync.client.place import BasePath, Place
from modelsync.client.watch import Watch, until_published
from modelsync.errors import BadModelName, LeaseFailed, ModelNotFound, ReadFailed, Stopped, WaitTimedOut

__all__ = [
    "BadModelName",
    "Lease",
    "LeaseFailed",
    "ModelNotFound",
    "ReadFailed",
    "Stopped",
    "WaitTimedOut",
    "Watch",
    "open_model",
    "wait_for",
    "watch",
]

_PATIENCE_SECONDS = 10.0


def open_model(model: str, base: BasePath = None) -> Lease:
    """Hold the revision that readers of a model see now; `with` gives its path.

    Args:
        model: its name; may come from a request.
        base: the volume; None: `MODELS_BASE_PATH`, or `/models`. A read-only mount will do.

    Raises:
        BadModelName: no model can have this name.
        ModelNotFound: nothing is published under it (yet).
        LeaseFailed: the volume cannot be read or locked, or shows a revision that is not there: tried for 10 s.
    """
    return acquire(Place(model, base), _PATIENCE_SECONDS)


def wait_for(
    model: str,
    base: BasePath = None,
    *,
    timeout: float = 600.0,
    stop: threading.Event | None = None,
    poll_seconds: float = 1.0,
) -> Lease:
    """Wait until a model is published, and hold it.

    Args:
        model: its name.
        base: as for `open_model`.
        timeout: longest wait, in seconds.
        stop: ends the wait when it is set.
        poll_seconds: time between two looks where the kernel does not tell of changes.

    Raises:
        WaitTimedOut: it was not published in time; says why, if the volume has the reason.
        Stopped: `stop` was set.
        BadModelName, LeaseFailed: as for `open_model`.
    """
    place = Place(model, base)
    return until_published(
        place, lambda: acquire(place, _PATIENCE_SECONDS), timeout=timeout, poll_seconds=poll_seconds, stop=stop
    )


def watch(
    model: str, base: BasePath = None, *, stop: threading.Event | None = None, poll_seconds: float = 5.0
) -> Watch:
    """Iterate over a model's revisions as they are published, the current one first.

    Args:
        model: its name.
        base: as for `open_model`.
        stop: ends the iteration when it is set.
        poll_seconds: time between two looks where the kernel does not tell of changes.

    Raises:
        BadModelName: no model can have this name.
    """
    return Watch(Place(model, base), stop=stop, poll_seconds=poll_seconds)
