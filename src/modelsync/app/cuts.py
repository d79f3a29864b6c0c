"""How an object was cut into parts when it was uploaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from modelsync.core.parts import MAX_PARTS


def cuts(size_bytes: int, count: int, ask: Callable[[int], int | None]) -> Iterator[Sequence[int]]:
    """Find out how an object may have been cut: the sizes of its parts, the likeliest cut first.

    Most uploads have parts of one size, which takes one question; only who is not content with that
    has each part asked for. A store that does not answer one question is not asked the next.

    Args:
        size_bytes: of the object.
        count: of its parts, as whoever wrote its ETag says: not more than there can be, or nothing is asked.
        ask: how large the n-th part is, from 1; None: the store does not say.
    """
    first = ask(1) if count <= MAX_PARTS else None
    if not first or first > size_bytes:
        return
    before_last = (count - 1) * first
    even = [first] * (count - 1) + [size_bytes - before_last] if before_last < size_bytes <= before_last + first else []
    if even:
        yield even
    sizes, left = [first], size_bytes - first
    for number in range(2, count + 1):
        size = ask(number)
        if not size or size > left:
            return
        sizes.append(size)
        left -= size
    if left == 0 and sizes != even:
        yield sizes
