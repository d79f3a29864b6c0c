"""What several commands need."""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence

from modelsync.core.names import ModelId, Naming, parse_model
from modelsync.errors import ConfigurationError


def models_named(names: Sequence[str], naming: Naming) -> list[ModelId]:
    """Take models' names as a person typed them.

    Raises:
        ConfigurationError: one is no possible name.
    """
    try:
        return [parse_model(name, naming) for name in names]
    except ValueError as error:
        raise ConfigurationError(str(error)) from error


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
