"""The status page: files that the browser puts together with what the API says."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Annotated

from fastapi import FastAPI, Header, HTTPException, Response

_INDEX = "index.html"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
# Names, reasons and keys are what somebody uploaded: were one ever taken for markup, it still could not run or load.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True)
class Asset:
    """A file of the page. `etag`: changes with its content."""

    content: bytes
    media_type: str
    etag: str


@cache
def assets() -> Mapping[str, Asset]:
    """All files of the page by name, read when the page is first asked for: a start costs nothing."""
    found = {}
    for file in (files("modelsync.web") / "page").iterdir():
        if _suffix(file.name) in _TYPES:
            found[file.name] = asset_of(file.name, file.read_bytes())
    return found


def asset_of(name: str, content: bytes) -> Asset:
    """Content under a name, whose ending tells what it is."""
    return Asset(content, _TYPES[_suffix(name)], f'"{hashlib.sha256(content).hexdigest()[:32]}"')


def _suffix(name: str) -> str:
    return name[name.rfind(".") :]


def add_page(api: FastAPI) -> None:
    """Add the endpoints. Everything in the page is relative: it works below any path that ends with a slash."""

    # No part of the API, so not in its description.
    @api.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    async def index(if_none_match: Annotated[str, Header()] = "") -> Response:
        return answer(assets()[_INDEX], if_none_match)

    @api.api_route("/page/{name}", methods=["GET", "HEAD"], include_in_schema=False)
    async def asset(name: str, if_none_match: Annotated[str, Header()] = "") -> Response:
        found = assets().get(name)
        if found is None or name == _INDEX:
            raise HTTPException(404, "the page has no such file")
        return answer(found, if_none_match)


def answer(asset: Asset, if_none_match: str) -> Response:
    """Send it, with what its browser may do with it, unless the browser has it."""
    headers = _HEADERS | {"ETag": asset.etag}
    known = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    if known & {asset.etag, "*"}:
        return Response(status_code=304, headers=headers)
    return Response(asset.content, media_type=asset.media_type, headers=headers)
