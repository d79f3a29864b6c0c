"""What fuzzing began with and what it has found, once more; `make fuzz` looks for more."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from fuzz.targets import TARGETS, WORDS

CORPUS = Path(__file__).parents[1] / "fuzz/corpus"


@pytest.mark.parametrize("name", TARGETS)
def test_no_input_breaks_its_reader_or_takes_long(name: str) -> None:
    inputs = sorted((CORPUS / name).iterdir())
    assert inputs
    for found in inputs:
        start = time.process_time()
        TARGETS[name](found.read_bytes())
        assert time.process_time() - start < 0.5, found.name


def test_every_target_has_words_and_a_corpus() -> None:
    assert set(WORDS) == set(TARGETS) == {directory.name for directory in CORPUS.iterdir()}
