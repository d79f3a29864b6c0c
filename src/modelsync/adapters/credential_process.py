"""Programs that print credentials (`credential_process` in a profile), ended when they hang."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

SECONDS = 10.0


class BoundedProcess(subprocess.Popen[bytes]):
    """A program in a process group of its own, which is ended with all that it started if it takes too long."""

    def __init__(self, command: Sequence[str], *, stdout: int, stderr: int) -> None:
        super().__init__(command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, start_new_session=True)

    def communicate(self, input: bytes | None = None, timeout: float | None = None) -> tuple[bytes, bytes]:  # noqa: A002 - Popen's name for it
        """Wait for what it prints, for so long at most.

        Raises:
            TimeoutError: it took too long, and was ended.
        """
        try:
            return super().communicate(input, min(timeout or SECONDS, SECONDS))
        except subprocess.TimeoutExpired:
            with self, suppress(ProcessLookupError):  # which waits for its end, and closes its pipes
                os.killpg(self.pid, signal.SIGKILL)
            raise TimeoutError(
                f"credential_process gave no answer within {SECONDS:.0f} s and was ended; it must not ask anybody"
            ) from None


def bound_processes(session: Any) -> None:
    """Have a botocore session start its programs so, also those that assume a role with what they print."""
    chain = session.get_component("credential_provider")
    builder = chain.get_provider("assume-role")._profile_provider_builder  # noqa: SLF001 - there is no other way in
    make = builder._create_process_provider  # noqa: SLF001

    def bounded(provider: Any) -> Any:
        provider._popen = BoundedProcess  # noqa: SLF001
        return provider

    builder._create_process_provider = lambda profile: bounded(make(profile))  # noqa: SLF001
    bounded(chain.get_provider("custom-process"))
