"""What may lie on a pickle's stack, as far as a judgement needs it.

Short texts and integers are themselves. A `bytes` is a text of Python 2, which may become either. Of all else
only the kind is kept, so that what is kept is small whatever the pickle claims.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

KEPT_CHARACTERS = 256
"""Longer texts are no names: of them only the kind is kept."""

_MAX_ITEMS = 32
_MAX_DEPTH = 3


class Kind(Enum):
    """A value of which no more is known than what it is."""

    TEXT = auto()
    BYTES = auto()
    NUMBER = auto()
    LIST = auto()
    DICT = auto()
    SET = auto()
    TUPLE = auto()
    STORAGE = auto()


@dataclass(frozen=True, slots=True)
class Global:
    """Something imported: a module's attribute."""

    name: str


@dataclass(frozen=True, slots=True)
class Made:
    """What calling a global gave: an object of the class of this name."""

    name: str


@dataclass(frozen=True, slots=True)
class Tuple:
    """A small tuple: arguments, sizes, states.

    Attributes:
        items: its values.
        depth: how many tuples lie in each other, itself included.
    """

    items: tuple[Value, ...]
    depth: int = 1


Value = None | bool | int | str | bytes | Kind | Global | Made | Tuple


def tuple_of(items: list[Value]) -> Value:
    """A tuple whose items are kept if they are few and do not go deep."""
    depth = 1 + max((item.depth for item in items if isinstance(item, Tuple)), default=0)
    return Tuple(tuple(items), depth) if len(items) <= _MAX_ITEMS and depth <= _MAX_DEPTH else Kind.TUPLE


def text_of(value: Value) -> str | None:
    """The text that a value is, if it is a short one."""
    return value.decode("latin-1") if isinstance(value, bytes) else value if isinstance(value, str) else None
