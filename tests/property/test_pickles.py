"""What must hold of the scan of pickles, whatever it reads."""

from __future__ import annotations

import io
import itertools
import pickle
import pickletools
import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelsync.errors import Rejected
from modelsync.gate.pickles import PicklePolicy, judge_pickle, scan_pickle
from modelsync.gate.pickles.forms import Predicate
from modelsync.gate.pickles.machine import Machine
from modelsync.gate.pickles.names import Rule, name_of, rule_of
from modelsync.gate.pickles.values import KEPT_CHARACTERS, Global, Kind, Made, Value, tuple_of
from modelsync.gate.source import BytesSource
from support.pickles.assembler import (
    ADDITEMS,
    APPEND,
    APPENDS,
    BUILD,
    DUP,
    EMPTY_ARRAY,
    EMPTY_DICT,
    EMPTY_LIST,
    EMPTY_TUPLE,
    MARK,
    NAMESPACE,
    NEWOBJ,
    ORDERED,
    POP,
    REDUCE,
    SETITEM,
    TENSOR,
    array_state,
    call,
    dtype,
    dtype_state,
    get,
    named,
    number,
    put,
    text,
)
from support.pickles.assembler import pickle as whole
from support.pickles.benign import BENIGN
from support.pickles.hostile import HOSTILE

_SMALL = [data for data in (*BENIGN.values(), *(found.data for found in HOSTILE.values())) if len(data) < 5_000]
_OPCODES = [opcode.code.encode("latin-1") for opcode in pickletools.opcodes]
_PIECES = st.sampled_from(
    [
        *_OPCODES, b"\x80\x02", b"\x80\x04", b"X\x02\x00\x00\x00os", b"\x8c\x06system", b"\x8c\x0bcollections",
        b"\x8c\x0bOrderedDict", b"ccollections\nOrderedDict\n", b"ctorch._utils\n_rebuild_tensor_v2\n", b"K\x01",
        b"q\x00", b"h\x00", b"q\x01", b"h\x01", b"\x85R", b")R", b"(K\x01K\x02t", b"\x95\x05" + bytes(7), b"I1\n",
    ]
)  # fmt: skip

data_of_any_kind = st.one_of(
    st.binary(max_size=200),
    st.lists(_PIECES, max_size=60).map(b"".join),
    st.lists(_PIECES, max_size=60).map(lambda pieces: b"\x80\x04" + b"".join(pieces) + b"."),
)
plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=5)
        | st.sets(st.integers() | st.text(max_size=5), max_size=5)
    ),
    max_leaves=30,
)


def _judge(data: bytes) -> int | None:
    """The end of a pickle, or None if it is refused; nothing else may come of it."""
    begun = time.process_time()
    try:
        return judge_pickle(BytesSource(data), where="data.pkl", policy=PicklePolicy()).end
    except Rejected as error:
        refused = error
    finally:
        assert time.process_time() - begun < 2
    assert refused.rule == "pickle"
    assert len(refused.reason) < 500
    refused.reason.encode()
    return None


@given(data_of_any_kind)
def test_bytes_are_refused_or_end_somewhere(data: bytes) -> None:
    end = _judge(data)
    assert end is None or data[end - 1 : end] == b"."


@given(st.sampled_from(_SMALL), st.data())
def test_changed_pickles_are_refused_or_end_somewhere(data: bytes, draw: st.DataObject) -> None:
    """A byte changed, a piece cut out, put in or doubled."""
    start = draw.draw(st.integers(0, len(data)))
    stop = draw.draw(st.integers(start, min(len(data), start + 20)))
    piece = draw.draw(st.one_of(st.just(b""), st.binary(max_size=4), _PIECES, st.just(data[start:stop] * 2)))
    changed = data[:start] + piece + data[stop:]
    end = _judge(changed)
    assert end is None or end <= len(changed)


@given(plain_values, st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_plain_values_pass_in_every_protocol(value: object, protocol: int) -> None:
    data = pickle.dumps(value, protocol)
    assert _judge(data + b"behind it") == len(data)


class _Recorded(type):
    """A class that stands for a listed global: it does nothing, and what is done with it is noted."""

    rule: Rule
    known_as: str
    noted: list[str]
    state: Predicate | None

    def __call__(cls, *arguments: object) -> object:
        cls.hold("calls", cls.rule.call, arguments)
        return object.__new__(cls)

    def __new__(cls, name: str, noted: list[str]) -> _Recorded:
        rule = rule_of(name, frozenset())
        assert rule is not None
        methods = {"__new__": _new, "__setstate__": _take_state}
        of = rule_of(rule.gives, frozenset()) if rule.gives else rule
        fill = of.fill if of else ()
        if Kind.DICT in fill:
            methods["__setitem__"] = lambda *_: None
        if Kind.LIST in fill:
            methods |= dict.fromkeys(("append", "extend"), lambda *_: None)
        made = super().__new__(cls, "Recorded", (), methods)
        made.rule, made.known_as, made.noted, made.state = rule, name, noted, of.state if of else None
        return made

    def __init__(cls, *_: object) -> None:
        pass

    def hold(cls, what: str, form: Predicate | None, arguments: object) -> None:
        if form is None or not form(_value(arguments)):
            cls.noted.append(f"{what} {cls.known_as} {arguments!r:.100}")


def _new(cls: _Recorded, *arguments: object) -> object:
    cls.hold("makes", cls.rule.new, arguments)
    return object.__new__(cls)


def _take_state(self: Any, state: Any) -> None:
    type(self).hold("changes", type(self).state, state)
    if isinstance(state, dict):
        self.__dict__.update(state)


_STORAGE = object()


def _value(found: Any) -> Value:
    """What the scan calls a value that the unpickler made."""
    if isinstance(found, _Recorded):
        return Global(found.known_as)
    if isinstance(type(found), _Recorded):
        return Made(type(found).rule.gives or type(found).known_as)
    kinds = {list: Kind.LIST, dict: Kind.DICT, set: Kind.SET, frozenset: Kind.SET, float: Kind.NUMBER}
    match found:
        case None | bool() | int():
            return found
        case str():
            return found if len(found.encode("utf-8", "surrogatepass")) <= KEPT_CHARACTERS else Kind.TEXT
        case bytes() | bytearray():
            return Kind.BYTES
        case tuple():
            return tuple_of([_value(each) for each in found])
    return Kind.STORAGE if found is _STORAGE else kinds[type(found)]


def _watched(unpickler: type[Any], data: bytes) -> tuple[list[str], set[tuple[str, str]]]:
    """Unpickle, with stubs in place of what is imported: what is done that no rule allows, and what is asked for."""
    noted: list[str] = []
    asked: set[tuple[str, str]] = set()
    stubs: dict[str, _Recorded] = {}

    class Watched(unpickler):  # type: ignore[misc]
        def find_class(self, module: str, name: str) -> object:
            asked.add((module, name))
            known_as = name_of(module, name)
            if rule_of(known_as, frozenset()) is None:
                raise pickle.UnpicklingError("nothing else is imported")
            return stubs.setdefault(known_as, _Recorded(known_as, noted))

        def persistent_load(self, _: object) -> object:
            return _STORAGE

    with suppress(Exception):  # it fails with anything
        Watched(io.BytesIO(data)).load()
    return noted, asked


def _hold(data: bytes) -> None:
    """What passes does nothing but what the rules say, in the unpickler in C and in the one in Python."""
    try:
        scan_pickle(BytesSource(data), where="data.pkl", policy=PicklePolicy())
    except Rejected:
        return
    for unpickler in (pickle.Unpickler, pickle._Unpickler):  # type: ignore[attr-defined]
        noted, asked = _watched(unpickler, data)
        assert noted == []
        assert all(rule_of(name_of(*name), frozenset()) for name in asked)


_OBJECTS = [
    call(ORDERED), NAMESPACE, TENSOR, EMPTY_ARRAY, dtype(), EMPTY_LIST, EMPTY_DICT, b"\x8f",
    *(call(named("collections", name)) for name in ("Counter", "defaultdict", "deque")),
]  # fmt: skip
_STEPS = [
    *(
        EMPTY_DICT + text(name) + value + SETITEM + BUILD
        for name in ("append", "extend", "add", "__setstate__", "a")
        for value in (named("builtins", "bytearray"), named("collections", "Counter"), number(1))
    ),
    number(7) + APPEND, MARK + number(7) + APPENDS, MARK + number(7) + ADDITEMS, text("k") + number(7) + SETITEM,
    EMPTY_DICT + BUILD, dtype_state(), array_state(), DUP, POP, BUILD, REDUCE, NEWOBJ, EMPTY_TUPLE, put(0), get(0),
]  # fmt: skip
"""What is done with objects: most of it fails."""


def test_of_two_steps_what_passes_calls_only_what_its_rules_allow() -> None:
    for made, first, second in itertools.product(_OBJECTS, _STEPS, _STEPS):
        _hold(whole(made + first + second, 4))


@given(st.sampled_from(_OBJECTS), st.lists(st.sampled_from(_STEPS), max_size=6), st.integers(0, 2))
def test_what_passes_calls_only_what_its_rules_allow(made: bytes, steps: list[bytes], left: int) -> None:
    _hold(whole(made + b"".join(steps) + POP * left, 4))


@given(data_of_any_kind)
def test_bytes_that_pass_call_only_what_their_rules_allow(data: bytes) -> None:
    _hold(data)


@pytest.mark.parametrize("name", [name for name, data in BENIGN.items() if len(data) < 20_000])
def test_benign_pickles_call_only_what_their_rules_allow(name: str) -> None:
    _hold(BENIGN[name])


def test_the_stubs_see_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """An object's own `append` calls what it was given: a scan without its rules would let that pass."""
    data = HOSTILE["a method of an object's own"].data
    assert _watched(pickle.Unpickler, data)[0] == ["calls builtins.bytearray (1,)"]
    assert _watched(pickle._Unpickler, data)[0] == ["calls builtins.bytearray (1,)"]  # type: ignore[attr-defined]
    for name, found in HOSTILE.items():
        if name.startswith(("a codec that imports", "memory by ", "a dtype that all", "a set of what")):
            assert _watched(pickle.Unpickler, found.data)[0], name
    monkeypatch.setattr(Machine, "fill", lambda *_: None)
    with pytest.raises(AssertionError):
        _hold(data)


def test_stubs_meet_what_the_real_unpickler_asks_for() -> None:
    """Of hostile pickles too: whatever it is, a scan that passes has it on its list."""
    for found in HOSTILE.values():
        if len(found.data) < 100_000:
            _hold(found.data)
