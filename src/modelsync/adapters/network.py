"""What stands between this process and AWS: certificate authorities to trust, proxies to go through."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator

_TUNNEL = re.compile(r"Tunnel connection failed: (\d{3})")
_UNKNOWN_AUTHORITY = {18, 19, 20, 21}  # X509_V_ERR_*: self-signed, or no known issuer
_LINE = 300
_USER = re.compile(r"//[^/\s]*@")

PROXY_ASKS = (
    "the proxy asks for a user name and password: write them into HTTP_PROXY and HTTPS_PROXY as"
    " http://user:password@host:port"
)


def explain(error: BaseException) -> str | None:
    """Say of a failed connection what an operator has to set, if that can be said.

    Looks through what botocore and urllib3 wrapped around the cause.
    """
    from botocore.exceptions import ProxyConnectionError

    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _untrusted(cause)
        if isinstance(cause, OSError) and (refused := _TUNNEL.search(str(cause))) is not None:
            if refused[1] == "407":
                return PROXY_ASKS
            return f"the proxy refuses to connect ({refused[1]}): allow the host there, or set NO_PROXY"
    if any(isinstance(cause, ProxyConnectionError) for cause in causes):
        return f"the proxy cannot be reached ({one_line(causes[-1])}): check HTTP_PROXY and HTTPS_PROXY"
    return None


def _untrusted(error: ssl.SSLCertVerificationError) -> str:
    advice = (
        "set AWS_CA_BUNDLE or SSL_CERT_FILE to a file with the CA that signed it"
        if error.verify_code in _UNKNOWN_AUTHORITY
        else "check the endpoint's address, its certificate and the clock"
    )
    return f"the server's certificate is not to be trusted ({one_line(error.verify_message)}): {advice}"


def one_line(text: object) -> str:
    """A foreign message as part of a sentence: one line, printable, bounded, no user names in addresses."""
    line = _USER.sub("//", " ".join(str(text).split()))
    return "".join(filter(str.isprintable, line))[:_LINE].rstrip(".")


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__
