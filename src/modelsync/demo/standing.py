"""The emulator of compose.yaml: an S3 and an SQS that stand alone, with a bucket, its queue and a first voice."""

from __future__ import annotations

import os
import signal
import sys

from modelsync.demo.emulator import Emulator
from modelsync.demo.upload import upload
from modelsync.demo.voice import make_voice

BUCKET = "models"
PORT = 5000


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    with Emulator(os.environ.get("HOST", "0.0.0.0"), int(os.environ.get("PORT", PORT))) as emulator:  # noqa: S104 - a container's own network
        place = emulator.make_place(BUCKET)
        upload(emulator.client("s3"), place.bucket, "alice", make_voice(1))
        sys.stdout.write(f"bucket {place.bucket}, queue {place.queue_url}\n")
        sys.stdout.flush()
        signals = {signal.SIGTERM, signal.SIGINT}
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        signal.sigwait(signals)


if __name__ == "__main__":
    main()
