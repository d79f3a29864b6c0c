"""Fuzz one target: `run.py TARGET [libFuzzer's arguments]`, with atheris in PYTHONPATH."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import atheris

sys.path[:0] = [str(Path(__file__).parents[1])]
with atheris.instrument_imports(include=["modelsync"]):
    from fuzz.targets import TARGETS, WORDS

_CPU_SECONDS = 2.0  # for one input of some kilobytes, on a busy machine, counted as it is fuzzed


def main(name: str, arguments: list[str]) -> None:
    """Fuzz until libFuzzer's bounds are met; exit code 77 if something is found."""
    words = Path(f".cache/fuzz/{name}.dict")
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in WORDS[name]))
    target = TARGETS[name]

    def one(data: bytes) -> None:
        start = time.process_time()
        target(data)
        assert time.process_time() - start < _CPU_SECONDS, "too slow"

    atheris.Setup([sys.argv[0], f"-dict={words}", *arguments], one)
    atheris.Fuzz()


def _escaped(word: str) -> str:
    return "".join(c if c.isalnum() or c in " <>/:,.[]{}" else f"\\x{ord(c):02x}" for c in word)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
