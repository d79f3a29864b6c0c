"""Runs the demo and saves its last picture as docs/demo.svg."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from modelsync.demo import run_demo

PICTURE = Path(__file__).parent.parent / "docs" / "demo.svg"


def main() -> None:
    recorder = Console(record=True, force_terminal=True, width=112, height=40, file=io.StringIO())
    code = run_demo(None, once=True, console=recorder)
    if code:
        raise SystemExit(code)
    # Every refresh of the live view was recorded: the last one is the picture.
    buffer = recorder._record_buffer
    last = max(index for index, segment in enumerate(buffer) if "╭" in segment.text)
    del buffer[:last]
    recorder.save_svg(str(PICTURE), title="make demo")


if __name__ == "__main__":
    main()
