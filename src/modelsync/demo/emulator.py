"""S3 and SQS on this machine: a moto server in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import botocore.session
from botocore.config import Config

from modelsync.errors import ConfigurationError

REGION = "us-east-1"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "demo",
    "AWS_SECRET_ACCESS_KEY": "demo",
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
}
_START_SECONDS = 30.0


@dataclass(frozen=True)
class Place:
    """A bucket that tells a queue of its changes."""

    bucket: str
    queue_url: str


class Emulator:
    """Starts on entering, ends on leaving; and with the process that made it, however that ends."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Make it.

        Args:
            host: the address to listen on.
            port: 0: a free one.
        """
        self._address = (host, str(port))
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(  # noqa: S603 - our own module, and an address
            [sys.executable, "-m", "modelsync.demo.emulator", *self._address],
            stdin=subprocess.PIPE,  # its end tells the child that the parent is gone
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,  # Ctrl-C is for the parent, which needs the emulator to end in order
        )
        timer = threading.Timer(_START_SECONDS, self._process.kill)
        timer.start()
        try:
            line = self._process.stdout.readline() if self._process.stdout else ""
        finally:
            timer.cancel()
        if not line.startswith("http://"):
            self.__exit__(None, None, None)
            raise ConfigurationError("the embedded S3 did not start: install modelsync with its `demo` extra")
        self.url = line.strip()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            if self._process.stdin is not None:
                self._process.stdin.close()
            self._process.terminate()
            self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()

    def client(self, service: str) -> Any:
        """A botocore client of `s3` or `sqs`."""
        return botocore.session.get_session().create_client(
            service,
            region_name=REGION,
            endpoint_url=self.url,
            aws_access_key_id=ENVIRONMENT["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=ENVIRONMENT["AWS_SECRET_ACCESS_KEY"],
            config=Config(max_pool_connections=32, retries={"mode": "standard"}),
        )

    def make_place(self, bucket: str, *, visibility_seconds: int = 30, notify: bool = True) -> Place:
        """Make a bucket and a queue, and have the bucket's changes told to the queue."""
        s3, sqs = self.client("s3"), self.client("sqs")
        s3.create_bucket(Bucket=bucket)
        attributes = {"VisibilityTimeout": str(visibility_seconds)}
        queue_url = sqs.create_queue(QueueName=f"{bucket}-events", Attributes=attributes)["QueueUrl"]
        if notify:
            self.notify(bucket, queue_url)
        return Place(bucket, queue_url)

    def notify(self, bucket: str, queue_url: str) -> None:
        """Have a bucket's changes told to a queue."""
        answer = self.client("sqs").get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])
        configuration = {
            "QueueConfigurations": [
                {"QueueArn": answer["Attributes"]["QueueArn"], "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]}
            ]
        }
        self.client("s3").put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=configuration)

    def environment(self, place: Place) -> dict[str, str]:
        """Variables that point a worker here."""
        return {
            **ENVIRONMENT,
            "AWS_ENDPOINT_URL": self.url,
            "S3_BUCKET_NAME": place.bucket,
            "SQS_MODEL_SYNC_QUEUE_URL": place.queue_url,
        }


def _serve(host: str, port: int) -> None:
    """The child: serve until standard input ends."""
    import logging

    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    def end_with_parent() -> None:
        sys.stdin.read()
        os._exit(0)

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    os.environ.update(ENVIRONMENT)
    threading.Thread(target=end_with_parent, daemon=True).start()
    server = make_server(host, port, DomainDispatcherApplication(create_backend_app), threaded=True)
    # moto writes its own address into queue URLs.
    os.environ["MOTO_PORT"] = str(server.server_port)
    sys.stdout.write(f"http://127.0.0.1:{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]))
