"""Where the HTTP interface is, and who may write by it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class HttpOptions:
    """Where to listen; port 0 takes a free one. `token`: for writing calls; None: they are off."""

    host: str = "0.0.0.0"  # noqa: S104 - a pod is reached by its address
    port: int = 8080
    token: str | None = field(default=None, repr=False)
