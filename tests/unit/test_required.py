"""Tests that a run must not skip."""

from __future__ import annotations

import os

import pytest

from support import required


def test_what_is_not_required_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(required, "REQUIRED", frozenset({"manifests"}))
    with pytest.raises(pytest.skip.Exception, match="there is no terraform"):
        required.cannot("terraform", "there is no terraform")


def test_what_is_required_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(required, "REQUIRED", frozenset({"manifests", "terraform"}))
    with pytest.raises(pytest.fail.Exception, match="MODELSYNC_REQUIRE names terraform, and there is no terraform"):
        required.cannot("terraform", "there is no terraform")


def test_workers_under_test_do_not_meet_the_variable() -> None:
    assert required.VARIABLE not in os.environ
