"""What Terraform would make of deploy/aws. Planned, not applied: the provider waits a minute for a queue to settle."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from modelsync.demo.emulator import ENVIRONMENT, Emulator
from support.manifests import ROOT, run
from support.policies import documented, grants, words

MODULE = ROOT / "deploy/aws"
ROOT_MODULE = """
provider "aws" {
  region                      = "us-east-1"
  s3_use_path_style           = true
  skip_credentials_validation = true
  skip_metadata_api_check     = true
}

module "direct" {
  source            = "./module"
  name              = "direct"
  bucket_name       = "direct-models"
  prefix            = "voices/"
  kms_key_arn       = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
  oidc_provider_arn = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.us-east-1.amazonaws.com/id/ABC"
}

module "fanout" {
  source      = "./module"
  name        = "fanout"
  bucket_name = "fanout-models"
  events      = "sns"
  queues      = ["a", "b"]
}

module "bridge" {
  source      = "./module"
  name        = "bridge"
  bucket_name = "bridge-models"
  events      = "eventbridge"

  pod_identity_cluster = "cluster"
}

"""


class Terraform:
    """A root module in a directory of its own."""

    def __init__(self, directory: Path, cloud: Emulator) -> None:
        found = shutil.which("terraform") or shutil.which("tofu")
        if found is None:
            pytest.skip("there is no terraform: install it")
        self._binary = found
        self._directory = directory
        self._environment = os.environ | ENVIRONMENT | {"TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1"}
        self._environment["AWS_ENDPOINT_URL"] = cloud.url
        answer = self._run("init", "-input=false")
        if answer.returncode != 0:
            pytest.skip("terraform finds no AWS provider: let its CLI configuration name a mirror, or a network")

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run(
            [self._binary, *arguments, *([] if arguments[0] == "output" else ["-no-color"])],
            cwd=self._directory, env=self._environment, timeout=100,
        )  # fmt: skip

    def __call__(self, *arguments: str) -> str:
        answer = self._run(*arguments)
        assert answer.returncode == 0, answer.stdout + answer.stderr
        return answer.stdout


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory, emulator: Emulator) -> dict[str, list[dict[str, Any]]]:
    """What Terraform would make, by module: all three ways of events."""
    directory = tmp_path_factory.mktemp("terraform")
    shutil.copytree(MODULE, directory / "module")
    (directory / "main.tf").write_text(ROOT_MODULE)
    terraform = Terraform(directory, emulator)
    terraform("plan", "-input=false", "-out=plan")
    plan = json.loads(terraform("show", "-json", "plan"))
    modules = plan["planned_values"]["root_module"]["child_modules"]
    return {module["address"].removeprefix("module."): module["resources"] for module in modules}


def values(resources: list[dict[str, Any]], kind: str, name: str = "") -> list[dict[str, Any]]:
    return [item["values"] for item in resources if item["type"] == kind and name in {"", item["name"]}]


@pytest.mark.parametrize("name", ["worker", "publisher"])
def test_what_terraform_grants_is_what_is_documented(planned: dict[str, list[dict[str, Any]]], name: str) -> None:
    [policy] = values(planned["direct"], "aws_iam_policy", name)
    assert grants(json.loads(policy["policy"])) == grants(documented(name))


def test_a_worker_reads_the_queues_of_its_module_alone(planned: dict[str, list[dict[str, Any]]]) -> None:
    [policy] = values(planned["fanout"], "aws_iam_policy", "worker")
    resources = {r for statement in json.loads(policy["policy"])["Statement"] for r in words(statement["Resource"])}
    queues = {
        f"arn:aws:sqs:us-east-1:123456789012:{queue['name']}"
        for queue in values(planned["fanout"], "aws_sqs_queue", "events")
    }
    assert {resource for resource in resources if ":sqs:" in resource} == queues
    assert len(queues) == 2


@pytest.mark.parametrize(
    ("name", "service", "source"),
    [
        ("direct", "s3.amazonaws.com", "arn:aws:s3:::direct-models"),
        ("fanout", "sns.amazonaws.com", "arn:aws:sns:us-east-1:123456789012:fanout-events"),
        ("bridge", "events.amazonaws.com", "arn:aws:events:us-east-1:123456789012:rule/bridge-events"),
    ],
)
def test_only_the_bucket_sends(planned: dict[str, list[dict[str, Any]]], name: str, service: str, source: str) -> None:
    for policy in values(planned[name], "aws_sqs_queue_policy"):
        [allow] = [s for s in json.loads(policy["policy"])["Statement"] if s["Effect"] == "Allow"]
        assert allow["Principal"] == {"Service": service}
        assert allow["Action"] == "sqs:SendMessage"
        assert allow["Condition"]["ArnEquals"] == {"aws:SourceArn": source}
        assert ("StringEquals" in allow["Condition"]) is (name == "direct"), "a bucket's ARN names no account"
    for topic in values(planned[name], "aws_sns_topic_policy"):
        [allow] = json.loads(topic["policy"])["Statement"]
        assert allow["Condition"]["ArnEquals"] == {"aws:SourceArn": f"arn:aws:s3:::{name}-models"}


def test_only_the_service_account_takes_the_role(planned: dict[str, list[dict[str, Any]]]) -> None:
    [role] = values(planned["direct"], "aws_iam_role")
    [trust] = json.loads(role["assume_role_policy"])["Statement"]
    assert trust["Condition"]["StringEquals"] == {
        "oidc.eks.us-east-1.amazonaws.com/id/ABC:sub": "system:serviceaccount:voice-tts:worker-model-sync-tts",
        "oidc.eks.us-east-1.amazonaws.com/id/ABC:aud": "sts.amazonaws.com",
    }
    assert not values(planned["fanout"], "aws_iam_role"), "no cluster, no role"
    [role] = values(planned["bridge"], "aws_iam_role")
    [trust] = json.loads(role["assume_role_policy"])["Statement"]
    assert trust["Principal"] == {"Service": "pods.eks.amazonaws.com"}
    [association] = values(planned["bridge"], "aws_eks_pod_identity_association")
    assert (association["namespace"], association["service_account"]) == ("voice-tts", "worker-model-sync-tts")


def test_queues_are_encrypted_and_have_a_way_out(planned: dict[str, list[dict[str, Any]]]) -> None:
    for resources in planned.values():
        live, dead = values(resources, "aws_sqs_queue", "events"), values(resources, "aws_sqs_queue", "dead")
        assert {queue["name"] for queue in dead} == {f"{queue['name']}-dead" for queue in live}
        assert all(queue["sqs_managed_sse_enabled"] for queue in live + dead)
        alarms = values(resources, "aws_cloudwatch_metric_alarm")
        assert {alarm["dimensions"]["QueueName"] for alarm in alarms} == {queue["name"] for queue in live + dead}


def test_the_bucket_is_closed_versioned_and_encrypted(planned: dict[str, list[dict[str, Any]]]) -> None:
    for name, resources in planned.items():
        [closed] = values(resources, "aws_s3_bucket_public_access_block")
        assert {value for key, value in closed.items() if key.startswith(("block", "ignore", "restrict"))} == {True}
        [versions] = values(resources, "aws_s3_bucket_versioning")
        assert versions["versioning_configuration"][0]["status"] == "Enabled"
        [encryption] = values(resources, "aws_s3_bucket_server_side_encryption_configuration")
        [rule] = encryption["rule"]
        algorithm = rule["apply_server_side_encryption_by_default"][0]["sse_algorithm"]
        assert algorithm == ("aws:kms" if name == "direct" else "AES256")


def test_each_way_of_events_tells_of_what_comes_and_goes(planned: dict[str, list[dict[str, Any]]]) -> None:
    both = {"s3:ObjectCreated:*", "s3:ObjectRemoved:*"}
    [direct] = values(planned["direct"], "aws_s3_bucket_notification")
    assert [set(queue["events"]) for queue in direct["queue"]] == [both]
    assert direct["queue"][0]["filter_prefix"] == "voices/"
    [fanout] = values(planned["fanout"], "aws_s3_bucket_notification")
    assert [set(topic["events"]) for topic in fanout["topic"]] == [both]
    assert len(values(planned["fanout"], "aws_sns_topic_subscription")) == 2
    [bridge] = values(planned["bridge"], "aws_s3_bucket_notification")
    assert bridge["eventbridge"] is True
    [rule] = values(planned["bridge"], "aws_cloudwatch_event_rule")
    pattern = json.loads(rule["event_pattern"])
    assert pattern["detail-type"] == ["Object Created", "Object Deleted"]
    assert pattern["detail"] == {"bucket": {"name": ["bridge-models"]}}
    assert len(values(planned["bridge"], "aws_cloudwatch_event_target")) == 1
