"""Which revisions stay, and why: cases as they are told to people, and rules that hold for all."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from modelsync.core.manifest import Current, Superseded
from modelsync.core.names import ModelId
from modelsync.core.objects import Digest, Revision
from modelsync.core.retention import Holding, Holdings, Kind, Rank, RetentionRules, Verdict, Why, make_room, retain

A = ModelId("alice")
NOW = 1_000_000.0
RULES = RetentionRules(keep=1, stale_seconds=900)
RECORD = Current(
    A, Revision("r4"), Digest("d"), NOW - 60,
    previous=(
        Superseded(Revision("r3"), NOW - 60),
        Superseded(Revision("r2"), NOW - 7200),
        Superseded(Revision("r1"), NOW - 90000),
    ),
)  # fmt: skip


def directory(name: str, *, made_at: float = NOW - 100_000, **more: object) -> Holding:
    return Holding(A, Revision(name.partition(".")[0]), name, made_at, **more)  # type: ignore[arg-type]


def told(current: Current | None, *directories: Holding, rules: RetentionRules = RULES) -> list[str]:
    """The verdicts as lines."""
    verdicts = retain(Holdings(current, directories), rules, now=NOW)
    return [f"{'-' if item.remove else '+'} {item.holding.name}: {item.reason}" for item in verdicts]


def test_superseded_revisions_go_by_number_and_age() -> None:
    found = told(RECORD, *(directory(f"r{number}", linked=number == 4) for number in (1, 2, 3, 4)))
    assert found == [
        "- r1: superseded 1 d 1 h ago, and no more one of the last 1",
        "- r2: superseded 2 h ago, and no more one of the last 1",
        "+ r3: out of use since 1 min ago, and kept for 15 min",
        "+ r4: readers see it",
    ]
    assert told(RECORD, directory("r2"), rules=RULES) == ["+ r2: one of the last 1, superseded 2 h ago"]


def test_a_lease_keeps_whatever_else_is_so() -> None:
    assert told(RECORD, directory("r1", leased=True), directory("r2", leased=True, whole=False)) == [
        "+ r1: a reader holds a lease on it",
        "+ r2: a reader holds a lease on it",
    ]


def test_what_readers_see_stays_damaged_or_on_record_alone() -> None:
    pinned = replace(RECORD, pin="by hand")
    assert told(pinned, directory("r4", linked=True)) == ["+ r4: readers see it, pinned: by hand"]
    assert told(RECORD, directory("r4", linked=True, whole=False)) == ["+ r4: readers see it"]
    assert told(RECORD, directory("r4")) == ["+ r4: readers see it"], "the link is lost, and about to be mended"
    assert told(None, directory("r4", linked=True)) == ["+ r4: readers see it"]


def test_what_was_set_aside_goes_once_nobody_can_be_reading_it() -> None:
    repaired = replace(RECORD, published_at=NOW - 1000)
    assert told(repaired, directory("r4", whole=False), directory("r4.1", linked=True)) == [
        "- r4: set aside as damaged, 16 min 40 s ago",
        "+ r4.1: readers see it",
    ]
    assert told(RECORD, directory("r4", whole=False)) == ["+ r4: out of use since 1 min ago, and kept for 15 min"], (
        "its readers were switched a minute ago"
    )
    assert told(RECORD, directory("r1", made_at=NOW - 5, whole=False)) == [
        "+ r1: out of use since 5 s ago, and kept for 15 min"
    ]


def test_a_damaged_directory_has_its_time_from_when_its_readers_were_switched_however_long_it_was_set_aside() -> None:
    """Two hours they had nothing better; ten seconds ago they got it, or their link was taken away."""
    aside = directory("r4", made_at=NOW - 7200, whole=False)
    young = "+ r4: out of use since 10 s ago, and kept for 15 min"
    updated = replace(RECORD, revision=Revision("r5"), previous=(Superseded(Revision("r4"), NOW - 10),))
    assert told(updated, aside, directory("r5", linked=True))[0] == young
    old = replace(RECORD, published_at=NOW - 90000)
    for evicted in (False, True):
        assert told(replace(old, unpublished_at=NOW - 10, evicted=evicted), aside) == [young]
    died = Holdings(old, (aside, directory("r4.1", linked=True)), changed_at=NOW - 10)
    [found, _] = retain(died, RULES, now=NOW)
    assert found.remove is None, "a repair died before its record was written: the link is ten seconds old"


def test_without_a_record_nothing_counts_from_before_the_last_change() -> None:
    """A lost record does not tell when a revision was superseded: it may be that the link is seconds old."""
    lost = Holdings(None, (directory("r1"), directory("r2"), directory("r3", linked=True)), changed_at=NOW - 10)
    assert not [item for item in retain(lost, RetentionRules(keep=0), now=NOW) if item.remove]
    over = replace(lost, changed_at=NOW - 1000)
    assert [item.remove for item in retain(over, RetentionRules(keep=0), now=NOW)] == [Why.SUPERSEDED] * 2 + [None]


def test_what_was_never_published_counts_from_when_it_was_made() -> None:
    assert told(None, directory("r9", made_at=NOW - 10)) == ["+ r9: out of use since 10 s ago, and kept for 15 min"]
    assert told(None, directory("r8", made_at=NOW - 7200), directory("r9", made_at=NOW - 3600)) == [
        "- r8: superseded 2 h ago, and no more one of the last 1",
        "+ r9: one of the last 1, superseded 1 h ago",
    ]


def test_the_last_revision_of_a_model_that_left_waits_for_space_to_be_needed() -> None:
    left = replace(RECORD, unpublished_at=NOW - 3600)
    [verdict] = retain(Holdings(left, (directory("r4"),)), RULES, now=NOW)
    assert (verdict.reason, verdict.rank) == ("the model left the bucket; withdrawn 1 h ago", Rank.GONE)
    recent = replace(RECORD, unpublished_at=NOW - 60)
    assert told(recent, directory("r4")) == ["+ r4: out of use since 1 min ago, and kept for 15 min"]


def test_an_interrupted_removal_is_finished() -> None:
    assert told(RECORD, directory(".tmp-1", renamed=True, whole=False)) == ["- .tmp-1: its removal was interrupted"]


def verdict(name: str, size_bytes: int, used_at: float, rank: Rank | None, model: str = "alice") -> Verdict:
    held = Holding(ModelId(model), Revision(name), name, 0.0, size_bytes=size_bytes, used_at=used_at)
    return Verdict(held, "why", rank=rank)


def test_the_least_recently_used_goes_first_and_models_that_left_go_last() -> None:
    found = [
        verdict("gone", 10, 1.0, Rank.GONE, "bob"),
        verdict("new", 10, 9.0, Rank.SUPERSEDED),
        verdict("old", 10, 3.0, Rank.SUPERSEDED, "carol"),
        verdict("seen", 10, 0.0, None),
    ]

    def going(need_bytes: int) -> list[str]:
        return [item.holding.name for item in make_room(found, need_bytes) if item.remove is Why.SPACE]

    assert [going(need) for need in (0, 1, 10, 11, 21, 1000)] == [
        [], ["old"], ["old"], ["new", "old"], ["gone", "new", "old"], ["gone", "new", "old"],
    ]  # fmt: skip
    assert make_room(found, 1)[2].reason == "space is needed: why"


CACHE = RetentionRules(keep=1, stale_seconds=900, evict_current=True)


def test_in_a_cache_what_readers_see_may_go_last_of_all() -> None:
    old = replace(RECORD, published_at=NOW - 1000)

    def rank(current: Current, **more: object) -> Rank | None:
        [item] = retain(Holdings(current, (directory("r4", **more),)), CACHE, now=NOW)
        assert item.remove is None
        return item.rank

    assert rank(old, linked=True) is Rank.CURRENT
    assert rank(RECORD, linked=True) is None, "it is new"
    assert rank(old, linked=True, leased=True) is None
    assert rank(replace(old, pin="by hand"), linked=True) is None
    assert rank(old) is None, "its link is about to be mended"
    assert rank(old, linked=True, whole=False) is Rank.CURRENT
    switched = replace(old, revision=Revision("r3"))
    assert rank(switched, linked=True) is None, "a worker died between link and record, which is about to be mended"
    back = replace(old, unpublished_at=NOW - 950, evicted=True)
    assert rank(back, linked=True) is None, "the same when it came back"
    [item] = retain(Holdings(old, (directory("r4", linked=True),)), RULES, now=NOW)
    assert item.rank is None


def test_what_was_withdrawn_for_space_goes_when_its_readers_had_their_time() -> None:
    evicted = replace(RECORD, unpublished_at=NOW - 60, evicted=True)
    [leaving] = retain(Holdings(evicted, (directory("r4"),)), CACHE, now=NOW)
    assert (leaving.leaving, leaving.remove) == (True, None)
    over = replace(evicted, unpublished_at=NOW - 3600)
    assert told(over, directory("r4")) == ["- r4: withdrawn to make room, 1 h ago"]


def test_what_was_withdrawn_is_leaving_also_if_it_is_damaged() -> None:
    """Its bytes are freed as those of a whole one are: no other model has to be withdrawn for them."""
    old = replace(RECORD, published_at=NOW - 1000)
    damaged = Holdings(old, (directory("r4", linked=True, whole=False, size_bytes=10),))
    bob = ModelId("bob")
    other = Holdings(
        replace(old, model=bob), (Holding(bob, Revision("r4"), "r4", NOW - 100_000, linked=True, used_at=NOW),)
    )
    answers = judged([damaged, other], CACHE, 10)
    assert [(item.holding.model, item.remove) for _, item in answers] == [(A, Why.SPACE), (bob, None)]
    left = [carried_out(damaged, [answers[0][1]], CACHE), other]
    assert [(item.leaving, item.remove) for _, item in judged(left, CACHE, 10)] == [(True, None), (False, None)]
    assert told(replace(old, unpublished_at=NOW - 3600, evicted=True), directory("r4", whole=False)) == [
        "- r4: set aside as damaged, 1 h ago"
    ]


def test_what_is_leaving_already_spares_what_readers_see() -> None:
    leaving = replace(verdict("r1", 10, 0.0, None), leaving=True)
    found = [leaving, verdict("r2", 10, 1.0, Rank.CURRENT, "bob"), verdict("r3", 10, 2.0, Rank.CURRENT, "carol")]
    going = [[item.holding.name for item in make_room(found, need) if item.remove] for need in (10, 11, 21)]
    assert going == [[], ["r2"], ["r2", "r3"]]


times = st.floats(NOW - 4000, NOW) | st.floats(0, NOW)
names = st.sampled_from([f"r{number}{again}" for number in range(5) for again in ("", ".1")])


@st.composite
def models(draw: st.DrawFn, model: ModelId = A) -> Holdings:
    made = [
        Holding(
            model, Revision(name.partition(".")[0]), name, draw(times), whole=draw(st.booleans()),
            leased=draw(st.booleans()), size_bytes=draw(st.integers(0, 100)), used_at=draw(times),
        )
        for name in sorted(draw(st.sets(names)))
    ]  # fmt: skip
    if made and draw(st.booleans()):
        number = draw(st.integers(0, len(made) - 1))
        made[number] = replace(made[number], linked=True)
    previous = [
        Superseded(Revision(f"r{draw(st.integers(0, 4))}"), draw(times)) for _ in range(draw(st.integers(0, 3)))
    ]
    pin = draw(st.sampled_from([None, "by hand"]))
    record = Current(
        model, Revision(f"r{draw(st.integers(0, 4))}"), Digest("d"), draw(times), tuple(previous), pin,
        unpublished_at=draw(st.none() | times), evicted=draw(st.booleans()),
    )  # fmt: skip
    return Holdings(draw(st.sampled_from([record, None])), tuple(made), draw(times))


rules = st.builds(RetentionRules, keep=st.integers(0, 3), stale_seconds=st.floats(0, 2000))
caches = st.builds(replace, rules, evict_current=st.just(True))


def untouchable(found: Holdings, held: Holding) -> bool:
    current = found.current
    published = current is not None and current.unpublished_at is None and current.revision == held.revision
    return held.linked or held.leased or (published and held.whole)


NEEDED = "space is needed"


@st.composite
def volumes(draw: st.DrawFn) -> list[Holdings]:
    """Several models, with what may lie beside their revisions."""
    found = [draw(models(ModelId(name))) for name in ("alice", "bob", "carol")[: draw(st.integers(1, 3))]]
    for number, one in enumerate(found):
        beside = tuple(
            Holding(ModelId(("alice", "bob", "carol")[number]), Revision("r9"), "r9", draw(times), whole=False,
                    size_bytes=draw(st.integers(0, 100)), kind=kind)
            for kind in (Kind.STAGED, Kind.REFUSED) if draw(st.booleans())
        )  # fmt: skip
        found[number] = replace(one, directories=one.directories + beside)
    return found


def judged(volume: list[Holdings], kept: RetentionRules, need: int) -> list[tuple[Holdings, Verdict]]:
    owners = [found for found in volume for _ in found.directories]
    verdicts = [item for found in volume for item in retain(found, kept, now=NOW)]
    return list(zip(owners, make_room(verdicts, need), strict=True))


def settled(found: Holdings, held: Holding, kept: RetentionRules) -> bool:
    """A cache may withdraw what readers see by the link and the record: if it is not pinned, leased or new."""
    current = found.current
    if current is None or current.unpublished_at is not None or current.revision != held.revision:
        return False
    new = NOW - current.published_at < kept.stale_seconds
    return kept.evict_current and held.linked and not held.leased and current.pin is None and not new


@given(volumes(), rules | caches, st.integers(0, 1000))
def test_current_pinned_and_leased_never_go(volume: list[Holdings], kept: RetentionRules, need: int) -> None:
    """In a cache what readers see may, and nothing else of these."""
    for found, item in judged(volume, kept, need):
        if item.remove and untouchable(found, item.holding):
            assert item.remove is Why.SPACE
            assert settled(found, item.holding, kept)


@given(volumes(), rules | caches, st.integers(0, 1000))
def test_downloads_stay_and_refusals_go_for_space_alone(
    volume: list[Holdings], kept: RetentionRules, need: int
) -> None:
    for _, item in judged(volume, kept, need):
        assert not (item.remove and item.holding.kind is Kind.STAGED)
        assert item.holding.kind is not Kind.REFUSED or item.remove in {None, Why.SPACE}


@given(volumes(), rules | caches, st.integers(0, 1000))
def test_nothing_goes_before_what_is_needed_less(volume: list[Holdings], kept: RetentionRules, need: int) -> None:
    """What readers see goes when nothing of the other ranks is left, and in each rank what was used longest ago."""
    before = [item for found in volume for item in retain(found, kept, now=NOW)]
    after = {(item.holding.model, item.holding.place): item.remove for _, item in judged(volume, kept, need)}
    ranked = [item for item in before if item.rank is not None]
    went, left = [], []
    for item in ranked:
        gone = after[item.holding.model, item.holding.place]
        (went if gone else left).append((item.rank or "", item.holding.used_at))
    assert not (went and left) or max(went) <= min(left)


@given(volumes(), rules | caches, st.integers(0, 500), st.integers(0, 500))
def test_more_need_removes_no_less(volume: list[Holdings], kept: RetentionRules, need: int, more: int) -> None:
    few = [item.remove is not None for _, item in judged(volume, kept, need)]
    many = [item.remove is not None for _, item in judged(volume, kept, need + more)]
    assert all(then >= now for now, then in zip(few, many, strict=True))


@given(volumes(), rules | caches)
def test_once_done_there_is_nothing_left_to_do(volume: list[Holdings], kept: RetentionRules) -> None:
    for found in volume:
        left = replace(found, directories=tuple(i.holding for i in retain(found, kept, now=NOW) if not i.remove))
        assert not any(item.remove for item in retain(left, kept, now=NOW))


def carried_out(found: Holdings, verdicts: list[Verdict], kept: RetentionRules) -> Holdings:
    """What is left of a model; what readers saw loses its link and has its time."""
    current, left = found.current, []
    for item in verdicts:
        held = item.holding
        if item.remove and held.linked and current is not None:
            current = replace(current, unpublished_at=NOW, evicted=True)
            held = replace(held, linked=False)
        if not item.remove or (item.holding.linked and kept.stale_seconds > 0):
            left.append(held)
    return replace(found, current=current, directories=tuple(left))


@given(volumes(), rules | caches, st.integers(0, 500))
def test_once_room_was_made_no_more_is_made_for_the_same_need(
    volume: list[Holdings], kept: RetentionRules, need: int
) -> None:
    answers = judged(volume, kept, need)
    left = [carried_out(found, [item for owner, item in answers if owner is found], kept) for found in volume]
    still = {(held.model, held.place) for found in left for held in found.directories}
    freed = sum(
        item.holding.size_bytes
        for _, item in answers
        if item.reason.startswith(NEEDED) and (item.holding.model, item.holding.place) not in still
    )
    assert not [item for _, item in judged(left, kept, max(need - freed, 0)) if item.reason.startswith(NEEDED)]


@given(volumes(), caches, st.integers(0, 500), st.integers(0, 1000))
def test_what_was_withdrawn_has_its_time_whatever_is_needed(
    volume: list[Holdings], kept: RetentionRules, need: int, then: int
) -> None:
    answers = judged(volume, kept, need)
    left = [carried_out(found, [item for owner, item in answers if owner is found], kept) for found in volume]
    seen = {(item.holding.model, item.holding.place) for _, item in answers if item.holding.linked}
    for _, item in judged(left, kept, then):
        if (item.holding.model, item.holding.place) in seen and not item.holding.linked:
            assert item.remove is None


@given(models(), st.integers(0, 3), st.floats(0, 2000))
def test_keeping_more_removes_no_more(found: Holdings, keep: int, stale: float) -> None:
    def gone(number: int) -> set[str]:
        verdicts = retain(found, RetentionRules(number, stale), now=NOW)
        return {item.holding.name for item in verdicts if item.remove}

    assert gone(keep + 1) <= gone(keep)


def seen_last(found: Holdings, held: Holding) -> float:
    """The latest moment at which readers may have seen it, from all that is told of it."""
    current = found.current
    if current is None:
        return max(held.made_at, found.changed_at)
    times = [old.superseded_at for old in current.previous if old.revision == held.revision]
    if current.revision == held.revision:
        times.append(current.unpublished_at or current.published_at)
    return max([*times, *([] if held.whole and times else [held.made_at])])


@given(models(), rules | caches, st.integers(0, 1000))
def test_nothing_goes_within_its_time(found: Holdings, kept: RetentionRules, need: int) -> None:
    for item in make_room(retain(found, kept, now=NOW), need):
        if item.remove and not item.holding.linked:  # what is linked is withdrawn, and has its time then
            assert NOW - seen_last(found, item.holding) >= kept.stale_seconds
