"""YAML, judged by the events of its parser: nothing is built of it, and no tag is followed."""

from __future__ import annotations

from dataclasses import dataclass

import yaml

from modelsync.core.words import quoted
from modelsync.errors import Rejected
from modelsync.gate.source import Source

_MAX_BYTES = 4 << 20
_MAX_DEPTH = 64
_MAX_NODES = 500_000  # with every alias replaced by what it stands for
_MAX_ANCHORS = 10_000
_STANDARD = "tag:yaml.org,2002:"
_PLAIN = frozenset(
    _STANDARD + kind
    for kind in ("str", "int", "float", "bool", "null", "seq", "map", "set", "omap", "pairs", "binary", "timestamp",
                 "merge", "value")
)  # fmt: skip
_MERGE = "<<"


@dataclass
class _Open:
    """A collection that is being read."""

    anchor: str | None
    keys: set[int] | None  # hashes; None: a sequence
    children: int = 0
    nodes: int = 1


def check_yaml(source: Source, *, allow_code: bool = False) -> None:
    """Hold a file to YAML that stays small and makes nothing but plain values.

    Args:
        source: the file.
        allow_code: whether tags of an application's own, by which some loaders create objects, may pass. Python's
            own tags never may.

    Raises:
        Rejected: rule `yaml`.
    """
    if source.size_bytes > _MAX_BYTES:
        raise _bad(f"it has {source.size_bytes:,} bytes, more than {_MAX_BYTES:,}")
    document = _Document(allow_code=allow_code)
    try:
        for event in yaml.parse(source.read(0, source.size_bytes), Loader=yaml.CSafeLoader):
            document.take(event)
    except (yaml.YAMLError, UnicodeError) as error:
        place = getattr(error, "problem_mark", None)
        line = f" in line {place.line + 1:,}" if place else ""
        raise _bad(f"{getattr(error, 'problem', None) or 'it is malformed'}{line}") from error


class _Document:
    def __init__(self, *, allow_code: bool) -> None:
        self._allow_code = allow_code
        self._open: list[_Open] = []
        self._sizes: dict[str, int] = {}

    def take(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.DocumentStartEvent):
            self._sizes.clear()
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._sizes:
                raise _bad(f"alias {quoted(event.anchor)} stands for nothing that is complete before it")
            self._node(None, self._sizes[event.anchor])
        elif isinstance(event, yaml.ScalarEvent):
            self._tag(event.tag)
            self._key(event.value)
            self._node(event.anchor, 1)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._tag(event.tag)
            if len(self._open) == _MAX_DEPTH:
                raise _bad(f"it is nested deeper than {_MAX_DEPTH}")
            self._open.append(_Open(event.anchor, set() if isinstance(event, yaml.MappingStartEvent) else None))
        elif isinstance(event, yaml.CollectionEndEvent):
            done = self._open.pop()
            self._node(done.anchor, done.nodes)

    def _tag(self, tag: str | None) -> None:
        own = tag is not None and not tag.startswith(_STANDARD)
        if tag in {None, "!"} or tag in _PLAIN or (own and self._allow_code):
            return
        raise _bad(
            f"it has the tag {quoted(str(tag))}, by which a loader may create objects"
            + (" (GATE_PICKLE=allow lets it pass)" if own else "")
        )

    def _key(self, value: str) -> None:
        inside = self._open[-1] if self._open else None
        if inside is None or inside.keys is None or inside.children % 2 or value == _MERGE:
            return
        before = len(inside.keys)
        inside.keys.add(hash(value))
        if len(inside.keys) == before:
            raise _bad(f"a mapping has the key {quoted(value)} twice")

    def _node(self, anchor: str | None, nodes: int) -> None:
        """Count a node that is complete, with all in it."""
        if anchor is not None:
            self._sizes[anchor] = nodes
            if len(self._sizes) > _MAX_ANCHORS:
                raise _bad(f"it has more than {_MAX_ANCHORS:,} anchors")
        if self._open:
            self._open[-1].children += 1
            self._open[-1].nodes += nodes
            nodes = self._open[-1].nodes
        if nodes > _MAX_NODES:
            raise _bad(f"it has more than {_MAX_NODES:,} nodes, with its aliases replaced by what they stand for")


def _bad(why: str) -> Rejected:
    return Rejected("yaml", f"the YAML document cannot be used: {why}")
