"""Bytes that are not what S3 has on record."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from modelsync.core.manifest import Mismatch
from modelsync.core.objects import Revision
from modelsync.core.plan import Refuse
from modelsync.errors import VerificationFailed
from modelsync.ports import ObjectStore

Answer = TypeVar("Answer")


def twice(store: ObjectStore, attempt: Callable[[], Answer]) -> Answer:
    """Try once more where bytes are not what S3 has: they may have been changed on their way.

    From fresh connections, since a proxy or a server out of step may be what changed them. Bytes that
    arrived as S3 has them would only come again.
    """
    try:
        return attempt()
    except VerificationFailed as error:
        if error.arrived:
            raise
        store.renew()
        return attempt()


def refuted(revision: Revision, error: VerificationFailed) -> Refuse:
    """Refuse a revision for bytes that stay wrong, with both values."""
    mismatch = Mismatch(error.path, error.proof, expected=error.expected, actual=error.actual)
    return Refuse(revision, "checksum", str(error), mismatch=mismatch)
