"""The servers that real adapters are tested against."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from modelsync.demo.emulator import Emulator


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Callable[[str], Emulator]:
    """Find `moto` or `localstack`; it is started when it is first asked for."""

    def find(name: str) -> Emulator:
        found: Emulator = request.getfixturevalue({"moto": "emulator"}.get(name, name))
        return found

    return find
