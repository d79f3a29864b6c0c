"""When a model that left the bucket goes, and when none does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from modelsync.core.deletions import DeletionRules, Policy, Review, depart, review
from modelsync.core.manifest import Current, Published
from modelsync.core.names import ModelId
from modelsync.core.objects import Digest, Revision
from modelsync.core.plan import Gone, Leave, Noop, Unpublish

NOW = 1_700_000_000.0
REVISION = Revision("r" * 32)
RULES = DeletionRules(grace_seconds=600)
KEEP = replace(RULES, policy=Policy.KEEP)


def record(name: str = "alice", **more: object) -> Current:
    return replace(Current(ModelId(name), REVISION, Digest("d"), 1.0), **more)  # type: ignore[arg-type]


def on_volume(current: Current | None, *, linked: bool = True) -> Published:
    return Published(current, REVISION if linked else None, frozenset({REVISION}))


def decide(current: Current | None, *, linked: bool = True, rules: DeletionRules = RULES) -> object:
    return depart(on_volume(current, linked=linked), now=NOW, rules=rules)


def test_the_first_listing_without_a_model_sets_a_tombstone_and_starts_the_grace() -> None:
    found = decide(record())
    assert isinstance(found, Leave)
    assert (found.since, found.known, found.seconds) == (NOW, False, 600)
    assert "seen first at 2023-11-14 22:13:20 UTC" in found.reason
    assert "withdrawn after 2023-11-14 22:23:20 UTC" in found.reason


def test_within_the_grace_it_stays() -> None:
    found = decide(record(gone_since=NOW - 599))
    assert isinstance(found, Leave)
    assert (found.since, found.known, found.seconds) == (NOW - 599, True, 1)


def test_after_the_grace_it_goes() -> None:
    found = decide(record(gone_since=NOW - 600))
    assert isinstance(found, Unpublish)
    assert (found.revision, found.since) == (REVISION, NOW - 600)


def test_without_a_grace_it_still_takes_two_listings() -> None:
    at_once = replace(RULES, grace_seconds=0)
    first = decide(record(), rules=at_once)
    assert isinstance(first, Leave)
    assert first.seconds == 0
    assert isinstance(decide(record(gone_since=NOW), rules=at_once), Unpublish)


def test_a_tombstone_of_the_future_counts_from_now() -> None:
    found = decide(record(gone_since=NOW + 5))
    assert isinstance(found, Leave)
    assert (found.since, found.known) == (NOW, False)


def test_the_policy_keep_leaves_it_for_ever() -> None:
    found = decide(record(gone_since=NOW - 1e9), rules=KEEP)
    assert isinstance(found, Leave)
    assert (found.known, found.seconds) == (True, None)
    assert "DELETE_POLICY=keep" in found.reason


def test_a_pinned_model_never_goes() -> None:
    found = decide(record(pin="rollback", gone_since=0.0))
    assert isinstance(found, Noop)
    assert "rollback" in found.reason


@pytest.mark.parametrize("rules", [RULES, KEEP], ids=["unpublish", "keep"])
def test_a_link_that_is_gone_already_is_put_on_record_at_once(rules: DeletionRules) -> None:
    assert isinstance(decide(record(), linked=False, rules=rules), Unpublish)


def test_what_readers_do_not_see_cannot_go() -> None:
    assert decide(None, linked=False) == Gone("no weight file in the bucket")
    assert decide(record(unpublished_at=1.0, gone_since=0.0), linked=False) == Gone("no weight file in the bucket")
    assert decide(None) == Gone("no weight file in the bucket: what is published stays"), "a damaged record"


def test_a_link_that_is_back_beside_the_record_of_its_withdrawal_goes_again() -> None:
    found = decide(record(gone_since=NOW - 600, unpublished_at=NOW - 1))
    assert isinstance(found, Unpublish)


def fleet(number: int, *, gone: int = 0, went: int = 0, went_at: float = NOW - 60) -> list[Current]:
    """So many published models, some of them gone; and some that were withdrawn beside them."""
    published = [record(f"m{n:02}", gone_since=NOW - 60 if n < gone else None) for n in range(number)]
    return published + [record(f"w{n}", gone_since=0.0, unpublished_at=went_at) for n in range(went)]


def judge(records: list[Current], *, rules: DeletionRules = RULES, missing: int = 0) -> Review:
    return review(records, now=NOW, rules=rules, missing=missing)


@pytest.mark.parametrize(
    ("number", "gone", "held"),
    [
        (10, 3, False),  # exactly the fraction
        (10, 4, True),
        (2, 1, False),  # one by itself goes, as long as others stay
        (3, 1, False),
        (3, 2, True),
        (6, 2, True),
        (7, 2, False),
        (1, 1, True),  # all there is
        (5, 5, True),
    ],
)
def test_too_many_at_once_stay_all(number: int, gone: int, held: bool) -> None:  # noqa: FBT001
    found = judge(fleet(number, gone=gone))
    assert found.gone == gone
    assert (found.held is not None) == held
    assert found.missing == (gone if held else 0)


def test_a_fraction_of_one_lets_all_but_everything_go() -> None:
    loose = replace(RULES, max_fraction=1.0)
    assert judge(fleet(10, gone=9), rules=loose).held is None
    found = judge(fleet(10, gone=10), rules=loose)
    assert found.held is not None
    assert "never taken for a deletion" in found.held


def test_the_reason_names_models_and_the_fraction_that_would_do() -> None:
    found = judge(fleet(9, gone=6))
    assert found.held is not None
    assert "6 of 9 published models left the bucket (m00, m01, m02, m03, m04 and 1 more)" in found.held
    assert "set DELETE_MAX_FRACTION to 0.67 or more" in found.held
    assert judge(fleet(9, gone=6), rules=replace(RULES, max_fraction=0.67)).held is None


@pytest.mark.parametrize(("went_at", "held"), [(NOW - 3600, True), (NOW - 3601, False)])
def test_one_after_the_other_is_at_once_within_an_hour(went_at: float, held: bool) -> None:  # noqa: FBT001
    found = judge(fleet(7, gone=1, went=3, went_at=went_at), rules=replace(RULES, grace_seconds=0))
    assert (found.held is not None) == held
    if found.held is not None:
        assert "3 were withdrawn since" in found.held


def test_within_a_longer_grace_too() -> None:
    long = replace(RULES, grace_seconds=86400)
    assert judge(fleet(7, gone=1, went=3, went_at=NOW - 86400), rules=long).held is not None


def test_once_held_back_they_stay_until_all_are_there_again_or_the_fraction_allows_for_it() -> None:
    tripped = judge(fleet(10, gone=5))
    assert tripped.missing == 5
    partly_back = judge(fleet(10, gone=1), missing=tripped.missing)
    assert partly_back.missing == 5
    assert partly_back.held is not None
    assert "5 were missing at once" in partly_back.held
    assert judge(fleet(10, gone=1), missing=5, rules=replace(RULES, max_fraction=0.5)).held is None
    all_back = judge(fleet(10), missing=5)
    assert (all_back.missing, all_back.held, all_back.summary) == (0, None, "no published model has left the bucket")
    assert judge(fleet(10, gone=1), missing=all_back.missing).held is None


def test_pinned_models_do_not_go_and_so_do_not_count_as_gone() -> None:
    pinned = [record(f"p{n}", pin="why", gone_since=0.0) for n in range(5)]
    found = judge([*fleet(5, gone=1), *pinned])
    assert (found.gone, found.held) == (1, None)


def test_the_policy_keep_needs_no_breaker() -> None:
    found = judge(fleet(5, gone=5), rules=KEEP)
    assert (found.gone, found.held) == (5, None)
    assert "kept, by DELETE_POLICY=keep" in found.summary


@pytest.mark.parametrize("rules", [RULES, KEEP], ids=["unpublish", "keep"])
def test_an_empty_bucket_is_never_taken_for_a_deletion(rules: DeletionRules) -> None:
    found = review(fleet(4, gone=1), now=NOW, rules=rules, bucket_empty=True)
    assert found.held is not None
    assert "check S3_BUCKET_NAME" in found.held


def test_an_empty_bucket_beside_an_empty_volume_is_fine() -> None:
    gone_long_ago = fleet(0, went=3, went_at=0.0)
    for records in ([], gone_long_ago):
        assert review(records, now=NOW, rules=RULES, bucket_empty=True).held is None
