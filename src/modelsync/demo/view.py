"""The show on the terminal: steps, transfers and the reader, live; plain lines where there is no terminal."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn
from rich.table import Table
from rich.text import Text

from modelsync.core import facts
from modelsync.core.facts import Fact
from modelsync.core.names import ModelId
from modelsync.core.objects import Revision
from modelsync.demo.reader import Seen

_SHOWN_TRANSFERS = 3


class View:
    """Implements `ports.Observer`: what the worker tells becomes bars and lines."""

    def __init__(self, console: Console, seen: Callable[[], Seen]) -> None:
        self._console = console
        self._seen = seen
        self._steps: list[tuple[str, str]] = []
        self._bars = Progress(
            TextColumn("  {task.fields[label]}"), BarColumn(30), DownloadColumn(), TransferSpeedColumn(),
            console=console,
        )  # fmt: skip
        self._tasks: dict[ModelId, TaskID] = {}
        self._shown: list[TaskID] = []
        self._published = threading.Condition()
        self._revisions: dict[ModelId, tuple[Revision, float]] = {}
        self._waiting: dict[ModelId, str] = {}
        self._live = Live(get_renderable=self._render, console=console, refresh_per_second=15, transient=True)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._live.stop()
            self._console.print(self._render())

    def step(self, text: str, note: str = "") -> None:
        """Tell that something was done."""
        self._steps.append((text, note))
        if not self._console.is_terminal:
            self._console.print(f"✓ {text}" + (f"  [dim]{note}[/]" if note else ""), soft_wrap=True)

    def __call__(self, fact: Fact, /) -> None:
        """Take a fact from the worker."""
        match fact:
            case facts.FetchStarted(model=model, revision=revision, size_bytes=size_bytes):
                if len(self._shown) == _SHOWN_TRANSFERS:
                    self._hide(self._shown[0])
                label = f"{model} {revision[:8]}"
                self._tasks[model] = self._bars.add_task("", total=size_bytes, label=label)
                self._shown.append(self._tasks[model])
            case facts.BytesFetched(model=model, count=count) | facts.BytesResumed(model=model, count=count) if (
                model in self._tasks
            ):
                self._bars.advance(self._tasks[model], count)
            case facts.Published(model=model, revision=revision, published_at=published_at):
                with self._published:
                    self._revisions[model] = (revision, published_at)
                    self._waiting.pop(model, None)
                    self._published.notify_all()
            case facts.SyncFinished(model=model, outcome=facts.Outcome.WAITING, reason=reason):
                if model in self._tasks:
                    self._hide(self._tasks.pop(model))
                with self._published:
                    self._waiting[model] = reason
                    self._published.notify_all()
            case _:
                pass

    def _hide(self, task: TaskID) -> None:
        if task in self._shown:
            self._shown.remove(task)
            self._bars.remove_task(task)

    def wait_published(self, model: ModelId, since: float, timeout_seconds: float = 60.0) -> float | None:
        """Wait until a revision is published after a moment; return when that was (seconds since the epoch)."""

        def published_at() -> float:
            return self._revisions[model][1] if model in self._revisions else 0.0

        self._wait(timeout_seconds, lambda: published_at() >= since)
        return published_at() if published_at() >= since else None

    def wait_waiting(self, model: ModelId, timeout_seconds: float = 20.0) -> str | None:
        """Wait until the worker says that it waits for the rest of a model; return its reason."""
        self._wait(timeout_seconds, lambda: model in self._waiting)
        return self._waiting.get(model)

    def _wait(self, timeout_seconds: float, fulfilled: Callable[[], bool]) -> None:
        deadline = time.monotonic() + timeout_seconds
        with self._published:
            while not fulfilled() and (left := deadline - time.monotonic()) > 0:
                self._published.wait(left)

    def _render(self) -> RenderableType:
        steps = Table.grid(padding=(0, 1))
        for text, note in self._steps:
            steps.add_row(Text("✓", "bold green"), Text(text), Text(note, "cyan"))
        seen = self._seen()
        reader = Text.assemble(
            ("  reader  ", "bold"),
            f"{seen.reads:,} reads of whole voices · {len(seen.revisions)} revisions seen · ",
            (f"torn reads: {seen.torn}", "bold green" if not seen.torn else "bold red"),
            f" · errors: {seen.errors}",
        )
        return Panel(
            Group(steps, Text(), self._bars, Text(), reader),
            title="[bold]modelsync[/]  S3 change → SQS event → one atomic revision",
            border_style="blue",
        )
