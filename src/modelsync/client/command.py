"""`modelsync wait`: by the standard library alone, for init containers of the applications."""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import sys
import time
from collections.abc import Sequence
from typing import NoReturn

from modelsync.client.place import Place, Target
from modelsync.client.watch import until_published
from modelsync.errors import BadModelName, ReadFailed

FAILED = 1
MISUSED = 2
_POLL_SECONDS = 1.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; return the exit code.

    Args:
        arguments: `wait` and what follows it; None: those of the process.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    options = _parser().parse_args(arguments)
    try:
        places = [Place(model, None) for model in options.models]
    except BadModelName as error:
        return _tell(str(error), MISUSED)
    base = places[0].base
    if not os.path.isdir(base):  # noqa: PTH112 - Path.is_dir raises where it must not be looked at
        return _tell(f"MODELS_BASE_PATH={base} is no directory: mount the volume there, or set the right path", MISUSED)
    return wait(places, options.timeout, as_json=options.json)


def wait(places: Sequence[Place], timeout: float, *, as_json: bool) -> int:
    """Wait until all are published, print where they are, and return the exit code."""
    deadline = time.monotonic() + timeout
    missing: dict[str, str] = {}
    found: dict[str, Target] = {}
    for place in places:
        left = max(deadline - time.monotonic(), 0.0)
        try:
            target = until_published(place, place.present, timeout=left, poll_seconds=_POLL_SECONDS)
        except ReadFailed as error:
            missing[place.model] = str(error)
        else:
            found[place.model] = target
            if not as_json:
                _print(f"{place.model} {target.revision} {target.path}")
    if as_json:
        _print(json.dumps(_document(found, missing), indent=2))
    for why in missing.values():
        _tell(why, FAILED)
    return FAILED if missing else 0


def _document(found: dict[str, Target], missing: dict[str, str]) -> dict[str, object]:
    models = [
        {"model": model, "revision": target.revision, "path": str(target.path)} for model, target in found.items()
    ]
    return {"models": models, "missing": [{"model": model, "reason": why} for model, why in missing.items()]}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="modelsync", description="What the readers of models need.")
    commands = parser.add_subparsers(required=True, metavar="wait")
    waits = commands.add_parser(
        "wait",
        description="Wait until models are published on the volume MODELS_BASE_PATH; print each one's name, revision"
        " and path. A read-only mount will do. Exits 1 if time runs out.",
    )
    waits.add_argument("models", nargs="+", metavar="MODEL")
    waits.add_argument("--timeout", type=_seconds, default=600.0, metavar="SECONDS", help="longest wait; default: 600")
    waits.add_argument("--json", action="store_true", help="print JSON, at the end")
    return parser


def _seconds(text: str) -> float:
    seconds = float(text)
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ValueError(text)
    return seconds


def _end(number: int, _frame: object) -> NoReturn:
    # As the first process of a container it would not be ended by a signal that it does not handle.
    raise SystemExit(128 + number)


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _tell(sentence: str, code: int) -> int:
    sys.stderr.write(f"modelsync: {sentence}\n")
    return code
