"""The whole corpus through the gate as it is shipped: the process, its confinement, and every rule."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from modelsync.adapters.gate import CheckerGate, GateOptions
from modelsync.core import facts
from modelsync.core.facts import Fact
from modelsync.core.judgement import Judgement
from modelsync.core.names import RelPath
from modelsync.errors import Rejected
from modelsync.gate.kinds import Kind, kind_of
from modelsync.gate.pickles import PicklePolicy, judge_pickle
from modelsync.gate.rules import GateRules
from modelsync.gate.source import BytesSource
from support.formats.all import FORMATS
from support.formats.checkpoints import archive
from support.formats.zips import Member
from support.pickles.benign import BENIGN
from support.pickles.hostile import HOSTILE

BESIDE = {"model.bin": bytes(64)}
"""What the ONNX models of the corpus keep their tensors in."""

SPARSE = {"zip-sparse.pth", "legacy-sparse.pth"}
"""Whole, but their pickles are refused: torch trusts the indices of sparse tensors."""


def kind_is_text(content: bytes) -> bool:
    """Whether a vocabulary is taken for one of tiktoken's."""
    try:
        return kind_of(RelPath("a.model"), BytesSource(content)) is Kind.TEXT
    except Rejected:
        return False


class Judge:
    """Judges files that it writes first."""

    def __init__(self, directory: Path) -> None:
        self.told: list[Fact] = []
        self.directory = directory
        rules = GateRules()
        self.gate = CheckerGate(GateOptions(rules.to_json(), rules.digest), self.told.append)

    def __call__(self, files: dict[str, bytes]) -> Judgement:
        for name, content in files.items():
            (self.directory / name).write_bytes(content)
        return self.gate.judge(str(self.directory), {RelPath(name): len(files[name]) for name in files}, lambda: None)


@pytest.fixture
def judge(tmp_path: Path) -> Iterator[Judge]:
    made = Judge(tmp_path)
    yield made
    made.gate.close()
    assert [fact for fact in made.told if isinstance(fact, facts.CheckerFailed)] == [], "no file broke it"


@pytest.mark.parametrize("name", FORMATS)
def test_every_format(judge: Judge, name: str) -> None:
    """What is refused is so by the format's rule, or because it is not even recognised; never by a failure."""
    form = FORMATS[name]
    wrong = {case: judge(BESIDE | {form.name: content}).refused for case, content in form.benign.items()}
    assert {case: flaw for case, flaw in wrong.items() if flaw and case not in SPARSE} == {}
    rules = {
        case: judge(BESIDE | {form.name: content}).refused
        for case, (content, _) in form.corrupt.items()
        if not (name == "sentencepiece" and kind_is_text(content))
    }
    allowed = {form.rule, form.also, "kind"} | ({"pickle"} if "torch" in name else set())
    assert {case: flaw for case, flaw in rules.items() if flaw is None or flaw.rule not in allowed} == {}
    assert all(flaw.path == form.name for flaw in rules.values() if flaw)


def test_every_pickle(judge: Judge) -> None:
    """In archives, as they come, with the storages that they ask for; but those that need gigabytes."""
    refused = {}
    for name, data in BENIGN.items():
        storages = judge_pickle(BytesSource(data), where="", policy=PicklePolicy()).storages or {}
        if not any(storage.size_bytes > 1 << 20 or len(key) > 9 for key, storage in storages.items()):
            beside = [Member(f"a/data/{key}", bytes(storage.size_bytes)) for key, storage in storages.items()]
            refused[name] = judge({"model.pth": archive(*beside, state=data)}).refused
    assert len(refused) > 300
    assert {name: flaw for name, flaw in refused.items() if flaw} == {}
    hostile = {name: judge({"model.pth": archive(state=found.data)}).refused for name, found in HOSTILE.items()}
    assert {name: flaw for name, flaw in hostile.items() if flaw is None or flaw.rule != "pickle"} == {}


def test_every_hostile_pickle_alone_whatever_it_is_called(judge: Judge) -> None:
    """Some are taken for text or for nothing that is known; none passes under a name that may be unpickled."""
    for name in ("model.pth", "model.bin"):
        passed = [case for case, found in HOSTILE.items() if judge({name: found.data}).refused is None and found.live]
        assert passed == []
