"""Model files made by hand: benign ones of every kind, and what is wrong with corrupt ones."""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from modelsync.errors import Rejected
from modelsync.gate.pickles import Scanned
from modelsync.gate.source import Source

Corrupt = tuple[bytes, str]
"""A file's content, and a pattern for the reason of its refusal."""


@dataclass(frozen=True)
class Format:
    """A format's check and its corpus.

    Attributes:
        rule: of its refusals.
        name: of a file of this kind.
        check: the check alone.
        benign: contents by what they show.
        corrupt: the same, and why they are refused.
        also: another rule of its refusals, for what is inside.
    """

    rule: str
    name: str
    check: Callable[[Source], None]
    benign: Mapping[str, bytes]
    corrupt: Mapping[str, Corrupt]
    also: str = ""


def scan(source: Source, *, where: str) -> Scanned:
    """Stands for the judge of pickles: finds where one ends, and says no to nothing but what is none."""
    data = source.read(0, source.size_bytes)
    try:
        *_, (_, _, last) = pickletools.genops(data)
    except ValueError as error:
        raise Rejected("pickle", f"{where} is no pickle: {str(error)[:100]}") from error  # pickletools quotes at length
    assert last is not None
    return Scanned(last + 1)


CUT = "cut off at byte"


def every(data: bytes, cuts: int, why: str) -> dict[str, Corrupt]:
    """A file cut off at so many places, and what is said of these."""
    step = max(len(data) // cuts, 1)
    return {f"{CUT} {at}": (data[:at], why) for at in range(0, len(data), step)}
