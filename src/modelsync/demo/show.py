"""The story that `modelsync demo` tells."""

from __future__ import annotations

import os
import signal
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from modelsync.config import load
from modelsync.core.names import ModelId
from modelsync.demo.emulator import ENVIRONMENT, Emulator, Place
from modelsync.demo.reader import Reader
from modelsync.demo.upload import put, upload
from modelsync.demo.view import View
from modelsync.errors import ConfigurationError
from modelsync.service.run import Service
from modelsync.telemetry.logs import LogOptions, configure_logging

_VOICE = ModelId("alice")
_UPDATES = 20


class _Unexpected(Exception):
    """The show did not go as it must."""


@dataclass(frozen=True)
class _Stage:
    emulator: Emulator
    place: Place
    s3: Any
    service: Service
    view: View
    reader: Reader


def run_demo(directory: Path | None, *, once: bool, console: Console | None = None) -> int:
    """Tell the story; return the exit code.

    Args:
        directory: where the models go; None: a temporary one, removed at the end.
        once: end after the story, not on Ctrl-C.
        console: where it is told; None: standard output.

    Raises:
        ConfigurationError: a part cannot start.
    """
    try:
        import moto  # noqa: F401
        import onnx  # noqa: F401
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"{error.name} is not installed: pip install 'modelsync[demo]'") from error
    console = console or Console()
    configure_logging(LogOptions(level="error", console=True))
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with ExitStack() as stack:
        base = directory or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="modelsync-demo-")))
        base.mkdir(parents=True, exist_ok=True)
        stage = stack.enter_context(_stage(base, console))
        try:
            _tell(stage, ended)
        except _Unexpected as error:
            console.print(f"[bold red]{error}[/]")
            return 1
        seen = stage.reader.seen
        _farewell(console, stage, base)
        if not once:
            stage.reader.slow_down()
            console.print("Upload something yourself, or press Ctrl-C to end.")
            while not ended.wait(0.2):
                pass
        return 1 if seen.torn or seen.errors else 0


@contextmanager
def _stage(base: Path, console: Console) -> Iterator[_Stage]:
    from modelsync.demo.voice import belong_together

    reader = Reader(base / _VOICE, belong_together)
    with ExitStack() as stack:
        view = stack.enter_context(View(console, lambda: reader.seen))
        emulator = stack.enter_context(Emulator())
        place = emulator.make_place("voices")
        view.step(f"S3 and SQS run at {emulator.url}", "moto: a bucket that tells a queue of changes")
        environment = {
            **emulator.environment(place),
            "MODELS_BASE_PATH": str(base),
            "HTTP_HOST": "127.0.0.1",
            "HTTP_PORT": "0",
        }
        # botocore's chain reads the process's environment.
        os.environ.pop("AWS_PROFILE", None)
        os.environ.update(ENVIRONMENT, NO_PROXY="127.0.0.1")
        service = Service.build(load(environment), sinks=[view])
        worker = threading.Thread(target=service.run, name="service", daemon=True)
        worker.start()
        view.step("the worker runs", f"http://127.0.0.1:{service.http.port}/")
        try:
            yield _Stage(emulator, place, emulator.client("s3"), service, view, reader)
        finally:
            service.wakes.put("the show is over")
            worker.join(10)


def _tell(stage: _Stage, ended: threading.Event) -> None:
    from modelsync.demo.voice import CONFIG, make_voice

    view, reader, bucket = stage.view, stage.reader, stage.place.bucket
    versions = [make_voice(version) for version in range(1, 4)]
    reader.start()
    view.step("a reader opens voice alice in a tight loop", "there is none yet")

    view.step("version 1 uploaded", f"published {_update(stage, versions[0])} after its commit file")
    _read_some(reader, ended)
    view.step("version 2 uploaded", f"the link switched {_update(stage, versions[1])} after its commit file")
    _read_some(reader, ended)

    put(stage.s3, bucket, f"{_VOICE}/{CONFIG}", versions[2][CONFIG])
    if view.wait_waiting(_VOICE) is None:
        raise _Unexpected("the worker did not notice that half of an upload is missing")
    view.step("half of version 3 uploaded: config, no weights", "the worker waits; readers keep version 2")
    view.step("version 3 uploaded whole", f"published {_update(stage, versions[2])} after its commit file")

    times = []
    for number in range(_UPDATES):
        if ended.is_set():
            break
        times.append(_update_seconds(stage, make_voice(4 + number)))
    if times:
        view.step(
            f"{len(times)} more updates in a row",
            f"commit file to published: median {statistics.median(times) * 1000:.0f} ms,"
            f" longest {max(times) * 1000:.0f} ms",
        )
    _read_some(reader, ended)


def _update(stage: _Stage, files: dict[str, bytes]) -> str:
    return f"{_update_seconds(stage, files) * 1000:.0f} ms"


def _update_seconds(stage: _Stage, files: dict[str, bytes]) -> float:
    """Upload a version; return the time from the end of its upload to published."""
    started = time.time()
    upload(stage.s3, stage.place.bucket, _VOICE, files)
    uploaded = time.time()
    published = stage.view.wait_published(_VOICE, started)
    if published is None:
        raise _Unexpected("the voice was not published within a minute: run with LOG_LEVEL=debug to see why")
    return max(published - uploaded, 0.0)


def _read_some(reader: Reader, ended: threading.Event, reads: int = 20) -> None:
    """Let the reader have some more looks."""
    goal = reader.seen.reads + reads
    while reader.seen.reads < goal and not ended.wait(0.02):
        pass


def _farewell(console: Console, stage: _Stage, base: Path) -> None:
    address = f"http://127.0.0.1:{stage.service.http.port}"
    seen = stage.reader.seen
    console.print(
        f"\nThe reader saw {seen.reads:,} whole voices of {len(seen.revisions)} revisions."
        f" Torn reads: [bold]{seen.torn}[/]. Errors: [bold]{seen.errors}[/].",
        soft_wrap=True,
    )
    console.print(f"  models   {base / _VOICE} -> {os.readlink(base / _VOICE)}", soft_wrap=True)
    for path in ("/", "/health", "/ready", "/live", "/metrics", "/docs"):
        console.print(f"  {address}{path}", soft_wrap=True)
    console.print(f"  S3, SQS  {stage.emulator.url}  (keys: demo / demo, region {ENVIRONMENT['AWS_REGION']})")
