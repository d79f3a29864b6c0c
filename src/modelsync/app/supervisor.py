"""Named threads under one roof: the first that fails stops all, and a deadline ends the drain."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from modelsync.app.progress import Beat
from modelsync.core.health import silent
from modelsync.ports import Clock

Loop = Callable[[threading.Event, Beat], None]
"""A thread's body: runs until the event is set, and beats while it lives."""


@dataclass
class _Member:
    thread: threading.Thread
    silence_seconds: float
    last_beat: float = field(default=0.0)


class Supervisor:
    """Starts loops and watches over them."""

    def __init__(self, clock: Clock, on_failure: Callable[[str], None]) -> None:
        """Make it.

        Args:
            clock: for beats.
            on_failure: told the name of a loop that failed.
        """
        self._clock = clock
        self._on_failure = on_failure
        self._members: dict[str, _Member] = {}
        self._failed: tuple[str, BaseException] | None = None

    def spawn(self, name: str, loop: Loop, stop: threading.Event, *, silence_seconds: float) -> None:
        """Start a loop in a thread of its own.

        Args:
            name: of the thread, in logs and `/live`.
            loop: its body.
            stop: set by the caller to end it.
            silence_seconds: without a beat for longer than this, it counts as hung.
        """

        def beat() -> None:
            member.last_beat = self._clock.monotonic()

        def body() -> None:
            try:
                loop(stop, beat)
            except BaseException as error:  # noqa: BLE001 - handed to `failure`
                self._failed = self._failed or (name, error)
                self._on_failure(name)

        # Daemons: a loop that hangs in a system call must not keep the process alive.
        member = _Member(threading.Thread(target=body, name=name, daemon=True), silence_seconds)
        self._members[name] = member
        beat()
        member.thread.start()

    @property
    def failure(self) -> tuple[str, BaseException] | None:
        """The loop that failed first, and with what."""
        return self._failed

    def silent(self) -> dict[str, float]:
        """Loops that do not beat, and for how many seconds."""
        beats = {name: (member.last_beat, member.silence_seconds) for name, member in self._members.items()}
        return silent(beats, self._clock.monotonic())

    def join(self, prefix: str, deadline: float) -> None:
        """Wait for the threads whose names start with a prefix to end.

        Args:
            prefix: of their names.
            deadline: on the clock's monotonic scale.
        """
        for name, member in self._members.items():
            if name.startswith(prefix):
                member.thread.join(max(deadline - self._clock.monotonic(), 0.0))
