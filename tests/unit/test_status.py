"""What is told of a model."""

from __future__ import annotations

from dataclasses import replace

import pytest

from modelsync.core.manifest import Current, Published, Quarantine, Superseded
from modelsync.core.names import ModelId
from modelsync.core.objects import Digest, Revision
from modelsync.core.status import (
    Arrived,
    KeptRevision,
    ModelStatus,
    ModelView,
    Refusal,
    State,
    TurnedDown,
    Underway,
    arrival,
    enriched,
    told,
    view_of,
)

A = ModelId("a")
OLD, R, NEXT = Revision("o"), Revision("r"), Revision("n")
CURRENT = Current(A, R, Digest("l"), 100.0, (Superseded(OLD, 100.0), Superseded(Revision("gone"), 90.0)))
ON_VOLUME = Published(CURRENT, R, frozenset({OLD, R}))


def quarantine(at: float, revision: Revision = NEXT) -> Quarantine:
    return Quarantine(A, revision, Digest("m"), "key", f"bad at {at}", at)


def test_a_published_model_shows_its_revisions_the_current_one_first() -> None:
    view = view_of(A, ON_VOLUME, None)
    assert (view.state, view.revision, view.published_at, view.reason) == (State.PUBLISHED, R, 100.0, None)
    assert view.revisions == (KeptRevision(R, current=True), KeptRevision(OLD, current=False, superseded_at=100.0))
    assert not view.pinned


def test_a_withdrawn_model_says_since_when() -> None:
    view = view_of(A, Published(replace(CURRENT, unpublished_at=200.0), kept=frozenset({R})), None)
    assert view.state is State.ABSENT
    assert view.reason == "it left the bucket, and its link was withdrawn at 1970-01-01 00:03:20 UTC"


def test_a_pin_is_told() -> None:
    view = view_of(A, replace(ON_VOLUME, current=replace(CURRENT, pin="broken on Monday")), None)
    assert (view.pinned, view.reason) == (True, "pinned: broken on Monday")


@pytest.mark.parametrize(
    ("published", "state"),
    [
        (Published(), State.ABSENT),
        (Published(leftover=True), State.WAITING),
        (Published(quarantined=(quarantine(5.0),)), State.REJECTED),
        (replace(ON_VOLUME, quarantined=(quarantine(101.0),)), State.REJECTED),
        (replace(ON_VOLUME, quarantined=(quarantine(99.0),)), State.PUBLISHED),
        (Published(linked=R, kept=frozenset({R})), State.PUBLISHED),
    ],
)
def test_the_volume_alone_tells_a_state(published: Published, state: State) -> None:
    assert view_of(A, published, None).state is state


def test_the_last_refusal_is_shown() -> None:
    view = view_of(A, replace(ON_VOLUME, quarantined=(quarantine(5.0), quarantine(7.0), quarantine(6.0))), None)
    assert view.refusal == Refusal(NEXT, "key", "bad at 7.0", 7.0)


def test_a_running_service_knows_better_how_a_model_stands_but_not_what_readers_see() -> None:
    status = ModelStatus(A, State.WAITING, NEXT, 1.0, "1 of 2 files are there", event_at=120.0, synced_at=101.0)
    view = view_of(A, ON_VOLUME, status)
    assert (view.state, view.reason) == (State.WAITING, "1 of 2 files are there")
    assert (view.revision, view.published_at) == (R, 100.0)
    assert (view.event_at, view.synced_at) == (120.0, 101.0)


def test_a_model_that_nobody_knows_is_not_told() -> None:
    assert not told(Published(), None)
    assert told(Published(), ModelStatus(A, State.WAITING))
    assert told(Published(quarantined=(quarantine(1.0),)), None)


def test_a_service_is_heeded_if_it_speaks_of_the_same_revision() -> None:
    view = view_of(A, ON_VOLUME, None)
    live = replace(view, state=State.FAILING, reason="no network", synced_at=50.0)
    assert enriched(view, live) == live
    assert enriched(view, replace(live, revision=NEXT)) == view
    assert enriched(view, None) == view
    first = ModelView(A, None, State.WAITING, reason="1 of 2 files are there")
    assert enriched(None, first) == first
    assert enriched(None, live) is None
    assert enriched(None, None) is None


REFUSED = ModelView(A, OLD, State.REJECTED, reason="bad", refusal=Refusal(R, "key", "bad", 7.0))


@pytest.mark.parametrize(
    ("view", "refused_before", "verdict"),
    [
        (None, None, Underway("the worker does not know the model yet")),
        (ModelView(A, R, State.PUBLISHED), None, Arrived()),
        (ModelView(A, R, State.SYNCING), None, Underway("syncing: readers see r")),
        (ModelView(A, OLD, State.PUBLISHED), None, Underway("published: readers see o")),
        (ModelView(A, None, State.WAITING, reason="x is not there"), None, Underway("waiting: x is not there")),
        (ModelView(A, None, State.SYNCING), None, Underway("syncing: readers see nothing")),
        (REFUSED, None, TurnedDown("bad")),
        (REFUSED, 6.0, TurnedDown("bad")),
        (REFUSED, 7.0, Underway("rejected: bad")),
        (replace(REFUSED, state=State.SYNCING), None, Underway("syncing: bad")),
        (replace(REFUSED, refusal=None), None, Underway("rejected: bad")),
        (replace(REFUSED, refusal=Refusal(NEXT, "key", "bad", 7.0)), None, Underway("rejected: bad")),
    ],
)
def test_a_pushed_revision_has_arrived_was_turned_down_or_is_on_its_way(
    view: ModelView | None, refused_before: float | None, verdict: object
) -> None:
    assert arrival(view, R, refused_before) == verdict
