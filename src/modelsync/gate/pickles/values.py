"""What may lie on a pickle's stack, as far as a judgement needs it.

Short texts and integers are themselves. A `bytes` is a text of Python 2, which may become either. Of all else
only the kind is kept, so that what is kept is small whatever the pickle claims.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

KEPT_CHARACTERS = 256
"""Longer texts are no names: of them only the kind is kept."""

_MAX_ITEMS = 32
_MAX_DEPTH = 3
_MAX_WEIGHT = 100_000


class BadPickle(Exception):
    """What is wrong with a pickle, in a part of a sentence."""


class Kind(Enum):
    """A value of which no more is known than what it is."""

    TEXT = auto()
    BYTES = auto()
    NUMBER = auto()
    LIST = auto()
    DICT = auto()
    SET = auto()
    STORAGE = auto()


@dataclass(frozen=True, slots=True)
class Global:
    """Something imported: a module's attribute."""

    name: str


@dataclass(slots=True, eq=False)
class Made:
    """What calling a global gave: one object, of the class of this name.

    Attributes:
        name: the class's.
        built: BUILD gave it its state. With attributes of the pickle's choice it is not touched again: `append` and
            `__setstate__` are looked up on the object itself.
    """

    name: str
    built: bool = False


@dataclass(frozen=True, slots=True)
class Tuple:
    """A tuple: arguments, sizes, states.

    Attributes:
        items: its values; None if they are many or lie deep, and so are nothing that is looked at.
        depth: how many tuples lie in each other, itself included.
        weight: how many values it unfolds to.
    """

    items: tuple[Value, ...] | None = ()
    depth: int = 1
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Storage:
    """The bytes of tensors, which lie beside the pickle: so many elements of so many bytes."""

    elements: int
    element_bytes: int

    @property
    def size_bytes(self) -> int:
        """Of all elements."""
        return self.elements * self.element_bytes


@dataclass(frozen=True, slots=True)
class Scanned:
    """What is known of a pickle that may pass.

    Attributes:
        end: where it ends.
        storages: that it asks its loader for, by their keys; None: all pickles pass, and nobody has looked.
    """

    end: int
    storages: Mapping[str, Storage] | None = None


Value = None | bool | int | str | bytes | Kind | Global | Made | Tuple


def tuple_of(values: list[Value]) -> Tuple:
    """A tuple of values.

    Raises:
        BadPickle: it unfolds to so many values that hashing it would not end: tuples that hold one tuple twice.
    """
    depth, weight = 1, 1 + len(values)
    for value in values:
        if isinstance(value, Tuple):
            depth = max(depth, value.depth + 1)
            weight += value.weight - 1
    if weight > _MAX_WEIGHT:
        raise BadPickle(f"a tuple unfolds to more than {_MAX_WEIGHT:,} values")
    kept = len(values) <= _MAX_ITEMS and depth <= _MAX_DEPTH
    return Tuple(tuple(values) if kept else None, depth, weight)


def text_of(value: Value) -> str | None:
    """The text that a value is, if it is a short one."""
    return value.decode("latin-1") if isinstance(value, bytes) else value if isinstance(value, str) else None
