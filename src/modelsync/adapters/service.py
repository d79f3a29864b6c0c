"""A running worker's HTTP interface, asked from outside."""

from __future__ import annotations

import time
import urllib.error
import urllib.parse
import urllib.request
from http.client import HTTPException, HTTPResponse

from pydantic import TypeAdapter, ValidationError

from modelsync.core.names import ModelId
from modelsync.core.status import ModelPage, ModelView
from modelsync.errors import ServiceUnavailable

_SECONDS = 5.0
_MAX_BYTES = 16 << 20
_READ_BYTES = 64 << 10
_PAGE = 500
_VIEW: TypeAdapter[ModelView] = TypeAdapter(ModelView)
_MODELS: TypeAdapter[ModelPage] = TypeAdapter(ModelPage)


class ServiceClient:
    """Implements `ports.push.Service`."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    def model(self, model: ModelId) -> ModelView | None:
        """What the worker says of a model."""
        data = self._get(f"/api/v1/models/{urllib.parse.quote(model, safe='/')}")
        try:
            return None if data is None else _VIEW.validate_json(data)
        except ValidationError as error:
            raise self._odd() from error

    def models(self) -> list[ModelView]:
        """What the worker says of all models."""
        found: list[ModelView] = []
        after: str | None = ""
        while after is not None:
            data = self._get(f"/api/v1/models?{urllib.parse.urlencode({'limit': _PAGE, 'after': after})}")
            try:
                page = _MODELS.validate_json(data or b"")
            except ValidationError as error:
                raise self._odd() from error
            if page.next is not None and page.next <= after:
                raise self._odd()
            found += page.models
            after = page.next
        return found

    def _get(self, path: str) -> bytes | None:
        """An answer's body; None for 404."""
        try:
            with urllib.request.urlopen(f"{self._url}{path}", timeout=_SECONDS) as answer:  # noqa: S310 - checked: http(s)
                return self._read(answer)
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 404:
                    return None
                raise ServiceUnavailable(f"the worker at {self._url} answered {error.code}") from error
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise ServiceUnavailable(
                f"no worker can be reached at {self._url} ({reason}): set --url or MODELSYNC_URL"
            ) from error

    def _read(self, answer: HTTPResponse) -> bytes:
        """Read a body, within bounds of size and time."""
        deadline = time.monotonic() + _SECONDS
        data = bytearray()
        while block := answer.read1(_READ_BYTES):
            data += block
            if len(data) > _MAX_BYTES or time.monotonic() > deadline:
                raise self._odd()
        return bytes(data)

    def _odd(self) -> ServiceUnavailable:
        return ServiceUnavailable(
            f"what answers at {self._url} is no worker of this version: set --url or MODELSYNC_URL"
        )
