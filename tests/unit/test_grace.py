"""How the time to end in is shared out, and that the service keeps to it."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from fakes.clock import VirtualClock
from modelsync.core.grace import Grace, share
from modelsync.service.run import Service


@pytest.mark.parametrize(
    ("seconds", "telling", "wanted"),
    [
        (25.0, True, Grace(17.0, 20.0)),
        (25.0, False, Grace(22.0, 25.0)),
        (4.0, True, Grace(1.5, 3.0)),
        (1.0, False, Grace(0.5, 1.0)),
        (0.0, True, Grace(0.0, 0.0)),
    ],
)
def test_the_grace_is_shared_out(seconds: float, telling: bool, wanted: Grace) -> None:  # noqa: FBT001
    assert share(seconds, telling=telling) == wanted


@pytest.mark.parametrize(("work_seconds", "told_seconds"), [(1e9, 5.0), (0.0, 5.0)])
def test_work_that_hangs_leaves_time_to_tell_what_was_published(work_seconds: float, told_seconds: float) -> None:
    clock, given = VirtualClock(), []

    def drain(deadline: float) -> bool:
        clock.advance(min(work_seconds, max(deadline - clock.monotonic(), 0.0)))
        return not work_seconds

    def nothing(*_: Any) -> None:
        pass

    dirty = SimpleNamespace(close=frozenset, drain=drain)
    parts: Any = SimpleNamespace(clock=clock, dirty=dirty, store=SimpleNamespace(close=nothing), close=nothing)
    teller: Any = SimpleNamespace(has_receivers=True, finish=lambda _, seconds: given.append(seconds))
    idle: Any = SimpleNamespace(join=nothing, close=nothing, stop=nothing)
    service = Service(
        configuration=idle, parts=parts, reconciler=idle, supervisor=idle, consumers=[], http=idle, wakes=idle,
        teller=teller, feed=idle, consuming=idle, stop=threading.Event(),
    )  # fmt: skip
    service._end(threading.Event(), service.stop, 25.0)
    assert given == [told_seconds]
