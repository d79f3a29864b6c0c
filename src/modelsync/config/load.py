"""Reading the environment."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic import ValidationError

from modelsync.config.fields import redact_url, without_userinfo
from modelsync.config.settings import Settings
from modelsync.core.names import Naming
from modelsync.core.notices import HOOK_VARIABLES
from modelsync.errors import ConfigurationError

_QUEUE = re.compile(r"SQS_([A-Z0-9_]+)_QUEUE_URL")


@dataclass(frozen=True)
class Configuration:
    """Settings and queues. `queues`: name in lower case to URL."""

    settings: Settings
    queues: Mapping[str, str]


def load(environment: Mapping[str, str] | None = None, *, bucket: bool = True) -> Configuration:
    """Read and check everything.

    Args:
        environment: the process's own by default.
        bucket: False for what needs no bucket, and has none when none is set.

    Raises:
        ConfigurationError: with a sentence for each thing that is wrong, and no values of secrets.
    """
    environment = os.environ if environment is None else environment
    values = {name.lower(): environment[name] for name in map(str.upper, Settings.model_fields) if name in environment}
    if "app_env" not in values and environment.get("NODE_ENV") in {"production", "development"}:
        values["app_env"] = environment["NODE_ENV"]
    if not (bucket or values.get("s3_bucket_name")):
        values["s3_bucket_name"] = "none"
    problems = _unknown(environment)
    queues = {}
    for name, url in sorted(environment.items()):
        if (match := _QUEUE.fullmatch(name)) is not None and url:
            if re.match(r"https?://[^/]+/.+", url):
                queues[match[1].lower()] = url
            else:
                problems.append(f"{name}: must be a queue's http(s) address, as the console shows it")
    settings = None
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_input=False, include_context=False):
            problems.append(_sentence(str(problem["loc"][0]).upper(), problem["type"], problem["msg"]))
    if settings is not None:
        problems += _contradictions(settings)
    if problems or settings is None:
        raise ConfigurationError(*problems)
    return Configuration(settings, queues)


def _sentence(variable: str, kind: str, message: str) -> str:
    if kind == "missing":
        return f"{variable} is not set: it is required"
    if variable == "S3_BUCKET_NAME":
        return f"{variable}: not a bucket's name"
    return f"{variable}: {message.removeprefix('Value error, ')}"


def _unknown(environment: Mapping[str, str]) -> list[str]:
    """`MODELSYNC_*` is our own name space: what stands there and means nothing is a typing error."""
    known = [name.upper() for name in Settings.model_fields]
    problems = []
    for name in sorted(environment):
        if name.startswith("MODELSYNC_") and name not in known and name not in HOOK_VARIABLES:
            close = difflib.get_close_matches(name.removeprefix("MODELSYNC_"), known, 1, 0.7)
            hint = f": did you mean {close[0]}?" if close else ": remove it"
            problems.append(f"{name} is no variable of modelsync{hint}")
    return problems


def _contradictions(settings: Settings) -> list[str]:
    problems = []
    both = set(settings.model_file_extensions) & set(settings.companion_file_extensions)
    if both:
        problems.append(
            f"MODEL_FILE_EXTENSIONS and COMPANION_FILE_EXTENSIONS share {', '.join(sorted(both))}: list each once"
        )
    if settings.gate_signature != "off" and not settings.gate_signature_key:
        problems.append(f"GATE_SIGNATURE={settings.gate_signature} needs GATE_SIGNATURE_KEY")
    if settings.model_commit_file == Naming.signature_file:
        problems.append(f"MODEL_COMMIT_FILE is {Naming.signature_file}, which is the name of signatures: take another")
    if settings.sign_key_password is not None and settings.sign_key_password_file is not None:
        problems.append("SIGN_KEY_PASSWORD and SIGN_KEY_PASSWORD_FILE are both set: leave one")
    if settings.kubernetes_notify != "off" and settings.kubernetes_selector is None:
        problems.append(f"KUBERNETES_NOTIFY={settings.kubernetes_notify} needs KUBERNETES_SELECTOR")
    if not settings.notify_allow_link_local:
        problems += filter(None, map(_no_receiver, settings.notify_webhook_urls))
    return problems


def _no_receiver(url: str) -> str | None:
    """Why no webhook may go to an address that is written in numbers, if so; names are looked up later."""
    from modelsync.core.addresses import refusal

    try:
        reason = refusal(urlsplit(url).hostname or "")
    except ValueError:
        return None
    return reason and f"NOTIFY_WEBHOOK_URLS: {redact_url(url)} is {reason}; NOTIFY_ALLOW_LINK_LOCAL=true allows it"


@dataclass(frozen=True)
class Effective:
    """One variable as `modelsync config` shows it: its value redacted, where it came from, its meaning."""

    name: str
    value: str
    source: str
    in_effect: bool
    meaning: str


_SECRET = {"api_token", "notify_webhook_secret", "sign_key_password"}


def effective(configuration: Configuration) -> list[Effective]:
    """All variables with their effective values, secrets left out."""
    from modelsync.config.fields import Note

    rows = []
    for name, field in Settings.model_fields.items():
        note = next((item for item in field.metadata if isinstance(item, Note)), Note(""))
        value = getattr(configuration.settings, name)
        source = "environment" if name in configuration.settings.model_fields_set else "default"
        rows.append(Effective(name.upper(), _shown(name, value), source, note.in_effect, note.text))
    rows += [
        Effective(
            f"SQS_{name.upper()}_QUEUE_URL", without_userinfo(url), "environment", True, "A queue with S3 events."
        )
        for name, url in configuration.queues.items()
    ]
    return rows


def _shown(name: str, value: object) -> str:
    if value is None:
        return ""
    if name in _SECRET:
        return "(set)"
    if name == "notify_webhook_urls" and isinstance(value, tuple):
        return ",".join(redact_url(url) for url in value)
    if name.startswith("aws_endpoint_url") or name == "modelsync_url":
        return without_userinfo(str(value))
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
