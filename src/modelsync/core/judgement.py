"""What the gate says of a model, and how its process says it.

The process reads what strangers wrote, so its words are not trusted either: `parse` takes any bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

CRASH, TIMEOUT = "gate-crash", "gate-timeout"
"""Rules for content on which the check itself fails: what nobody could look through is not published."""

_RULE = re.compile(r"[a-z][a-z0-9-]{0,39}")
_REASON_CHARACTERS = 1000
_WARNINGS = 100
_CODES = 4096


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is wrong with a model, by which rule. `path`: the file that it was found in, if it is one file's."""

    rule: str
    reason: str
    path: str | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether a model may be published.

    Attributes:
        refused: why not; None: it may.
        warnings: what the operator wants to be told of and not to be kept from.
    """

    refused: Flaw | None = None
    warnings: tuple[Flaw, ...] = ()


@dataclass(frozen=True, slots=True)
class Ready:
    """The process waits for models. `loose`: what it could not be kept from, in words; None: nothing."""

    loose: str | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """It needs a file, by its number in the order of the paths."""

    file: int


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file could not be read. `code`: the errno."""

    file: int
    code: int


Said = Ready | Wanted | Unreadable | Judgement


def render(said: Said) -> bytes:
    """Write what the process says."""
    match said:
        case Ready(loose):
            document: dict[str, Any] = {"ready": loose}
        case Wanted(file):
            document = {"wanted": file}
        case Unreadable(file, code):
            document = {"unreadable": [file, code]}
        case _:
            document = {
                "refused": None if said.refused is None else _fields(said.refused),
                "warnings": [_fields(warning) for warning in said.warnings[:_WARNINGS]],
            }
    return json.dumps(document).encode()


def parse(data: bytes, paths: Collection[str] = ()) -> Said | None:
    """Read what the process says, of a model with these paths; None if it is nothing that it may say."""
    try:
        match json.loads(data):
            case {"ready": None}:
                return Ready()
            case {"ready": str(loose)}:
                return Ready(_plain(loose))
            case {"wanted": int(file)} if 0 <= file < len(paths):
                return Wanted(file)
            case {"unreadable": [int(file), int(code)]} if 0 <= file < len(paths) and 0 <= code < _CODES:
                return Unreadable(file, code)
            case {"refused": None, "warnings": list(warnings)}:
                return Judgement(None, tuple(_flaw(warning, paths) for warning in warnings[:_WARNINGS]))
            case {"refused": refused, "warnings": list(warnings)}:
                told = tuple(_flaw(warning, paths) for warning in warnings[:_WARNINGS])
                return Judgement(_flaw(refused, paths), told)
            case _:
                return None
    except (ValueError, RecursionError):
        return None


def _fields(flaw: Flaw) -> list[str | None]:
    return [flaw.rule, flaw.reason[:_REASON_CHARACTERS], flaw.path]


def _flaw(found: Any, paths: Collection[str]) -> Flaw:
    match found:
        case [str(rule), str(reason), None | str() as path] if _RULE.fullmatch(rule) and (
            path is None or path in paths
        ):
            return Flaw(rule, _plain(reason), path)
        case _:
            raise ValueError("no flaw")


def _plain(text: str) -> str:
    """A foreign text that can stand in a log: one printable line of bounded length."""
    return "".join(character if character.isprintable() else "�" for character in text[:_REASON_CHARACTERS])
