"""A queue in memory."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from modelsync.errors import QueueMissing, QueueUnavailable
from modelsync.ports import Message


@dataclass(eq=False)
class _Stored:
    body: str
    visible_at: float = 0.0
    receive_count: int = 0
    receipt: str = ""


@dataclass
class FakeQueue:
    """Implements `ports.Queue`. `send` puts a message in; `outage` makes every call fail."""

    now: Callable[[], float]
    name: str = "fake"
    visibility_seconds: float = 30.0
    redrives: bool | None = True
    outage: bool = False
    missing: bool = False
    on_empty: Callable[[], None] = lambda: None
    _messages: list[_Stored] = field(default_factory=list)
    _receipts: itertools.count[int] = field(default_factory=itertools.count)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, body: str) -> None:
        """Put a message in."""
        with self._lock:
            self._messages.append(_Stored(body))

    @property
    def bodies(self) -> list[str]:
        """All messages that are not deleted."""
        with self._lock:
            return [stored.body for stored in self._messages]

    @property
    def hidden_seconds(self) -> list[float]:
        """For how long each message is still hidden."""
        with self._lock:
            return [max(stored.visible_at - self.now(), 0.0) for stored in self._messages]

    def check(self) -> None:
        self._fail()

    def _fail(self) -> None:
        if self.missing:
            raise QueueMissing("no such queue")
        if self.outage:
            raise QueueUnavailable("outage")

    def receive(self, most: int) -> Sequence[Message]:
        self._fail()
        messages = []
        with self._lock:
            for stored in [stored for stored in self._messages if stored.visible_at <= self.now()][:most]:
                stored.visible_at = self.now() + self.visibility_seconds
                stored.receive_count += 1
                stored.receipt = str(next(self._receipts))
                messages.append(Message(stored.receipt, stored.body, stored.receive_count))
        if not messages:
            self.on_empty()
        return messages

    def _ours(self, message: Message) -> _Stored | None:
        return next((stored for stored in self._messages if stored.receipt == message.receipt), None)

    def delete(self, messages: Sequence[Message]) -> None:
        self._fail()
        with self._lock:
            gone = [self._ours(message) for message in messages]
            self._messages = [stored for stored in self._messages if stored not in gone]

    def hide(self, messages: Sequence[Message], seconds: float) -> Sequence[Message]:
        self._fail()
        lost = []
        with self._lock:
            for message in messages:
                stored = self._ours(message)
                if stored is None:
                    lost.append(message)
                else:
                    stored.visible_at = self.now() + seconds
        return lost
