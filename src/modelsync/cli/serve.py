"""`modelsync run`."""

from __future__ import annotations

from modelsync.config import load
from modelsync.config.options import logs


def run_service() -> int:
    """Run the service until it is told to end; return the exit code.

    Raises:
        ConfigurationError: it cannot start.
    """
    configuration = load()
    from modelsync.service.run import Service
    from modelsync.telemetry.logs import configure_logging

    configure_logging(logs(configuration.settings))
    return Service.build(configuration).run()
