"""The forms that values may have: what a harmless global may be called with, what state its objects may be given.

A function that is harmless for a pickler's arguments need not be so for others': `bytearray(10**12)` takes the
machine's memory, a `numpy.dtype` with a forged state reads beyond its buffer. So arguments are held to the forms
that picklers write.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from modelsync.gate.pickles.values import Global, Kind, Made, Tuple, Value, text_of

Predicate = Callable[[Value], bool]
"""Whether a value is of a form. None hashes or compares tuples, which may hold one tuple many times."""

# Numbers of a fixed size, alone. 'O' would make pointers of bytes; fields, subarrays and flexible sizes can be forged
# to reach beyond the buffer.
_NUMERIC_DTYPE = re.compile(r"b1|[iu][1248]|f(2|4|8|16)|c(8|16|32)")


def anything(_: Value) -> bool:
    """Whatever it is."""
    return True


def nothing(value: Value) -> bool:
    """None."""
    return value is None


def text(value: Value) -> bool:
    """A text of any length."""
    return isinstance(value, (str, bytes)) or value is Kind.TEXT


def short_text(value: Value) -> bool:
    """A text that is known."""
    return isinstance(value, (str, bytes))


def flag(value: Value) -> bool:
    """A boolean, or the integer that some versions write instead."""
    return isinstance(value, int) and value in {0, 1}


def whole(value: Value) -> bool:
    """An integer."""
    return isinstance(value, int)


def count(value: Value) -> bool:
    """An integer that is not negative."""
    return isinstance(value, int) and value >= 0


def number(value: Value) -> bool:
    """An integer or a float."""
    return isinstance(value, int) or value is Kind.NUMBER


def raw(value: Value) -> bool:
    """Bytes, or what takes their place in older protocols."""
    return text(value) or value is Kind.BYTES or (isinstance(value, Made) and value.name == "builtins.bytes")


def listing(value: Value) -> bool:
    """A list."""
    return value is Kind.LIST


def mapping(value: Value) -> bool:
    """A dict."""
    return value is Kind.DICT


def storage(value: Value) -> bool:
    """The bytes of a tensor, which torch finds by their key."""
    return value is Kind.STORAGE


def sizes(value: Value) -> bool:
    """A tuple, as of a tensor's sizes."""
    return isinstance(value, Tuple) or (isinstance(value, Made) and value.name == "torch.Size")


def one_of(*texts: str) -> Predicate:
    """One of these texts."""
    return lambda value: text_of(value) in texts


def made(*names: str) -> Predicate:
    """An object of one of these classes."""
    return lambda value: isinstance(value, Made) and value.name in names


def imported(*names: str) -> Predicate:
    """One of these globals itself."""
    return lambda value: isinstance(value, Global) and value.name in names


def either(*forms: Predicate) -> Predicate:
    """Of any of these forms."""
    return lambda value: any(form(value) for form in forms)


def takes(*forms: Predicate, least: int | None = None) -> Predicate:
    """A tuple of values of these forms; at least `least` of them, or all."""
    fewest = len(forms) if least is None else least

    def check(value: Value) -> bool:
        if not isinstance(value, Tuple) or value.items is None or not fewest <= len(value.items) <= len(forms):
            return False
        for form, item in zip(forms, value.items, strict=False):  # noqa: SIM110 - a third of the time of all()
            if not form(item):
                return False
        return True

    return check


def texts(value: Value) -> bool:
    """A tuple of texts."""
    return isinstance(value, Tuple) and value.items is not None and all(map(text, value.items))


def numeric_dtype(value: Value) -> bool:
    """The code of a type of numbers."""
    return bool(_NUMERIC_DTYPE.fullmatch(text_of(value) or ""))


def exactly(*wanted: int | None) -> Predicate:
    """One of these integers, or None."""
    return lambda value: (value is None or isinstance(value, int)) and value in wanted


hooks = either(nothing, made("collections.OrderedDict"))
"""A tensor's backward hooks: none, or a mapping that is empty since 2017."""

dtype_state = takes(
    exactly(3, 4), one_of("<", ">", "|", "="), nothing, nothing, nothing, exactly(-1), exactly(-1), exactly(0), nothing,
    least=8,
)  # fmt: skip
"""The state of a `numpy.dtype` of numbers: its byte order, and nothing else."""

array_state = takes(exactly(1), sizes, made("numpy.dtype"), flag, raw)
"""The state of a `numpy.ndarray`: its shape, type, order and bytes."""
