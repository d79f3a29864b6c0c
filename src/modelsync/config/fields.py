"""Types of variables: how their text is read, and what is said when it cannot be."""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit, urlunsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr


@dataclass(frozen=True)
class Note:
    """What `modelsync config` and docs/configuration.md say of a variable.

    Attributes:
        text: its meaning, in one sentence.
        in_effect: False while it is read and checked but changes nothing.
    """

    text: str
    in_effect: bool = True


def _split(value: Any) -> Any:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _extensions(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if not re.fullmatch(r"\.[A-Za-z0-9][A-Za-z0-9._-]*", value):
            raise ValueError(f"{value!r} is no file extension: write it with its dot, for example .onnx")
    return tuple(value.lower() for value in values)


def _prefix(value: str) -> str:
    if value.startswith("/"):
        raise ValueError("a prefix starts without '/'")
    return value if not value or value.endswith("/") else f"{value}/"


def _http_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        valid = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        valid = False
    if not valid or not value.isprintable() or " " in value:
        raise ValueError("must be an http(s) address")
    return value


def _http_urls(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(_http_url, values))


def _command(value: str) -> str:
    try:
        words = shlex.split(value)
    except ValueError as error:
        raise ValueError(f"is no command line: {error}") from error
    if not words:
        raise ValueError("names no command")
    return value


def webhook_secret(value: SecretStr | None) -> SecretStr | None:
    """Check a secret that says it is base64."""
    text = value.get_secret_value() if value else ""
    if text.startswith("whsec_"):
        try:
            key = base64.b64decode(text.removeprefix("whsec_"), validate=True)
        except ValueError:
            key = b""
        if not key:
            raise ValueError("what follows whsec_ must be base64")
    return value


def _pickle_names(values: tuple[str, ...]) -> tuple[str, ...]:
    if values:  # else nothing of the gate need be loaded
        from modelsync.gate.pickles import allowed_names

        allowed_names(values)
    return values


def _file_name(value: str) -> str:
    if "/" in value or value in {"", ".", ".."}:
        raise ValueError("must be a plain file name")
    return value


def _one_of(*choices: str) -> Any:
    def check(value: Any) -> Any:
        if isinstance(value, str):
            value = value.strip().lower()
        if value is not None and value not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return value

    return BeforeValidator(check)


def _empty_is_none(value: Any) -> Any:
    return None if value == "" else value


def none_or_at_least(least: int) -> Callable[[int], int]:
    """Make a check for a rate that can be turned off but would be of no use below a bound."""

    def check(value: int) -> int:
        if 0 < value < least:
            raise ValueError(f"must be 0 (off) or at least {least}")
        return value

    return check


Paths = Annotated[tuple[Path, ...], BeforeValidator(_split)]
Words = Annotated[tuple[str, ...], BeforeValidator(_split)]
Extensions = Annotated[tuple[str, ...], BeforeValidator(_split), AfterValidator(_extensions)]
Urls = Annotated[tuple[str, ...], BeforeValidator(_split), AfterValidator(_http_urls)]
Url = Annotated[str, AfterValidator(_http_url)]
Command = Annotated[str, AfterValidator(_command)]
PickleNames = Annotated[Words, AfterValidator(_pickle_names)]
Prefix = Annotated[str, AfterValidator(_prefix)]
FileName = Annotated[str, AfterValidator(_file_name)]
Optional = BeforeValidator(_empty_is_none)
one_of = _one_of


def redact_url(url: str) -> str:
    """Leave of an address what is no secret: scheme, host and port."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "…"
    hidden = "/…" if parts.path.strip("/") or parts.query else ""
    return urlunsplit((parts.scheme, f"{host}{port}", hidden, "", ""))


def without_userinfo(url: str) -> str:
    """An address without the user name and password in it."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
