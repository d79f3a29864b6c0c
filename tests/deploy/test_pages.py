"""What the pages for operators name is there: commands, variables, metrics, sentences; and their sums are right."""

from __future__ import annotations

import re

import pytest

from modelsync.adapters.sqs import POLL_SECONDS
from modelsync.config import Settings
from modelsync.core.parts import split
from modelsync.core.status import State
from modelsync.telemetry.metrics import TABLE
from support.manifests import ROOT

PAGES = ("kubernetes.md", "sizing.md", "troubleshooting.md")
FOREIGN_VARIABLES = re.compile(r"AWS_\w+|HTTPS?_PROXY|NO_PROXY|SQS_\w+_QUEUE_URL|SSL_CERT_FILE")
MONTH_SECONDS = 30 * 86400


def text_of(page: str) -> str:
    return (ROOT / "docs" / page).read_text()


@pytest.mark.parametrize("page", PAGES)
def test_variables_are_variables(page: str) -> None:
    known = {name.upper() for name in Settings.model_fields}
    named = set(re.findall(r"`([A-Z][A-Z0-9]*_[A-Z0-9_]+)", text_of(page)))
    assert {name for name in named - known if not FOREIGN_VARIABLES.fullmatch(name)} == set()


@pytest.mark.parametrize("page", PAGES)
def test_metrics_are_metrics(page: str) -> None:
    assert set(re.findall(r"`(modelsync_[a-z0-9_]+)", text_of(page))) <= {spec.name for spec in TABLE}


def test_what_modelsync_is_said_to_say_it_says() -> None:
    section = text_of("troubleshooting.md").partition("### The pod does not run")[2]
    quoted = re.findall(r'"([^"…]+)"', re.sub(r"`[^`]*`", "", section))
    code = "\n".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    assert len(quoted) > 20
    assert [sentence for sentence in quoted if sentence not in code] == []


def test_every_state_of_a_model_is_explained() -> None:
    section = text_of("troubleshooting.md").partition("### A model is stuck or stale")[2]
    explained = set(re.findall(r"^\| `(\w+)`", section, re.MULTILINE))
    assert explained == set(State) - {State.ABSENT}, "of what is absent there is nothing to list"


def test_the_requests_of_a_month_are_what_the_defaults_make_of_them() -> None:
    page = text_of("sizing.md")
    pages = 10
    receives = MONTH_SECONDS // POLL_SECONDS

    def listings(every_seconds: float, pods: int = 1) -> int:
        return int(MONTH_SECONDS / every_seconds) * pages * pods

    own = listings(Settings.model_fields["reconcile_interval_seconds"].default)
    assert f"| {own:,} LIST, {receives:,} receives | ${own * 5e-6 + receives * 4e-7:.2f} |" in page
    for amount in (listings(60), listings(5), listings(60, pods=50)):
        assert f"| {amount:,} LIST | ${amount * 5e-6:.2f} |" in page
    requests = len(split(2 << 30))
    assert f"2 GiB in {requests}" in page
    assert f"${2 * 5e-6 + requests * 4e-7:.5f}" in page
