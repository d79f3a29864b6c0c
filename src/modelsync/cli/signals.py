"""How a command that runs for a while is ended."""

from __future__ import annotations

import signal
import threading


def stop_on_signals() -> threading.Event:
    """An event that the first SIGTERM or SIGINT sets; the second one ends the process at once."""
    stop = threading.Event()

    def end(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        # From a thread: the main thread may hold the event's lock at this very moment.
        threading.Thread(target=stop.set).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    return stop
