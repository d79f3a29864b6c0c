"""A reader as a TTS application is one: resolves the link once, then opens everything below."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Seen:
    """What the reader saw so far."""

    reads: int = 0
    torn: int = 0
    errors: int = 0
    revisions: set[str] = field(default_factory=set)


class Reader:
    """Reads a model in a tight loop, in a thread of its own."""

    def __init__(self, link: Path, whole: Callable[[dict[str, bytes]], bool]) -> None:
        """Make it.

        Args:
            link: what applications open.
            whole: says whether a set of files is one version.
        """
        self._link = link
        self._whole = whole
        self._pause_seconds = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reader", daemon=True)
        self.seen = Seen()

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def slow_down(self) -> None:
        """Go on reading now and then, no longer in a tight loop."""
        self._pause_seconds = 0.5

    def stop(self) -> Seen:
        """End, and tell what was seen."""
        self._stop.set()
        self._thread.join()
        return self.seen

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                directory = self._link.resolve(strict=True)
            except FileNotFoundError:
                self._stop.wait(0.01)  # not published yet
                continue
            self._read(directory)
            self._stop.wait(self._pause_seconds)

    def _read(self, directory: Path) -> None:
        seen = self.seen
        try:
            files = {
                path.relative_to(directory).as_posix(): path.read_bytes()
                for path in directory.rglob("*")
                if path.is_file()
            }
            seen.torn += not self._whole(files)
        except (OSError, KeyError, ValueError):
            seen.errors += 1
        seen.reads += 1
        seen.revisions.add(directory.parent.name)
