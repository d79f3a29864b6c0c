"""How an object was cut into parts, found out by questions."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from modelsync.app.cuts import cuts

sizes_of_parts = st.lists(st.integers(1, 9), min_size=1, max_size=12) | st.builds(
    lambda size, count, last: [size] * count + [min(last, size)],
    st.integers(1, 9),
    st.integers(0, 12),
    st.integers(1, 9),
)


@given(sizes=sizes_of_parts)
@example(sizes=[5, 6, 4])
def test_the_cut_is_found_and_none_is_offered_twice(sizes: list[int]) -> None:
    asked = []

    def ask(number: int) -> int:
        asked.append(number)
        return sizes[number - 1]

    found = []
    for cut in cuts(sum(sizes), len(sizes), ask):
        assert sum(cut) == sum(sizes)
        assert cut not in found
        if not found and len(set(sizes[:-1])) <= 1 and sizes[-1] <= sizes[0]:
            assert asked == [1]
        found.append(cut)
    assert sizes in found
    assert asked == list(range(1, len(asked) + 1))
    assert len(asked) <= len(sizes)


@given(sizes=sizes_of_parts, silent=st.integers(1, 13), size_bytes=st.integers(0, 120))
def test_whatever_a_store_says_a_cut_makes_up_the_object_and_silence_ends_it(
    sizes: list[int], silent: int, size_bytes: int
) -> None:
    asked = []

    def ask(number: int) -> int | None:
        asked.append(number)
        return None if number == silent else sizes[number - 1]

    for cut in cuts(size_bytes, len(sizes), ask):
        assert (sum(cut), len(cut)) == (size_bytes, len(sizes))
        assert min(cut) > 0
    assert max(asked) <= silent


def test_no_upload_has_so_many_parts() -> None:
    asked: list[int] = []
    assert list(cuts(1 << 40, 10_001, asked.append)) == []
    assert asked == []
