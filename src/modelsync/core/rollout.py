"""Which consumers run which revision, as they report it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

from modelsync.core.manifest import BadRecord, Record
from modelsync.core.objects import Revision

NAME = r"[\x21-\x7e]{1,253}"
"""What a consumer may call itself, as a pattern."""
RUNS = r"[0-9a-f]{8,64}"
"""What it may say that it runs."""
MOST_BYTES = 4096
"""Of a report on the volume."""
_ENDING = ".json"
_LONGEST = 200  # characters of a file's name before its ending
_DIGEST = 32


@dataclass(frozen=True)
class Consumer(Record):
    """An application that uses a model: `consumers/<name>.json`. `reported_at`: seconds since the epoch."""

    name: str
    revision: Revision
    reported_at: float


def report_name(consumer: str) -> str:
    """The file that holds what a consumer reports: its name, percent-encoded, and cut where that is too long.

    Examples:
        >>> report_name("tts/0"), report_name(".tmp")
        ('tts%2F0.json', '%2Etmp.json')
    """
    name = quote(consumer, safe="")
    if name.startswith("."):  # temporary names do
        name = f"%2E{name[1:]}"
    if len(name) > _LONGEST:
        digest = hashlib.sha256(consumer.encode()).hexdigest()[:_DIGEST]
        name = f"{name[: _LONGEST - _DIGEST - 1]}-{digest}"
    return name + _ENDING


def read_report(file: str, data: bytes) -> Consumer | None:
    """Read what stands in a file of a name; None if no consumer's report is written like that."""
    try:
        found = Consumer.from_json(data)
    except BadRecord:
        return None
    sound = re.fullmatch(NAME, found.name) and re.fullmatch(RUNS, found.revision)
    return found if sound and report_name(found.name) == file else None


def fresh(consumers: Iterable[Consumer], *, now: float, expiry_seconds: float) -> list[Consumer]:
    """Those that have reported lately, in order of their names. A time that is yet to come is no clock's of ours."""
    lately = [one for one in consumers if abs(now - one.reported_at) < expiry_seconds]
    return sorted(lately, key=lambda one: one.name)


@dataclass(frozen=True, slots=True)
class Rollout:
    """How far a revision has come.

    Attributes:
        consumers: how many have reported lately.
        current: how many of them run what readers see.
        complete: all of them do, and there is one.
    """

    consumers: int
    current: int
    complete: bool


def rollout(consumers: Iterable[Consumer], revision: Revision | None) -> Rollout:
    """Judge how far the revision that readers see has come.

    Args:
        consumers: those that count.
        revision: what readers see.
    """
    known = list(consumers)
    current = sum(consumer.revision == revision for consumer in known)
    return Rollout(len(known), current, complete=0 < current == len(known))
