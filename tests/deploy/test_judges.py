"""What Kubernetes' schemas and checkov say of the manifests and the Terraform module."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from support.manifests import PLACE, READERS, ROOT, WORKERS, rendered, run, tool

ALL = (*WORKERS, *READERS)
OF_OTHERS = {"ExternalSecret", "PrometheusRule", "ScaledObject", "ServiceMonitor", "TriggerAuthentication"}
"""Kinds of operators: Kubernetes has no schemas of them."""

ARGUED = {
    ("CKV_K8S_14", ".*"): "dev runs what was built last",
    ("CKV_K8S_15", ".*"): "release tags are never moved, so there is nothing to pull again",
    ("CKV_K8S_43", ".*"): "overlays name a release; who wants a digest puts it into `images`",
    ("CKV_K8S_35", ".*worker-model-sync-tts"): "the API's token is a variable, in a Secret that is optional",
    ("CKV_K8S_38", ".*worker-model-sync-tts"): "kubernetes-notify asks Kubernetes' API; test_policy has it there alone",
    ("CKV_K8S_8", ".*tts"): "what it takes for an application to be alive is the application's to say",
    ("CKV_AWS_18", ".*"): "access logs need a bucket of their own: whoever wants them has one",
    ("CKV_AWS_144", ".*"): "another region is another file system, with a queue of its own (docs/aws.md)",
    ("CKV2_K8S_6", ".*tts.*"): "whom an application speaks to is the application's to say",
}
"""Findings of checkov that stay: check and resource, and why."""


def _written(directory: Path) -> Path:
    """One file with everything that is rendered, each manifest once."""
    file = directory / "everything.yaml"
    unlike = {document for place in ALL for document in re.split(r"^---\n", rendered(place), flags=re.MULTILINE)}
    file.write_text("---\n".join(sorted(unlike)))
    return file


def _last_versions() -> list[str]:
    [schemas] = PLACE.glob("lib/python*/site-packages/kubernetes_validate/kubernetes-json-schema")
    found = {
        tuple(map(int, m[1].split("."))) for path in schemas.iterdir() if (m := re.match(r"v(\d+\.\d+)\.", path.name))
    }
    return [".".join(map(str, version)) for version in sorted(found)[-4:]]


def test_manifests_are_what_the_last_four_versions_of_kubernetes_take(tmp_path: Path) -> None:
    validate = tool("kubernetes-validate")
    file = _written(tmp_path)
    versions = _last_versions()
    assert len(versions) == 4
    named = [word for version in versions for word in ("-k", version)]
    answer = run([validate, *named, "--strict", "--quiet", file])
    told = answer.stdout + answer.stderr
    assert answer.returncode == 0, told
    assert set(re.findall(r"schema for kind (\w+)", told)) <= OF_OTHERS, told


def test_so_are_those_that_the_page_shows(tmp_path: Path) -> None:
    page = (ROOT / "docs/kubernetes.md").read_text()
    blocks = [
        block
        for block in re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
        if "kustomize" not in block
    ]
    assert len(blocks) == 2
    (tmp_path / "page.yaml").write_text("---\n".join(blocks))
    answer = run([tool("kubernetes-validate"), "--strict", "--quiet", tmp_path / "page.yaml"])
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_an_unknown_field_is_refused(tmp_path: Path) -> None:
    validate = tool("kubernetes-validate")
    file = tmp_path / "typing-error.yaml"
    file.write_text(rendered("overlays/prod").replace("terminationGracePeriodSeconds", "terminationGraceSeconds"))
    assert run([validate, "--strict", file]).returncode != 0


@pytest.mark.timeout(300)  # checkov takes six seconds of CPU to start
def test_checkov_finds_nothing_that_is_not_argued(tmp_path: Path) -> None:
    checkov = tool("checkov")
    _written(tmp_path)
    shutil.copytree(ROOT / "deploy/aws", tmp_path / "aws")
    answer = run(
        [
            checkov, "--directory", tmp_path, "--framework", "kubernetes", "terraform", "--skip-download", "--quiet",
            "--output", "json",
        ]
    )  # fmt: skip
    reports = json.loads(answer.stdout)
    assert [report["check_type"] for report in reports] == ["kubernetes", "terraform"]
    assert all(report["summary"]["passed"] > 20 for report in reports)
    failed = [check for report in reports for check in report["results"]["failed_checks"]]
    found = {(check["check_id"], check["resource"]) for check in failed}
    argued = {entry for entry in ARGUED for check in found if _covers(entry, check)}
    assert {check for check in found if not any(_covers(entry, check) for entry in ARGUED)} == set()
    assert argued == ARGUED.keys(), "an argument against what is not found any more"


def _covers(entry: tuple[str, str], check: tuple[str, str]) -> bool:
    return entry[0] == check[0] and re.fullmatch(entry[1], check[1]) is not None
