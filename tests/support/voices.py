"""Uploads as a careful publisher makes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelsync.demo.upload import upload


def put_voice(bucket: Any, model: str, files: Mapping[str, bytes]) -> None:
    """Upload a voice, its commit file last."""
    upload(bucket.s3, bucket.name, model, files)
