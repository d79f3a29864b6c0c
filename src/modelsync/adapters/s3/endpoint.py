"""Where a bucket is: host, port and path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from modelsync.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The base address of a bucket. `path` is empty, or `/bucket` for path-style addressing."""

    scheme: str
    host: str
    port: int | None
    path: str = ""

    @property
    def netloc(self) -> str:
        """Host and, where it is not the scheme's own, port, as the Host header has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"

    def with_port(self, default: int) -> str:
        """Host and port, written out even where it is the scheme's own."""
        return self.netloc if self.port is not None else f"{self.netloc}:{default}"

    def target(self, key: str | None, query: dict[str, str]) -> str:
        """The request target of an object, or of the bucket without a key."""
        path = f"{self.path}/" + (quote(key, safe="/~") if key is not None else "")
        if not query:
            return path
        return f"{path}?" + "&".join(
            f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in sorted(query.items())
        )


def bucket_endpoint(bucket: str, *, endpoint_url: str | None, aws_host: Callable[[], str]) -> Endpoint:
    """Find a bucket.

    With an endpoint of one's own addressing is path-style; on AWS it is virtual-hosted, but for
    names with a dot, which no certificate covers.

    Args:
        bucket: its name.
        endpoint_url: an S3-compatible store; None for AWS.
        aws_host: tells S3's host in the region; asked on AWS only.

    Raises:
        ConfigurationError: the URL is no http or https address, or no partition has the region.
    """
    if endpoint_url is not None:
        parts = urlsplit(endpoint_url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ConfigurationError(f"AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL is no http(s) address: {endpoint_url!r}")
        return Endpoint(parts.scheme, parts.hostname, parts.port, f"{parts.path.rstrip('/')}/{bucket}")
    if "." in bucket:
        return Endpoint("https", aws_host(), None, f"/{bucket}")
    return Endpoint("https", f"{bucket}.{aws_host()}", None)
