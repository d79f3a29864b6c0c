"""What the gate's process says, and what is made of it when it is not what it should be."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelsync.core.judgement import Flaw, Judgement, Ready, Said, Unreadable, Wanted, parse, render

PATHS = ["config.json", "model.onnx"]
FLAW = Flaw("onnx", "'model.onnx': it is cut off", "model.onnx")

plain = st.text(st.characters(codec="ascii", categories=("L", "N", "P", "Zs")), max_size=200)
flaws = st.builds(
    Flaw, st.from_regex(r"[a-z][a-z0-9-]{0,39}", fullmatch=True), plain, st.none() | st.sampled_from(PATHS)
)


@given(
    st.builds(Ready, st.none() | plain)
    | st.builds(Wanted, st.integers(0, 1))
    | st.builds(Unreadable, st.integers(0, 1), st.integers(0, 200))
    | st.builds(Judgement, st.none() | flaws, st.lists(flaws, max_size=5).map(tuple))
)
def test_what_is_said_is_understood(said: Said) -> None:
    assert parse(render(said), PATHS) == said


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\xff\xfe",
        b"{" * 100_000,
        b"[" * 100_000,
        b"null",
        b'{"ready": 1}',
        b'{"wanted": -1}',
        b'{"wanted": 2}',
        b'{"wanted": "config.json"}',
        b'{"unreadable": [2, 5]}',
        b'{"unreadable": [0]}',
        b'{"unreadable": [0, -1]}',
        b'{"unreadable": [0, 1000000000000000000000]}',
        b'{"refused": null}',
        b'{"refused": null, "warnings": {}}',
        b'{"refused": ["onnx", "x"], "warnings": []}',
        b'{"refused": ["Not A Rule", "x", null], "warnings": []}',
        b'{"refused": ["onnx", "x", "another.onnx"], "warnings": []}',
        b'{"refused": ["onnx", 1, null], "warnings": []}',
        b'{"refused": null, "warnings": [["onnx", "x", ["model.onnx"]]]}',
        b'{"refused": {"rule": "onnx"}, "warnings": []}',
    ],
)
def test_nonsense_is_nothing(said: bytes) -> None:
    assert parse(said, PATHS) is None


@given(
    st.binary() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(lambda x: json.dumps(x).encode())
)
def test_no_bytes_raise(said: bytes) -> None:
    parse(said, PATHS)


def test_reasons_and_warnings_are_bounded_and_can_stand_in_a_log() -> None:
    long = Flaw("onnx", "é" * 5000)
    (warning, *_), refused = (judged := Judgement(long, (long,) * 500)).warnings, judged.refused
    assert (warning, refused) == (long, long)
    heard = parse(render(judged), PATHS)
    assert isinstance(heard, Judgement)
    assert heard.refused == Flaw("onnx", "é" * 1000)
    assert len(heard.warnings) == 100
    assert parse(b'{"ready": "a\\nb\\u001b[2Jc\\ud800"}') == Ready("a�b�[2Jc�")
    raw = json.dumps({"refused": None, "warnings": [["onnx", "x" * 5000, None]] * 500}).encode()
    heard = parse(raw, PATHS)
    assert isinstance(heard, Judgement)
    assert (len(heard.warnings), len(heard.warnings[0].reason)) == (100, 1000)
    assert parse(render(Judgement(FLAW)), PATHS) == Judgement(FLAW)
