"""What `modelsync push` is made of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelsync.adapters.aws import AwsSession
from modelsync.adapters.clock import SystemClock
from modelsync.adapters.folder import LocalFolder
from modelsync.adapters.gate import CheckerGate
from modelsync.adapters.s3 import S3Store, S3Uploads
from modelsync.app.push import Push
from modelsync.config import options
from modelsync.config.load import Configuration
from modelsync.ports import Observer
from modelsync.ports.signing import Signer


@contextmanager
def pushing(
    configuration: Configuration, directory: Path, observe: Observer, signer: Signer | None = None
) -> Iterator[Push]:
    """Put the parts together, and let go of them at the end.

    Raises:
        ConfigurationError: the directory, region or endpoint cannot be.
    """
    settings = configuration.settings
    folder = LocalFolder(directory)
    session = AwsSession(options.aws(settings))
    store = S3Store(options.s3(settings), session, observe)
    uploads = S3Uploads(options.s3(settings), session, observe)
    gate = CheckerGate(options.gate(settings), observe)
    push = Push(
        folder=folder,
        store=store,
        uploads=uploads,
        clock=SystemClock(),
        observe=observe,
        naming=options.naming(settings),
        options=options.push(settings),
        gate=gate,
        signer=signer,
    )
    try:
        yield push
    finally:
        push.close()
        gate.close()
        store.close()
        uploads.close()
