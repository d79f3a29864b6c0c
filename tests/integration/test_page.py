"""The files of the status page, over HTTP."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from fastapi import FastAPI

from modelsync.web.site import add_page, assets
from support.http import ask, serving


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    api = FastAPI(docs_url=None, redoc_url=None)
    add_page(api)
    with serving(api) as port:
        yield port


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/page/main.js", "text/javascript; charset=utf-8"),
        ("/page/page.css", "text/css; charset=utf-8"),
        ("/page/icon.svg", "image/svg+xml"),
    ],
)
def test_every_file_says_what_it_is_and_what_it_may_do(port: int, path: str, media_type: str) -> None:
    status, headers, body = ask(port, path)
    assert (status, headers["Content-Type"]) == (200, media_type)
    assert headers["Cache-Control"] == "no-cache"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    policy = dict(one.split(" ", 1) for one in headers["Content-Security-Policy"].split("; "))
    assert policy.pop("img-src") == "'self' data:"
    for name in ("script-src", "style-src", "connect-src"):
        assert policy.pop(name) == "'self'"
    assert set(policy) == {"default-src", "base-uri", "form-action", "frame-ancestors"}
    assert set(policy.values()) == {"'none'"}
    assert ask(port, path, "HEAD")[1]["Content-Length"] == str(len(body.encode()))


def test_what_a_browser_has_is_not_sent_again(port: int) -> None:
    tag = ask(port, "/")[1]["ETag"]
    assert re.fullmatch(r'"[0-9a-f]{32}"', tag)
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        status, headers, body = ask(port, "/", If_None_Match=known)
        assert (status, headers["ETag"], body) == (304, tag, "")
        assert "Content-Security-Policy" in headers
    for other in ('"other"', "", tag.strip('"')):
        assert ask(port, "/", If_None_Match=other)[0] == 200
    assert ask(port, "/page/main.js")[1]["ETag"] != tag


@pytest.mark.parametrize(
    "path", ["/page/", "/page", "/page/index.html", "/page/../site.py", "/page/%2e%2e%2fsite.py", "/page/x.js", "/x"]
)
def test_there_is_nothing_else(port: int, path: str) -> None:
    assert ask(port, path)[0] == 404


def test_the_page_cannot_be_written_to(port: int) -> None:
    assert ask(port, "/", "POST")[0] == 405


def test_the_page_needs_nothing_but_its_own_files(port: int) -> None:
    files = assets()
    everything = "".join(asset.content.decode() for asset in files.values())
    named = {*re.findall(r'"page/([\w.]+)"', files["index.html"].content.decode())}
    named |= set(re.findall(r'from "\./([\w.]+)"', everything))
    assert named | {"index.html"} == set(files), "every file is used, and is there"
    assert set(re.findall(r"https?://[^\"' ]+", everything)) <= {"http://www.w3.org/2000/svg"}
    html = files["index.html"].content.decode()
    assert re.findall(r"(?:href|src)=\"/", html) == [], "it works below a path"
    assert re.findall(r"<script(?! type=\"module\" src=)|<style|\son\w+=|\sstyle=", html) == []
    scripts = "".join(asset.content.decode() for name, asset in files.items() if name.endswith(".js"))
    assert re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", scripts) == []
