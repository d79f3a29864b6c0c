"""The forward proxy between us and S3, as HTTP_PROXY, HTTPS_PROXY and NO_PROXY say."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from modelsync.adapters.s3.endpoint import Endpoint
from modelsync.errors import ConfigurationError


@dataclass(frozen=True)
class Proxy:
    """Where it is. `headers` say who asks, and are a secret."""

    host: str
    port: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


def proxy_for(endpoint: Endpoint) -> Proxy | None:
    """Find the proxy of an endpoint, if it has one.

    Raises:
        ConfigurationError: the variable holds something else; its value, which may hold a password, is not told.
    """
    url = getproxies().get(endpoint.scheme)
    if not url or proxy_bypass(endpoint.netloc):
        return None
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname, parts.port or 80
    except ValueError:
        parts, host, port = urlsplit(""), None, 0
    if parts.scheme != "http" or not host:
        raise ConfigurationError(
            f"{endpoint.scheme.upper()}_PROXY is no address of a proxy: write http://host:port or"
            " http://user:password@host:port (what goes to https endpoints is encrypted through it all the same)"
        )
    if parts.username is None:
        return Proxy(host, port)
    user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return Proxy(host, port, {"Proxy-Authorization": f"Basic {base64.b64encode(user.encode()).decode()}"})
