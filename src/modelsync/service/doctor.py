"""What `modelsync doctor` is made of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from modelsync.adapters.aws import AwsSession
from modelsync.adapters.clock import SystemClock
from modelsync.adapters.gate import CheckerGate
from modelsync.adapters.s3 import S3Store
from modelsync.adapters.s3.inspection import IMPATIENT, S3Inspection
from modelsync.adapters.volume.inspection import LocalInspection
from modelsync.app.doctor import Doctor
from modelsync.config import options
from modelsync.config.load import Configuration
from modelsync.ports.doctor import QueueInspection
from modelsync.service.fanout import FanOut


@contextmanager
def examining(configuration: Configuration) -> Iterator[Doctor]:
    """Put the parts together, and let go of them at the end.

    Raises:
        ConfigurationError: region or endpoint cannot be.
    """
    settings = configuration.settings
    session = AwsSession(options.aws(settings))
    observe = FanOut([])
    s3 = replace(options.s3(settings), timeouts=IMPATIENT)
    inspection = S3Inspection(s3, session, observe)
    store = S3Store(s3, session, observe)
    doctor = Doctor(
        identification=session.credentials,
        inspection=inspection,
        store=store,
        queues=_queues(configuration, session),
        volume=LocalInspection(settings.models_base_path),
        gate=CheckerGate(options.gate(settings), observe),
        clock=SystemClock(),
        options=options.doctor(settings, session.region),
    )
    try:
        yield doctor
    finally:
        store.close()
        inspection.close()


def _queues(configuration: Configuration, session: AwsSession) -> list[QueueInspection]:
    chosen = options.queues(configuration)
    if not chosen:
        return []
    from modelsync.adapters.queue_inspection import SqsInspection
    from modelsync.adapters.sqs import sqs_client

    client = sqs_client(session)
    return [SqsInspection(each, client) for each in chosen]
