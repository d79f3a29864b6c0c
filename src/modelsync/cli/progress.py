"""How a push shows its progress: bars on a terminal, else plain lines; on standard error."""

from __future__ import annotations

from typing import Self

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import TransferSpeedColumn as Speed

from modelsync.core import facts
from modelsync.core.facts import Fact

_WORDS = {"read": "reading", "upload": "uploading"}


class PushProgress:
    """Implements `ports.Observer`."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._bars = Progress(
            TextColumn("{task.description:10}"), BarColumn(30), DownloadColumn(), Speed(), TimeRemainingColumn(),
            console=self._console, transient=True, disable=not self._console.is_terminal,
        )  # fmt: skip
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def say(self, text: str) -> None:
        """Print a line."""
        self._console.print(text, markup=False, soft_wrap=True)

    def __call__(self, fact: Fact, /) -> None:
        """Take a fact."""
        match fact:
            case facts.PushStage(stage=stage, files=files, size_bytes=size_bytes):
                self._tasks[stage] = self._bars.add_task(_WORDS[stage], total=size_bytes)
                if not self._console.is_terminal:
                    self.say(f"{_WORDS[stage]} {files} file(s), {size_bytes:,} bytes")
            case facts.BytesRead(count=count):
                self._bars.advance(self._tasks["read"], count)
            case facts.BytesSent(count=count):
                self._bars.advance(self._tasks["upload"], count)
            case facts.FileUploaded(path=path, size_bytes=size_bytes, reason=reason):
                self.say(f"uploaded {path} ({size_bytes:,} bytes): {reason}")
            case facts.RequestRetried(what=what, reason=reason, attempt=attempt):
                self.say(f"{what}: {reason}; trying again ({attempt})")
            case facts.GateWarned(reason=reason):
                self.say(f"warning: {reason}")
            case facts.UploadLeft(path=path, reason=reason):
                self.say(f"{path}: its unfinished upload could not be aborted: {reason}")
            case _:
                pass
