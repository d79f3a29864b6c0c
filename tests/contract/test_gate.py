"""What every gate does: the process that checks, and the fake one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fakes.gate import BAD, FakeGate
from modelsync.adapters.gate import CheckerGate, GateOptions
from modelsync.core.judgement import Judgement
from modelsync.core.limits import GateLimits
from modelsync.core.names import RelPath
from modelsync.errors import Stopped, VolumeFailed
from modelsync.gate.rules import GateRules
from modelsync.ports.gate import Gate

GOOD = {"config.json": b'{"sample_rate": 22050}', "de/vocab.txt": b"a b c\n"}


@pytest.fixture(params=["checker", "fake"])
def gate(request: pytest.FixtureRequest) -> Iterator[Gate]:
    if request.param == "fake":
        yield FakeGate()
        return
    rules = GateRules()
    made = CheckerGate(GateOptions(rules.to_json(), rules.digest), lambda _: None)
    yield made
    made.close()


@pytest.fixture
def judge(gate: Gate, tmp_path: Path) -> Callable[..., Judgement]:
    def judge(files: dict[str, bytes], attend: Callable[[], None] = lambda: None) -> Judgement:
        for name, content in files.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(content)
        return gate.judge(str(tmp_path), {RelPath(name): len(content) for name, content in files.items()}, attend)

    return judge


def test_what_is_well_passes_any_number_of_times(judge: Callable[..., Judgement]) -> None:
    assert [judge(GOOD) for _ in range(3)] == [Judgement()] * 3


def test_what_is_not_is_refused_with_rule_reason_and_file(judge: Callable[..., Judgement]) -> None:
    refused = judge(GOOD | {"config.json": BAD + b"{"}).refused
    assert refused is not None
    assert refused.path == "config.json"
    assert "'config.json': " in refused.reason
    assert refused.rule
    assert judge(GOOD) == Judgement(), "the next model is judged by itself"


def test_files_that_are_not_there_or_of_another_size_are_no_judgement(gate: Gate, tmp_path: Path) -> None:
    files = {RelPath("config.json"): 2}
    with pytest.raises(VolumeFailed, match=r"cannot check config\.json"):
        gate.judge(str(tmp_path), files, lambda: None)
    (tmp_path / "config.json").write_bytes(b"{ }")
    with pytest.raises(VolumeFailed, match=r"cannot check config\.json: it was changed"):
        gate.judge(str(tmp_path), files, lambda: None)


def test_whoever_attends_can_stop_it(judge: Callable[..., Judgement]) -> None:
    def stop() -> None:
        raise Stopped("the service ends")

    with pytest.raises(Stopped):
        judge(GOOD, stop)
    assert judge(GOOD) == Judgement()


def test_the_rules_have_a_name(gate: Gate) -> None:
    assert gate.rules == gate.rules != ""


def test_the_limits_are_told_beforehand(gate: Gate) -> None:
    assert gate.limits == GateLimits()
