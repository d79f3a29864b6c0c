"""LocalStack's S3, SQS and SNS on a loopback address, until another process ends.

Run by the Python of LocalStack's own environment: `serve.py DIRECTORY PID`. Prints its URL when it can be used.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import threading


def environment(root: str, port: int) -> dict[str, str]:
    """What LocalStack reads when it is imported: three services, nothing from the internet, no word to anybody."""
    return {
        "PATH": os.defpath,
        "HOME": root,
        "FILESYSTEM_ROOT": root,
        "OVERRIDE_IN_DOCKER": "0",  # in a container it would write to /var/lib
        "GATEWAY_LISTEN": f"127.0.0.1:{port}",
        "LOCALSTACK_HOST": f"127.0.0.1:{port}",
        "SERVICES": "s3,sqs,sns",
        "STRICT_SERVICE_LOADING": "1",
        "EAGER_SERVICE_LOADING": "1",
        "SQS_ENDPOINT_STRATEGY": "path",  # a queue's URL needs no name that DNS knows
        "DNS_ADDRESS": "0",
        "DISABLE_EVENTS": "1",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
    }


def end_with(pid: int) -> None:
    """End when another process does, however that ends."""
    select.select([os.pidfd_open(pid)], [], [])
    os._exit(0)


def main(root: str, pid: int) -> None:
    """Serve."""
    threading.Thread(target=end_with, args=(pid,), daemon=True).start()
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    os.environ.clear()
    os.environ.update(environment(root, port))

    from localstack.runtime import current
    from localstack.runtime.server import twisted
    from twisted.internet.endpoints import AdoptedStreamServerEndpoint

    def adopt(reactor: object, _port: int) -> AdoptedStreamServerEndpoint:
        # LocalStack would listen on all addresses, whatever GATEWAY_LISTEN says.
        return AdoptedStreamServerEndpoint(reactor, listener.fileno(), socket.AF_INET)

    twisted.endpoints.TCP4ServerEndpoint = adopt
    runtime = current.initialize_runtime()

    # What LocalStack says of itself goes where its errors go.
    told = os.dup(1)
    os.dup2(2, 1)

    def tell() -> None:
        runtime.ready.wait()
        os.write(told, f"http://127.0.0.1:{port}\n".encode())

    threading.Thread(target=tell, daemon=True).start()
    runtime.run()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
