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
    """An event that SIGTERM and SIGINT set from now on."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop
