"""`modelsync run`."""

from __future__ import annotations

import os
from typing import NoReturn

from modelsync.config import load
from modelsync.config.options import logs


def run_service() -> NoReturn:
    """Run the service until it is told to end, then end the process.

    Raises:
        ConfigurationError: it cannot start.
    """
    configuration = load()
    from modelsync.service.run import Service
    from modelsync.telemetry.logs import configure_logging

    configure_logging(logs(configuration.settings))
    code = Service.build(configuration).run()
    # A thread that hangs in a call to the file system must not hold up the exit: what it does is
    # resumable, and the messages are back in the queue.
    os._exit(code)
