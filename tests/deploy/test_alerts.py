"""The alerts: their expressions by promtool, their metrics by the table in the code, their advice by the docs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelsync.core.status import State
from modelsync.telemetry.metrics import TABLE
from support.manifests import NAME, ROOT, run, the, tool

CASES = Path(__file__).parent / "alerts.test.yaml"
METRICS = {spec.name: spec for spec in TABLE}
OF_PROMETHEUS = {"job", "namespace", "pod", "le"}


def rule() -> dict[str, Any]:
    spec: dict[str, Any] = the("overlays/prod", "PrometheusRule")["spec"]
    return spec


def alerts() -> list[dict[str, Any]]:
    return [alert for group in rule()["groups"] for alert in group["rules"]]


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """The operator's rules as Prometheus has them, beside their cases."""
    (tmp_path / CASES.name).write_text(CASES.read_text())
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump(rule()))
    return file


def test_prometheus_takes_the_rules(rules: Path) -> None:
    answer = run([tool("promtool"), "check", "rules", "--lint-fatal", rules])
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_alerts_fire_when_they_should_and_only_then(rules: Path) -> None:
    answer = run([tool("promtool"), "test", "rules", rules.parent / CASES.name])
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_every_alert_has_a_case() -> None:
    told = CASES.read_text()
    assert [alert["alert"] for alert in alerts() if alert["alert"] not in told] == []


def test_expressions_are_of_metrics_and_labels_that_are_there() -> None:
    for alert in alerts():
        for name, labels in re.findall(r"(modelsync_\w+)(?:\{([^}]*)\})?", alert["expr"]):
            spec = METRICS[name.removesuffix("_bucket")]
            assert {label for label, _ in re.findall(r'(\w+)=~?"([^"]*)"', labels)} <= set(spec.labels)
            wanted = {label for by in re.findall(r"by \(([^)]*)\)", alert["expr"]) for label in by.split(", ")}
            assert wanted <= set(spec.labels) | OF_PROMETHEUS, alert["alert"]


def test_values_of_labels_are_those_of_the_code() -> None:
    text = "\n".join(alert["expr"] for alert in alerts())
    assert set(re.findall(r'state="(\w+)"', text)) <= {state.value for state in State}
    code = "".join((ROOT / f"src/modelsync/app/{room}.py").read_text() for room in ("consumer", "outbox"))
    outcomes = {outcome for said in re.findall(r'outcome=~?"([\w|]+)"', text) for outcome in said.split("|")}
    assert {outcome for outcome in outcomes if f'"{outcome}"' not in code} == set()
    assert set(re.findall(r'job="([^"]+)"', text)) == {the("overlays/prod", "Service")["metadata"]["name"]} == {NAME}


def test_every_alert_says_what_to_do() -> None:
    page = (ROOT / "docs/kubernetes.md").read_text()
    for alert in alerts():
        assert alert["labels"]["severity"] in {"warning", "critical"}
        assert alert["annotations"]["summary"]
        assert alert["annotations"]["description"]
        assert f"`{alert['alert']}`" in page
