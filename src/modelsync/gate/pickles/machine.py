"""Follows a pickle without carrying it out: what would lie on its stack, and what it would call.

Each step either does to kinds of values what the unpickler does to values, or refuses. So the names that STACK_GLOBAL
takes from the stack, directly or through the memo, are known for certain, or the pickle is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from modelsync.gate.pickles.extension import is_addable
from modelsync.gate.pickles.names import Rule, name_of, rule_of, storage_id, storage_of
from modelsync.gate.pickles.opcodes import Argument
from modelsync.gate.pickles.values import BadPickle, Global, Kind, Made, Storage, Tuple, Value, tuple_of

_MAX_STACK = 100_000
_MAX_MARKS = 1_000
_MAX_MEMO = 500_000
_SHOWN_CHARACTERS = 100


class Machine:
    """The stack, the marks and the memo of an unpickler, holding kinds of values.

    Attributes:
        names: module and attribute of each global that the pickle asked for.
        storages: that it asked the loader for, by their keys.
    """

    def __init__(self, added: frozenset[str]) -> None:
        self.names: set[tuple[str, str]] = set()
        self.storages: dict[str, Storage] = {}
        self._added = added
        self._stack: list[Value] = []
        self._marks: list[int] = []
        self._floor = 0  # where the last mark is
        self._memo: dict[int, Value] = {}

    def step(self, name: str, argument: Argument) -> None:
        """Judge one opcode.

        Raises:
            BadPickle: it may do harm, or is not what a pickler writes.
        """
        if name not in ACTIONS:
            raise BadPickle(f"{name} {REFUSED[name]}")
        ACTIONS[name](self, argument)

    # The stack and its marks

    def push(self, value: Value) -> None:
        """Put a value onto the stack."""
        if len(self._stack) >= _MAX_STACK:
            raise BadPickle(f"it holds more than {_MAX_STACK:,} values at once")
        self._stack.append(value)

    def top(self) -> Value:
        """The topmost value above the last mark."""
        if len(self._stack) <= self._floor:
            raise BadPickle("it takes a value that is not there")
        return self._stack[-1]

    def pop(self) -> Value:
        """Take the topmost value."""
        if len(self._stack) <= self._floor:
            raise BadPickle("it takes a value that is not there")
        return self._stack.pop()

    def pop_some(self, count: int) -> list[Value]:
        """Take so many values above the last mark."""
        start = len(self._stack) - count
        if start < self._floor:
            raise BadPickle("it takes a value that is not there")
        values = self._stack[start:]
        del self._stack[start:]
        return values

    def pop_mark(self) -> list[Value]:
        """Take the values above the last mark, and the mark."""
        if not self._marks:
            raise BadPickle("it takes a mark that is not there")
        start = self._marks.pop()
        self._floor = self._marks[-1] if self._marks else 0
        values = self._stack[start:]
        del self._stack[start:]
        return values

    def mark(self) -> None:
        """MARK."""
        if len(self._marks) >= _MAX_MARKS:
            raise BadPickle(f"it nests more than {_MAX_MARKS:,} collections")
        self._floor = len(self._stack)
        self._marks.append(self._floor)

    def drop(self) -> None:
        """POP: a value, or the mark if there is none above it."""
        if self._marks and self._floor == len(self._stack):
            self.pop_mark()
        else:
            self.pop()

    def drop_mark(self) -> None:
        """POP_MARK: the values above the mark, and it."""
        self.pop_mark()

    def stop(self) -> None:
        """STOP: one value is left."""
        if self._marks or len(self._stack) != 1:
            raise BadPickle("it does not leave one value at its end")

    # The memo

    def put(self, index: Argument) -> None:
        """PUT, BINPUT, LONG_BINPUT."""
        if not isinstance(index, int) or not 0 <= index < _MAX_MEMO:
            raise BadPickle(f"it numbers a value {index}")
        if index in self._memo:
            raise BadPickle(f"it numbers two values {index}, which no pickler does")
        self._memo[index] = self.top()

    def memoize(self) -> None:
        """MEMOIZE: the next number."""
        self.put(len(self._memo))

    def get(self, index: Argument) -> None:
        """GET, BINGET, LONG_BINGET."""
        if not isinstance(index, int) or index not in self._memo:
            raise BadPickle(f"it takes value {index}, which it never numbered")
        self.push(self._memo[index])

    # Collections

    def collect(self, kind: Kind) -> None:
        """LIST, DICT, FROZENSET: of the values above the mark."""
        values = self.pop_mark()
        if kind is Kind.DICT and len(values) % 2:
            raise BadPickle("it makes a dict of a key without a value")
        self.push(kind)

    def fill(self, kind: Kind, values: int) -> None:
        """Put items into what is topmost.

        Args:
            kind: the collection that the opcode is for; some objects take items in the same way.
            values: how many they are; for a dict two for each item.
        """
        if kind is Kind.DICT and values % 2:
            raise BadPickle("it puts a key without a value into a dict")
        target = self.top()
        if target is kind:
            return
        rule = self._rule_of(target)
        if not (rule and kind in rule.fill):
            raise BadPickle(f"it puts items into {_shown(target)}")
        self._untouched(target)

    # Globals, calls and objects

    def find(self, module: str, attribute: str) -> None:
        """GLOBAL: something to be imported."""
        self.names.add((module, attribute))
        name = name_of(module, attribute)
        if rule_of(name, self._added) is None:
            hint = "; if you know it to be harmless, GATE_PICKLE_ALLOW can add it" if is_addable(name) else ""
            raise BadPickle(f"it asks for {_quoted(name)}, which is no harmless name{hint}")
        self.push(Global(name))

    def find_on_stack(self) -> None:
        """STACK_GLOBAL: its name lies on the stack."""
        attribute, module = self.pop(), self.pop()
        if not isinstance(module, str) or not isinstance(attribute, str):
            raise BadPickle("it asks for a name that is not two short texts")
        self.find(module, attribute)

    def call(self) -> None:
        """REDUCE: call with a tuple of arguments."""
        arguments, function = self.pop(), self.pop()
        rule = self._rule_of(function, Global)
        if not (rule and rule.call and isinstance(arguments, Tuple) and rule.call(arguments)):
            raise BadPickle(f"it calls {_shown(function)} as no harmless pickle does")
        self.push(Made(rule.gives or _name(function)))

    def create(self) -> None:
        """NEWOBJ: an object that nothing initialises."""
        arguments, kind = self.pop(), self.pop()
        rule = self._rule_of(kind, Global)
        if not (rule and rule.new and isinstance(arguments, Tuple) and rule.new(arguments)):
            raise BadPickle(f"it makes an object of {_shown(kind)} as no harmless pickle does")
        self.push(Made(_name(kind)))

    def build(self) -> None:
        """BUILD: give an object its state."""
        state, target = self.pop(), self.top()
        rule = self._rule_of(target)
        if not (rule and rule.state and rule.state(state)):
            raise BadPickle(f"it changes {_shown(target)} as no harmless pickle does")
        self._untouched(target).built = True

    def fetch(self) -> None:
        """BINPERSID: what the loader finds by an id."""
        asked = self.pop()
        if not storage_id(asked):
            raise BadPickle("it asks the loader for what is no tensor's storage")
        key, storage = storage_of(asked)
        if self.storages.setdefault(key, storage).size_bytes != storage.size_bytes:
            raise BadPickle(f"it asks for storage {_quoted(key)} in two sizes")
        self.push(Kind.STORAGE)

    def _untouched(self, target: Value) -> Made:
        """An object that has not got its state yet: picklers give it last."""
        if not isinstance(target, Made) or target.built:
            raise BadPickle(f"it changes {_shown(target)} once more, after it was given its state")
        return target

    def _rule_of(self, value: Value, kind: type[Global | Made] = Made) -> Rule | None:
        """What may be done to a value of a kind."""
        return rule_of(value.name, self._added) if isinstance(value, kind) else None


def _name(value: Value) -> str:
    return value.name if isinstance(value, Global | Made) else ""


def _shown(value: Value) -> str:
    if isinstance(value, Global):
        return _quoted(value.name)
    if isinstance(value, Made):
        return f"an object of {_quoted(value.name)}"
    return "a plain value"


def _quoted(name: str) -> str:
    """A name in a sentence: bounded, and in ASCII, lest a letter is taken for its look-alike."""
    return ascii(name if len(name) <= _SHOWN_CHARACTERS else f"{name[:_SHOWN_CHARACTERS]}…")


Action = Callable[[Machine, Argument], None]


_literal = cast("Action", Machine.push)  # only a global's argument is more than a value


def _global(machine: Machine, argument: Argument) -> None:
    assert isinstance(argument, tuple)  # noqa: S101 - it is a global's name
    machine.find(*argument)


def _append(kind: Kind, values: int) -> Action:
    def action(machine: Machine, _: Argument) -> None:
        machine.pop_some(values)
        machine.fill(kind, values)

    return action


def _short_tuple(length: int) -> Action:
    def action(machine: Machine, _: Argument) -> None:
        machine.push(tuple_of(machine.pop_some(length)))

    return action


def _constant(value: Value) -> Action:
    return lambda machine, _: machine.push(value)


_LITERALS = (
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "SHORT_BINBYTES", "BINBYTES",
    "BINBYTES8", "BYTEARRAY8",
)  # fmt: skip

ACTIONS: dict[str, Action] = {
    **dict.fromkeys(_LITERALS, _literal),
    **dict.fromkeys(("PROTO", "FRAME"), lambda *_: None),  # the reader has judged them
    "NONE": _constant(None),
    "NEWTRUE": _constant(True),
    "NEWFALSE": _constant(False),
    "EMPTY_TUPLE": _constant(Tuple(())),
    "EMPTY_LIST": _constant(Kind.LIST),
    "EMPTY_DICT": _constant(Kind.DICT),
    "EMPTY_SET": _constant(Kind.SET),
    "LIST": lambda machine, _: machine.collect(Kind.LIST),
    "DICT": lambda machine, _: machine.collect(Kind.DICT),
    "FROZENSET": lambda machine, _: machine.collect(Kind.SET),
    "TUPLE": lambda machine, _: machine.push(tuple_of(machine.pop_mark())),
    "TUPLE1": _short_tuple(1),
    "TUPLE2": _short_tuple(2),
    "TUPLE3": _short_tuple(3),
    "APPEND": _append(Kind.LIST, 1),
    "SETITEM": _append(Kind.DICT, 2),
    "APPENDS": lambda machine, _: machine.fill(Kind.LIST, len(machine.pop_mark())),
    "SETITEMS": lambda machine, _: machine.fill(Kind.DICT, len(machine.pop_mark())),
    "ADDITEMS": lambda machine, _: machine.fill(Kind.SET, len(machine.pop_mark())),
    "MARK": lambda machine, _: machine.mark(),
    "POP": lambda machine, _: machine.drop(),
    "POP_MARK": lambda machine, _: machine.drop_mark(),
    "DUP": lambda machine, _: machine.push(machine.top()),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), Machine.put),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), Machine.get),
    "MEMOIZE": lambda machine, _: machine.memoize(),
    "GLOBAL": _global,
    "STACK_GLOBAL": lambda machine, _: machine.find_on_stack(),
    "REDUCE": lambda machine, _: machine.call(),
    "NEWOBJ": lambda machine, _: machine.create(),
    "BUILD": lambda machine, _: machine.build(),
    "BINPERSID": lambda machine, _: machine.fetch(),
    "STOP": lambda machine, _: machine.stop(),
}

REFUSED = {
    "INST": "makes an object as only Python 2 did",
    "OBJ": "makes an object as only Python 2 did",
    "NEWOBJ_EX": "makes an object with named arguments, which no checkpoint has",
    "EXT1": "takes a name from copyreg's registry, which is not in the file",
    "EXT2": "takes a name from copyreg's registry, which is not in the file",
    "EXT4": "takes a name from copyreg's registry, which is not in the file",
    "PERSID": "asks the loader for an object as torch never does",
    "NEXT_BUFFER": "asks the loader for a buffer, which is not in the file",
    "READONLY_BUFFER": "asks the loader for a buffer, which is not in the file",
}
