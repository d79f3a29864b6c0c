"""Whether a dataclass holds what it declares. JSON on a volume may hold anything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Any, NewType, get_args, get_origin, get_type_hints

_LATEST = 1e11  # seconds since the epoch: later times have no date

Test = Callable[[Any], bool]


def well_formed(record: object) -> bool:
    """Whether all fields, at any depth, are of their kinds; strings can be written, and times have a date.

    Fields may be dataclasses, plain classes, unions, and tuples of one kind; every `float` is a time in seconds
    since the epoch.
    """
    return _test_of(type(record))(record)


def _make_test(kind: Any) -> Test:
    if isinstance(kind, NewType):
        return _test_of(kind.__supertype__)
    if get_origin(kind) is UnionType:
        return _any_of([_test_of(each) for each in get_args(kind)])
    if get_origin(kind) is tuple:
        return _all_are(_test_of(get_args(kind)[0]))
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return _has(kind, {field.name: _test_of(hints[field.name]) for field in fields(kind)})
    return {str: _is_text, float: _is_time}.get(kind, lambda value: type(value) is kind)


_test_of: Callable[[Any], Test] = cache(_make_test)


def _any_of(tests: list[Test]) -> Test:
    return lambda value: any(test(value) for test in tests)


def _all_are(test: Test) -> Test:
    return lambda value: isinstance(value, tuple) and all(map(test, value))


def _has(kind: Any, tests: dict[str, Test]) -> Test:
    return lambda value: isinstance(value, kind) and all(test(getattr(value, name)) for name, test in tests.items())


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and (value.isascii() or not any("\ud800" <= each <= "\udfff" for each in value))


def _is_time(value: Any) -> bool:
    return type(value) in {int, float} and abs(value) < _LATEST
