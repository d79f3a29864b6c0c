"""`modelsync run`."""

from __future__ import annotations

import os
import signal
from queue import SimpleQueue
from typing import NoReturn

from modelsync.config import load
from modelsync.config.options import logs


def run_service() -> NoReturn:
    """Run the service until it is told to end, then end the process.

    Raises:
        ConfigurationError: it cannot start.
    """
    configuration = load()
    from modelsync.service.run import COMPARE, Service
    from modelsync.telemetry.logs import configure_logging

    configure_logging(logs(configuration.settings))
    wakes: SimpleQueue[str] = SimpleQueue()
    running = False

    def end(number: int, _frame: object) -> None:
        if not running:
            os._exit(0)  # nothing has begun
        wakes.put(signal.Signals(number).name)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGHUP, lambda *_: wakes.put(COMPARE))
    service = Service.build(configuration, wakes=wakes)
    running = True
    code = service.run()
    # A thread that hangs in a call to the file system must not hold up the exit: what it does is
    # resumable, and the messages are back in the queue.
    os._exit(code)
