"""The API described for people: a page made of its own description, with nothing to run and nothing from elsewhere.

FastAPI's page loads its scripts from another host, which a cluster may not reach and nobody here has looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from html import escape
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import FastAPI, Header, Response

from modelsync.web.site import Asset, answer, asset_of

_BOUNDS = {
    "minimum": "at least",
    "maximum": "at most",
    "minLength": "least length",
    "maxLength": "greatest length",
    "pattern": "pattern",
    "default": "default",
}


def add_reference(api: FastAPI) -> None:
    """Add the endpoint, beside `/openapi.json`. The page is made when it is first asked for."""

    @cache
    def page() -> Asset:
        return asset_of("docs.html", described(api.openapi()).encode())

    @api.api_route("/docs", methods=["GET", "HEAD"], include_in_schema=False)
    async def reference(if_none_match: Annotated[str, Header()] = "") -> Response:
        return answer(page(), if_none_match)


def described(api: Mapping[str, Any]) -> str:
    """An OpenAPI description as a page of HTML."""
    info = api["info"]
    operations = [
        (path, method, operation) for path, methods in api["paths"].items() for method, operation in methods.items()
    ]
    groups = dict.fromkeys(operation["tags"][0] for _, _, operation in operations)
    parts = [
        f"<section><h2>{escape(group)}</h2>{''.join(_operation(*one) for one in operations if group in one[2]['tags'])}"
        "</section>"
        for group in groups
    ]
    shapes = "".join(_shape(name, schema) for name, schema in sorted(api["components"]["schemas"].items()))
    title = f"{escape(info['title'])} <small>{escape(info['version'])}</small>"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(info["title"])}: API</title>
<link rel="icon" href="page/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="page/page.css">
</head>
<body>
<header><h1><a href="./">{title}</a></h1><p>The API. For programs: <a href="openapi.json">openapi.json</a></p></header>
<main class="wide reference">
{"".join(parts)}
<section><h2>What is sent and answered</h2>{shapes}</section>
</main>
</body>
</html>
"""


def _operation(path: str, method: str, operation: Mapping[str, Any]) -> str:
    return (
        f"<h3><code>{method.upper()} {escape(path)}</code></h3>{_text(operation.get('description', ''))}"
        f"{_table(_rows(operation))}"
    )


def _rows(operation: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if operation.get("security"):
        yield "Authorization", f"header, required: {_code('Bearer')} and the token"
    for parameter in operation.get("parameters", ()):
        needed = ", required" if parameter.get("required") else ""
        yield _code(parameter["name"]), f"{escape(parameter['in'])}{needed}: {_type(parameter['schema'])}"
    if "requestBody" in operation:
        yield "body", _content(operation["requestBody"])
    for code, response in operation["responses"].items():
        content = _content(response)
        yield escape(code), escape(HTTPStatus(int(code)).phrase) + (f": {content}" if content else "")


def _content(message: Mapping[str, Any]) -> str:
    found = message.get("content", {})
    return ", ".join(_type(media["schema"]) if "schema" in media else _code(name) for name, media in found.items())


def _shape(name: str, schema: Mapping[str, Any]) -> str:
    head = f'<h3 id="{escape(name)}">{_code(name)}</h3>{_text(schema.get("description", ""))}'
    return head + (_table(_fields(schema)) if "properties" in schema else f"<p>{_type(schema)}</p>")


def _fields(schema: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    required = schema.get("required", ())
    for name, found in schema["properties"].items():
        yield _code(name), ("required: " if name in required else "") + _type(found)


def _type(schema: Mapping[str, Any]) -> str:
    bounds = [f"{words} {_code(schema[key])}" for key, words in _BOUNDS.items() if schema.get(key, "") != ""]
    return ", ".join([_kind(schema), *bounds])


def _kind(schema: Mapping[str, Any]) -> str:
    """What it is, without its bounds."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(_code(value) for value in schema["enum"])
    if "properties" in schema:
        return "; ".join(f"{name} {found}" for name, found in _fields(schema))
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"object of names and {_type(schema['additionalProperties'])}"
    return escape(schema.get("type", "anything"))


def _code(value: object) -> str:
    return f"<code>{escape(str(value))}</code>"


def _text(text: str) -> str:
    """Docstrings as they are: paragraphs, and code between backticks."""
    marked = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
    return "".join(f"<p>{part}</p>" for part in marked.split("\n\n") if part)


def _table(rows: Iterable[tuple[str, str]]) -> str:
    lines = "".join(f'<tr><th scope="row">{name}</th><td>{meaning}</td></tr>' for name, meaning in rows)
    return f'<div class="scroll"><table>{lines}</table></div>'
