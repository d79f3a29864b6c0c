"""The whole model by all rules, and the rules themselves."""

from __future__ import annotations

import pickle
import struct
from dataclasses import fields, replace
from typing import Any, Literal

import pytest

from modelsync.core.judgement import Judgement
from modelsync.core.limits import GateLimits
from modelsync.core.names import RelPath
from modelsync.gate.judge import judge
from modelsync.gate.rules import GateRules
from modelsync.gate.source import BytesSource

HEADER = b'{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}'
TENSORS = struct.pack("<Q", len(HEADER)) + HEADER + b"ab"
PICKLE = pickle.dumps({"weights": [1.0]})
EVIL = b"cos\nsystem\n(S'true'\ntR."


def judged(files: dict[str, bytes], **rules: Any) -> Judgement:
    sources = {RelPath(path): BytesSource(content) for path, content in files.items()}
    return judge(sources, GateRules(**rules))


def test_a_good_model_passes() -> None:
    assert judged({"model.safetensors": TENSORS, "config.json": b"{}", "vocab.txt": b"a b"}) == Judgement()


@pytest.mark.parametrize("structure", ["refuse", "warn", "off"])
def test_structure_is_refused_warned_of_or_not_looked_at(structure: Literal["refuse", "warn", "off"]) -> None:
    found = judged({"a.safetensors": TENSORS[:-1], "b.json": b"{", "c.txt": b"x"}, structure=structure)
    refused = [(found.refused.rule, found.refused.path)] if found.refused else []
    warned = [(flaw.rule, flaw.path) for flaw in found.warnings]
    both = [("safetensors", "a.safetensors"), ("json", "b.json")]
    assert (refused, warned) == {"refuse": (both[:1], []), "warn": ([], both), "off": ([], [])}[structure]
    if found.refused:
        assert found.refused.reason.startswith("'a.safetensors': the safetensors file cannot be used: ")


@pytest.mark.parametrize("structure", ["refuse", "warn", "off"])
def test_limits_hold_whatever_becomes_of_structure(structure: Literal["refuse", "warn", "off"]) -> None:
    limits = replace(GateLimits(), max_file_bytes=10)
    refused = judged({"a.safetensors": TENSORS}, structure=structure, pickle="allow", limits=limits).refused
    assert refused is not None
    assert (refused.rule, refused.path) == ("limits", None)
    assert "GATE_MAX_FILE_BYTES" in refused.reason


@pytest.mark.parametrize("structure", ["refuse", "warn", "off"])
@pytest.mark.parametrize("name", ["model.bin", "model.pth", "model.unknown"])
def test_pickles_are_judged_whatever_becomes_of_structure(
    structure: Literal["refuse", "warn", "off"], name: str
) -> None:
    for mode in ("scan", "refuse"):
        refused = judged({name: EVIL, "a.txt": b"\0"}, structure=structure, pickle=mode).refused
        assert refused is not None
        assert (refused.rule, refused.path) == (("pickle", name) if structure != "refuse" else ("text", "a.txt"))
    assert judged({name: EVIL}, structure=structure, pickle="allow").refused is None


@pytest.mark.parametrize("structure", ["warn", "off"])
def test_what_may_be_unpickled_must_be_whole_while_pickles_are_judged(structure: Literal["warn", "off"]) -> None:
    cut = {"model.bin": b"\x1f\x8b and so on"}
    refused = judged(cut, structure=structure).refused
    assert refused is not None
    assert refused.rule == "kind"
    assert judged(cut, structure=structure, pickle="allow").refused is None


def test_rules_are_handed_over_whole() -> None:
    rules = GateRules("warn", "refuse", ("a.b", "c.*"), GateLimits(1, 2, 3, 4, 5))
    assert GateRules.from_json(rules.to_json()) == rules
    assert GateRules.from_json(GateRules().to_json()) == GateRules()


def test_every_rule_is_part_of_their_name() -> None:
    others = [
        GateRules(structure="off"),
        GateRules(pickle="allow"),
        GateRules(pickle_allow=("a.b",)),
        *(GateRules(limits=replace(GateLimits(), **{field.name: 7})) for field in fields(GateLimits)),
    ]
    assert len({rules.digest for rules in [GateRules(), *others]}) == 1 + len(others)
    assert GateRules().digest == GateRules().digest
