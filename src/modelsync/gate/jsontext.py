"""Strict JSON in bounded memory: nothing of a document is kept but the names of the objects that are open."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable

from modelsync.core.words import quoted
from modelsync.errors import Rejected
from modelsync.gate.source import Source

# Groups are repeated within (?>…): Python 3.11 before 3.11.5 does not match (?:…)*+ as it should (gh-106052).
STRING = r'"[^"\\\x00-\x1f]*+(?>(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*)"'
SPACE = r"[ \t\n\r]*+"

_BLOCK_BYTES = 64 << 10
_MAX_BYTES = 32 << 20  # of nothing but brackets these take half a minute
_MAX_DEPTH = 64
_MAX_TOKEN = 1 << 20  # characters: tokenizers keep whole tables in one string
_MAX_NAMES = 300_000  # in the objects that are open; the largest vocabularies have 260,000
_WHITE = " \t\n\r"
_CUT = len("e+")  # what a number may go on with in the next block
_NUMBER = r"-?(?:0|[1-9][0-9]*+)(?>(?:\.[0-9]++)?)(?>(?:[eE][+-]?[0-9]++)?)"
_SCALAR = rf"(?:{STRING}|{_NUMBER}|true|false|null|NaN|-?Infinity)"

# Most of a document is runs of plain values: one match takes as many as the block holds.
_ITEMS = re.compile(rf"(?>(?:{SPACE}{_SCALAR}{SPACE},)*)")
_MEMBER = re.compile(rf"{SPACE}({STRING}){SPACE}:{SPACE}{_SCALAR}{SPACE},")
_MEMBERS = re.compile(rf"(?>(?:{SPACE}{STRING}{SPACE}:{SPACE}{_SCALAR}{SPACE},)*)")
_TOKEN = re.compile(rf"{SPACE}([{{}}\[\],:]|{_SCALAR})")


def check_json(source: Source) -> None:
    """Read a JSON document in UTF-8, whose objects have no name twice.

    `NaN` and `Infinity` pass: Python writes them into configurations, and reads them.

    Raises:
        Rejected: rule `json`.
    """
    if source.size_bytes > _MAX_BYTES:
        raise _bad(f"it has {source.size_bytes:,} bytes, more than {_MAX_BYTES:,}")
    _Document(_Text(source)).read()


class _Text:
    """The document a block at a time: what is behind `_at` is not read yet."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._offset = 0
        self._ended = False
        self._text = ""
        self._at = 0
        self._dropped = 0

    @property
    def position(self) -> int:
        """How many characters are read."""
        return self._dropped + self._at

    def run(self, pattern: re.Pattern[str]) -> str:
        """As much as the pattern matches in the block."""
        found = pattern.match(self._text, self._at)
        if found is None:
            return ""
        self._at = found.end()
        return found[0]

    def symbol(self) -> str:
        """The next symbol; empty at the end of the document."""
        while True:
            found = _TOKEN.match(self._text, self._at)
            if found is not None and (found.end() < len(self._text) - _CUT or self._ended):
                self._at = found.end()
                return found[1]
            if self._ended:
                if self._text[self._at :].strip(_WHITE):
                    raise _bad(f"what stands at character {self.position:,} is no JSON")
                return ""
            self._more()

    def _more(self) -> None:
        rest = self._text[self._at :].lstrip(_WHITE)
        if len(rest) > _MAX_TOKEN:
            raise _bad(f"what stands at character {self.position:,} is no JSON, or longer than {_MAX_TOKEN:,}")
        block = self._source.read(self._offset, max(_BLOCK_BYTES, len(rest)))
        self._ended = not block
        self._dropped += len(self._text) - len(rest)
        try:
            self._text = rest + self._decoder.decode(block, self._ended)
        except UnicodeDecodeError as error:
            raise _bad(f"it is not UTF-8 near byte {self._offset + error.start:,}") from error
        self._offset += len(block)
        self._at = 0


class _Document:
    """The grammar: `_expect` takes the next symbol."""

    def __init__(self, text: _Text) -> None:
        self._text = text
        self._open: list[set[int] | None] = []  # hashes of an object's names; None: an array
        self._names = 0
        self._expect: Callable[[_Document, str], None] = _Document._value  # unbound: cheaper to compare

    def read(self) -> None:
        while True:
            self._skip()
            symbol = self._text.symbol()
            if not symbol:
                break
            self._expect(self, symbol)
        if self._open or self._expect is not _Document._after:
            raise _bad("it ends before it is complete")

    def _skip(self) -> None:
        """Take a run of plain values, each with the comma behind it."""
        expect = self._expect
        if not self._open or expect is _Document._after:
            return
        if self._open[-1] is None:
            if self._text.run(_ITEMS):
                self._expect = _Document._value
        elif expect is _Document._name or expect is _Document._member:
            for name in _MEMBER.findall(self._text.run(_MEMBERS)):
                self._name(name)
                self._expect = _Document._name

    def _value(self, symbol: str) -> None:
        if symbol in {"{", "["}:
            if len(self._open) == _MAX_DEPTH:
                raise _bad(f"it is nested deeper than {_MAX_DEPTH}")
            self._open.append(set() if symbol == "{" else None)
            self._expect = _Document._member if symbol == "{" else _Document._item
        elif symbol in {"}", "]", ",", ":"}:
            raise self._misplaced(symbol)
        else:
            self._expect = _Document._after

    def _item(self, symbol: str) -> None:
        if symbol == "]":
            self._close()
        else:
            self._value(symbol)

    def _member(self, symbol: str) -> None:
        if symbol == "}":
            self._close()
        else:
            self._name(symbol)

    def _name(self, symbol: str) -> None:
        names = self._open[-1]
        if names is None or not symbol.startswith('"'):
            raise self._misplaced(symbol)
        before = len(names)
        names.add(hash(json.loads(symbol) if "\\" in symbol else symbol[1:-1]))
        if len(names) == before:
            raise _bad(f"an object has the name {quoted(symbol)} twice, before character {self._text.position:,}")
        self._names += 1
        if self._names > _MAX_NAMES:
            raise _bad(f"its objects have more than {_MAX_NAMES:,} names")
        self._expect = _Document._colon

    def _colon(self, symbol: str) -> None:
        if symbol != ":":
            raise self._misplaced(symbol)
        self._expect = _Document._value

    def _after(self, symbol: str) -> None:
        closing = "" if not self._open else "]" if self._open[-1] is None else "}"
        if closing and symbol == closing:
            self._close()
        elif closing and symbol == ",":
            self._expect = _Document._value if closing == "]" else _Document._name
        else:
            raise self._misplaced(symbol)

    def _close(self) -> None:
        self._names -= len(self._open.pop() or ())
        self._expect = _Document._after

    def _misplaced(self, symbol: str) -> Rejected:
        return _bad(f"{quoted(symbol)} is out of place before character {self._text.position:,}")


def _bad(why: str) -> Rejected:
    return Rejected("json", f"the JSON document cannot be used: {why}")
