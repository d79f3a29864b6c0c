"""Where the HTTP interface is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class HttpOptions:
    """Where to listen; port 0 takes a free one."""

    host: str = "0.0.0.0"  # noqa: S104 - a pod is reached by its address
    port: int = 8080
