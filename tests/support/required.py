"""What a run must not skip: `MODELSYNC_REQUIRE=container,manifests,terraform`, where a job has installed the tools."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

VARIABLE = "MODELSYNC_REQUIRE"
PARTS = frozenset({"container", "manifests", "terraform"})
# Read before conftest takes it away: a worker under test would refuse it as a typing error.
REQUIRED = frozenset(part for part in os.environ.get(VARIABLE, "").split(",") if part)
if not REQUIRED <= PARTS:
    raise pytest.UsageError(
        f"{VARIABLE} names {', '.join(sorted(REQUIRED - PARTS))}, and may name {', '.join(sorted(PARTS))}"
    )


def cannot(part: str, reason: str, details: str = "") -> NoReturn:
    """Skip a test for want of its tools; where its part is required, it has failed."""
    if part in REQUIRED:
        pytest.fail(f"{VARIABLE} names {part}, and {reason}\n{details}", pytrace=False)
    pytest.skip(reason)
