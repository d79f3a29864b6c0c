"""The API described: everything that is in `/openapi.json`, on a page that needs nothing from elsewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html import unescape

import pytest

from modelsync.web.api import Views, make_api
from modelsync.web.reference import described
from modelsync.web.writing import Commands
from support.http import ask, serving


def _off(*_: object) -> None:
    raise NotImplementedError


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    api = make_api(Views(*[_off] * 10), Commands("token", *[_off] * 5))  # type: ignore[arg-type]
    with serving(api) as port:
        yield port


def test_every_call_and_all_that_is_sent_and_answered_is_on_it(port: int) -> None:
    api = json.loads(ask(port, "/openapi.json")[2])
    page = ask(port, "/docs")[2]
    calls = [unescape(call) for call in re.findall(r"<h3><code>([^<]+)</code></h3>", page)]
    assert sorted(calls) == sorted(
        f"{method.upper()} {path}" for path, methods in api["paths"].items() for method in methods
    )
    shapes = set(re.findall(r'<h3 id="(\w+)">', page))
    assert shapes == set(api["components"]["schemas"])
    assert set(re.findall(r'href="#(\w+)"', page)) <= shapes
    for methods in api["paths"].values():
        for operation in methods.values():
            for parameter in operation.get("parameters", []):
                assert f"<code>{parameter['name']}</code>" in page
    cells = re.sub(r"</(?:th|p)>", ": ", page)
    readable = " ".join(unescape(re.sub(r"<[^>]+>", "", cells)).split())
    for told in (
        "limit: query: integer, at least 1, at most 1000, default 100",
        "state: query: State or null",
        "Authorization: header, required: Bearer and the token",
        "revision required: string, pattern ^[0-9a-f]{8,64}$",
        "204: No Content",
        "models: required: list of ModelView",
        "checks: required: object of names and CheckAnswer",
        "healthy or degraded or unhealthy",
    ):
        assert told in readable, told


def test_it_loads_the_status_pages_style_and_nothing_else(port: int) -> None:
    status, headers, page = ask(port, "/docs")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert headers["Content-Security-Policy"] == ask(port, "/")[1]["Content-Security-Policy"]
    addresses = {address for address in re.findall(r'(?:href|src)="([^"]*)"', page) if not address.startswith("#")}
    assert addresses == {"page/icon.svg", "page/page.css", "openapi.json", "./"}, "it works below a path"
    for address in addresses:
        assert ask(port, f"/{address.removeprefix('./')}")[0] == 200
    assert re.findall(r"<script|<style|\son\w+=|\sstyle=|//", page) == []
    for gone in ("/redoc", "/docs/oauth2-redirect"):
        assert ask(port, gone)[0] == 404
    assert ask(port, "/docs", "HEAD")[1]["Content-Length"] == str(len(page.encode()))
    assert ask(port, "/docs", If_None_Match=headers["ETag"])[0] == 304


def test_what_looks_like_markup_is_text() -> None:
    hostile = "<script>alert(1)</script>\"'&"
    schema = {"type": hostile, "default": hostile, "pattern": hostile}
    operation = {
        "tags": [hostile], "description": f"{hostile} `{hostile}`",
        "parameters": [{"name": hostile, "in": hostile, "schema": schema}],
        "requestBody": {"content": {hostile: {}}},
        "responses": {"200": {"content": {"x": {"schema": {"$ref": f"#/{hostile}"}}}}},
    }  # fmt: skip
    shapes = {hostile: {"properties": {hostile: {"enum": [hostile]}}}, "n": {"additionalProperties": True}}
    page = described(
        {
            "info": {"title": hostile, "version": hostile},
            "paths": {hostile: {"get": operation}},
            "components": {"schemas": shapes},
        }
    )
    assert "<script" not in page
    assert hostile not in page
    assert "<p>anything</p>" in page
