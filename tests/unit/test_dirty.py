"""The queue of dirty models, in virtual time."""

from __future__ import annotations

import pytest

from fakes.clock import VirtualClock
from modelsync.app.dirty import DirtyModels, News, Work
from modelsync.core.facts import Outcome
from modelsync.core.names import ModelId

A, B = ModelId("a"), ModelId("b")


class Claim:
    def __init__(self) -> None:
        self.told: list[tuple[ModelId, Outcome, bool]] = []
        self.bored = False

    def tried(self, model: ModelId, outcome: Outcome, *, final: bool) -> bool:
        self.told.append((model, outcome, final))
        return not self.bored


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def dirty(clock: VirtualClock) -> DirtyModels:
    return DirtyModels(clock)


def due(dirty: DirtyModels) -> Work | None:
    """What is due now."""
    with dirty._changed:
        model, _ = dirty._next()
        return None if model is None else dirty._hand_out(model)


def take(dirty: DirtyModels) -> Work:
    work = dirty.take(lambda: None)
    assert work is not None
    return work


def test_marking_twice_is_marking_once(dirty: DirtyModels, clock: VirtualClock) -> None:
    claims, came_at = [Claim(), Claim()], clock.now()
    for claim, event_at in zip(claims, (5.0, 3.0), strict=True):
        dirty.mark(A, why="event", news=News(event_at), claim=claim)
        clock.advance(1)
    dirty.mark(B, why="event")
    work = take(dirty)
    assert (work.model, work.event_at, work.received_at) == (A, 3.0, came_at), "the oldest event counts"
    assert take(dirty).model == B
    dirty.done(work, Outcome.SUCCESS)
    assert [claim.told for claim in claims] == [[(A, Outcome.SUCCESS, True)]] * 2


def test_a_delay_is_waited_for_and_the_last_event_decides(dirty: DirtyModels, clock: VirtualClock) -> None:
    start = clock.now()
    dirty.mark(A, why="event", delay_seconds=2, news=News())
    clock.advance(1)
    dirty.mark(A, why="event", delay_seconds=2, news=News())
    take(dirty)
    assert clock.now() - start == pytest.approx(3)


def test_a_commit_brings_a_settling_model_forward(dirty: DirtyModels, clock: VirtualClock) -> None:
    start = clock.now()
    dirty.mark(A, why="event", delay_seconds=60)
    dirty.mark(A, why="commit")
    take(dirty)
    assert clock.now() == start


def test_a_model_marked_while_it_is_synced_is_synced_again_but_not_at_once(dirty: DirtyModels) -> None:
    late = Claim()
    dirty.mark(A, why="event")
    first = take(dirty)
    dirty.mark(A, why="event", claim=late)
    dirty.mark(B, why="event")
    assert take(dirty).model == B, "one model is never taken twice"
    dirty.done(first, Outcome.SUCCESS)
    assert late.told == [], "the first sync may have listed before the late event"
    second = take(dirty)
    dirty.done(second, Outcome.NOOP)
    assert late.told == [(A, Outcome.NOOP, True)]


def test_a_failed_model_comes_again_with_its_claims(dirty: DirtyModels, clock: VirtualClock) -> None:
    claim = Claim()
    dirty.mark(A, why="event", news=News(7.0), claim=claim)
    start = clock.now()
    dirty.done(take(dirty), Outcome.ERROR, retry_seconds=10)
    again = take(dirty)
    assert clock.now() - start == pytest.approx(10)
    assert (again.failures, again.event_at) == (1, 7.0)
    dirty.done(again, Outcome.SUCCESS)
    assert claim.told == [(A, Outcome.ERROR, False), (A, Outcome.SUCCESS, True)]


def test_a_storm_on_a_failing_model_is_no_hot_loop(dirty: DirtyModels, clock: VirtualClock) -> None:
    dirty.mark(A, why="event")
    dirty.done(take(dirty), Outcome.ERROR, retry_seconds=30)
    start = clock.now()
    for _ in range(100):
        dirty.mark(A, why="event")
    take(dirty)
    assert clock.now() - start == pytest.approx(1)


def test_closing_lets_running_work_end_and_hands_out_no_more(dirty: DirtyModels, clock: VirtualClock) -> None:
    dirty.mark(A, why="event")
    dirty.mark(B, why="event")
    work = take(dirty)
    assert not dirty.drain(clock.monotonic() + 5), "a model is still running"
    assert dirty.take(lambda: None) is None
    dirty.park(work)
    assert dirty.drain(clock.monotonic() + 5)


def test_a_settled_model_that_is_to_be_looked_at_later_is_settled_for_its_claims(
    dirty: DirtyModels, clock: VirtualClock
) -> None:
    claim = Claim()
    dirty.mark(A, why="event", news=News(7.0), claim=claim)
    start = clock.now()
    dirty.done(take(dirty), Outcome.NOOP, retry_seconds=3600)
    assert claim.told == [(A, Outcome.NOOP, True)]
    again = take(dirty)
    assert clock.now() - start == pytest.approx(3600)
    assert (again.claims, again.event_at) == ([], None)


def test_an_event_brings_a_later_look_forward(dirty: DirtyModels, clock: VirtualClock) -> None:
    dirty.mark(A, why="reconcile", delay_seconds=3600)
    start = clock.now()
    dirty.mark(A, why="event", delay_seconds=2, news=News())
    take(dirty)
    assert clock.now() - start == pytest.approx(2)


def test_work_knows_when_the_last_event_came(dirty: DirtyModels, clock: VirtualClock) -> None:
    dirty.mark(A, why="reconcile")
    first = take(dirty)
    assert clock.monotonic() - first.heard_at == float("inf")
    dirty.mark(A, why="event", news=News())
    heard_at = clock.monotonic()
    dirty.done(first, Outcome.WAITING, retry_seconds=5)
    second = take(dirty)
    assert second.heard_at == heard_at
    dirty.done(second, Outcome.WAITING, retry_seconds=5)
    assert take(dirty).heard_at == heard_at, "it is remembered over retries"


@pytest.mark.parametrize("commit", [True, False])
def test_a_running_sync_hears_of_a_new_commit_and_of_nothing_else(dirty: DirtyModels, commit: bool) -> None:  # noqa: FBT001
    dirty.mark(A, why="event", news=News(commit=True))
    work = take(dirty)
    assert not work.new_commit.is_set(), "that one is what it works on"
    dirty.mark(B, why="event", news=News(commit=True))
    assert not work.new_commit.is_set()
    dirty.mark(A, why="event", news=News(commit=commit))
    assert work.new_commit.is_set() == commit


def test_nothing_but_an_event_puts_off_the_look_that_an_event_asked_for(
    dirty: DirtyModels, clock: VirtualClock
) -> None:
    start = clock.now()
    dirty.mark(A, why="event", delay_seconds=2, news=News())
    clock.advance(1)
    dirty.mark(A, why="reconcile", delay_seconds=3500)
    take(dirty)
    assert clock.now() - start == pytest.approx(2)


def test_what_was_asked_for_at_once_is_not_put_off_by_an_event(dirty: DirtyModels, clock: VirtualClock) -> None:
    start = clock.now()
    dirty.mark(A, why="API")
    dirty.mark(A, why="event", delay_seconds=2, news=News())
    take(dirty)
    assert clock.now() == start


def test_an_event_that_comes_during_a_sync_is_not_settled_by_it(dirty: DirtyModels) -> None:
    early, late = Claim(), Claim()
    dirty.mark(A, why="event", news=News(7.0), claim=early)
    first = take(dirty)
    dirty.mark(A, why="event", news=News(5.0), claim=late)
    assert (first.claims, first.event_at) == ([early], 7.0)
    dirty.done(first, Outcome.SUCCESS)
    assert (early.told, late.told) == ([(A, Outcome.SUCCESS, True)], [])
    second = take(dirty)
    assert (second.claims, second.event_at) == ([late], 5.0)


def test_who_wants_to_hear_no_more_is_told_no_more(dirty: DirtyModels) -> None:
    claim = Claim()
    claim.bored = True
    dirty.mark(A, why="event", claim=claim)
    dirty.done(take(dirty), Outcome.WAITING, retry_seconds=5)
    again = take(dirty)
    assert again.claims == []
    dirty.done(again, Outcome.SUCCESS)
    assert claim.told == [(A, Outcome.WAITING, False)]


@pytest.mark.parametrize("outcome", [Outcome.SUCCESS, Outcome.NOOP, Outcome.WAITING])
@pytest.mark.parametrize("commit", [True, False])
def test_a_storm_of_events_is_two_looks(
    dirty: DirtyModels,
    clock: VirtualClock,
    commit: bool,  # noqa: FBT001
    outcome: Outcome,
) -> None:
    """Whatever the events say of their time, and whether they come during a look or between two."""
    looks = 0
    for number in range(10_000):
        dirty.mark(A, why="event", news=News(None if number % 2 else clock.now(), commit=commit))
        clock.advance(0.0004)
        if (work := due(dirty)) is not None:
            looks += 1
            dirty.mark(A, why="event", news=News(commit=commit))
            dirty.done(work, outcome, retry_seconds=30 if outcome is Outcome.WAITING else None)
    dirty.done(take(dirty), Outcome.NOOP)
    assert looks + 1 == 2


def test_the_slower_a_storm_the_longer_is_waited_for_its_end(dirty: DirtyModels, clock: VirtualClock) -> None:
    looks = 0
    for _ in range(1000):
        dirty.mark(A, why="event", news=News(commit=True))
        clock.advance(1.0)
        if (work := due(dirty)) is not None:
            looks += 1
            dirty.done(work, Outcome.NOOP)
    assert looks == pytest.approx(1000 / 30, rel=0.2), "one in thirty seconds"


def test_changes_that_do_not_overlap_are_looked_at_at_once(dirty: DirtyModels, clock: VirtualClock) -> None:
    start = clock.now()
    for _ in range(100):
        dirty.mark(A, why="event", news=News(commit=True))
        dirty.done(take(dirty), Outcome.SUCCESS)
    assert clock.now() == start


def test_events_in_a_crowd_are_a_storm_even_where_none_comes_during_a_look(
    dirty: DirtyModels, clock: VirtualClock
) -> None:
    looks = 0
    for _ in range(1000):
        dirty.mark(A, why="event", news=News(commit=True, crowded=True))
        if (work := due(dirty)) is not None:
            looks += 1
            dirty.done(work, Outcome.SUCCESS)
        clock.advance(0.02)
    take(dirty)
    assert looks + 1 == 2


def test_a_commit_is_not_held_up_by_looks_at_the_files_before_it(dirty: DirtyModels, clock: VirtualClock) -> None:
    for _ in range(10):
        dirty.mark(A, why="event", news=News())
        dirty.done(take(dirty), Outcome.NOOP)
    dirty.mark(A, why="event", news=News())
    start = clock.now()
    dirty.mark(A, why="event", delay_seconds=0, news=News(commit=True))
    take(dirty)
    assert clock.now() == start


def test_a_storm_is_forgotten_once_it_is_over(dirty: DirtyModels, clock: VirtualClock) -> None:
    for _ in range(10):
        dirty.mark(A, why="event", news=News(commit=True))
        dirty.done(take(dirty), Outcome.NOOP)
    clock.advance(65)
    start = clock.now()
    dirty.mark(A, why="event", news=News(commit=True))
    take(dirty)
    assert clock.now() == start


def test_storms_of_the_past_take_no_memory(dirty: DirtyModels, clock: VirtualClock) -> None:
    for number in range(10_000):
        dirty.mark(ModelId(f"model-{number}"), why="event", news=News())
        dirty.done(take(dirty), Outcome.NOOP)
        clock.advance(0.1)
    assert len(dirty._churn._looks) < 300


def test_a_storm_during_a_sync_that_fails_is_no_hot_loop(dirty: DirtyModels, clock: VirtualClock) -> None:
    dirty.mark(A, why="event")
    work = take(dirty)
    dirty.mark(A, why="event", news=News(commit=True))
    start = clock.now()
    dirty.done(work, Outcome.ERROR, retry_seconds=30)
    take(dirty)
    assert clock.now() - start == pytest.approx(1)


def test_two_events_are_as_old_as_the_older() -> None:
    assert News(2.0).and_also(News(1.0, commit=True)) == News(1.0, commit=True)
    assert News(None, commit=True).and_also(News(3.0)) == News(3.0, commit=True)


def test_marking_again_and_again_for_much_later_keeps_memory_small(dirty: DirtyModels, clock: VirtualClock) -> None:
    for _ in range(10_000):
        clock.advance(0.001)
        dirty.mark(A, why="reconcile", delay_seconds=60)
    assert len(dirty._heap) < 200
    dirty.mark(B, why="event")
    assert [take(dirty).model, take(dirty).model] == [B, A], "and loses nothing"
