"""What is tested is what is released."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def versions(lock: str) -> dict[str, str]:
    """The packages of a lock."""
    return dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / lock).read_text(), re.MULTILINE))


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-demo.lock"])
def test_the_tests_run_with_the_versions_that_are_installed(lock: str) -> None:
    tested = versions("requirements-dev.lock")
    assert {name: tested.get(name) for name in versions(lock)} == versions(lock), "run `make lock`"
