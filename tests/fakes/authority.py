"""A certificate authority of one's own, as companies have one."""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme


class Authority:
    """`file`: what a client has to trust."""

    def __init__(self, directory: Path, name: str = "authority") -> None:
        self._authority = trustme.CA()
        self.file = str(directory / f"{name}.pem")
        self._authority.cert_pem.write_to_path(self.file)

    def server(self, *names: str) -> ssl.SSLContext:
        """What a server of these names identifies itself by."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert(*names).configure_cert(context)
        return context
