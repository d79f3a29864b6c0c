"""What Terraform would make of deploy/aws. Planned; `apply.py` applies it, which takes minutes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from modelsync.demo.emulator import Emulator
from support.policies import documented, grants, words
from support.terraform import Terraform, settings

ROOT_MODULE = """
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

module "theirs" {
  source              = "./module"
  name                = "theirs"
  bucket_name         = "their-models"
  create_bucket       = false
  manage_notification = false
}
"""


def test_a_configuration_that_is_not_there_is_not_asked_for(tmp_path: Path) -> None:
    there = {"HOME": "/root", "TF_CLI_CONFIG_FILE": str(tmp_path / "rc")}
    assert settings(there) == {"HOME": "/root"}
    (tmp_path / "rc").touch()
    assert settings(there) == there


Planned = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory, emulator: Emulator) -> Planned:
    """What Terraform would make, by module: all three ways of events."""
    terraform = Terraform(tmp_path_factory.mktemp("terraform"), emulator, ROOT_MODULE)
    terraform("plan", "-input=false", "-out=plan")
    plan = json.loads(terraform("show", "-json", "plan"))
    modules = plan["planned_values"]["root_module"]["child_modules"]
    return {module["address"].removeprefix("module."): module["resources"] for module in modules}


def values(resources: list[dict[str, Any]], kind: str, name: str = "") -> list[dict[str, Any]]:
    return [item["values"] for item in resources if item["type"] == kind and name in {"", item["name"]}]


def test_what_terraform_grants_is_what_is_documented(planned: Planned) -> None:
    for name in ("worker", "publisher"):
        [policy] = values(planned["direct"], "aws_iam_policy", name)
        assert grants(json.loads(policy["policy"])) == grants(documented(name))


def test_a_worker_reads_the_queues_of_its_module_alone(planned: Planned) -> None:
    [policy] = values(planned["fanout"], "aws_iam_policy", "worker")
    resources = {r for statement in json.loads(policy["policy"])["Statement"] for r in words(statement["Resource"])}
    queues = {
        f"arn:aws:sqs:us-east-1:123456789012:{queue['name']}"
        for queue in values(planned["fanout"], "aws_sqs_queue", "events")
    }
    assert {resource for resource in resources if ":sqs:" in resource} == queues
    assert len(queues) == 2


SENDERS = {
    "direct": ("s3.amazonaws.com", "arn:aws:s3:::direct-models"),
    "fanout": ("sns.amazonaws.com", "arn:aws:sns:us-east-1:123456789012:fanout-events"),
    "bridge": ("events.amazonaws.com", "arn:aws:events:us-east-1:123456789012:rule/bridge-events"),
}


def test_only_the_bucket_sends(planned: Planned) -> None:
    for name, (service, source) in SENDERS.items():
        for policy in values(planned[name], "aws_sqs_queue_policy"):
            [allow] = [s for s in json.loads(policy["policy"])["Statement"] if s["Effect"] == "Allow"]
            assert allow["Principal"] == {"Service": service}
            assert allow["Action"] == "sqs:SendMessage"
            assert allow["Condition"]["ArnEquals"] == {"aws:SourceArn": source}
            assert ("StringEquals" in allow["Condition"]) is (name == "direct"), "a bucket's ARN names no account"
    [topic] = values(planned["fanout"], "aws_sns_topic_policy")
    [allow] = json.loads(topic["policy"])["Statement"]
    assert allow["Condition"]["ArnEquals"] == {"aws:SourceArn": "arn:aws:s3:::fanout-models"}


def test_only_the_service_account_takes_the_role(planned: Planned) -> None:
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


def test_each_way_of_events_tells_of_what_comes_and_goes(planned: Planned) -> None:
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


def test_a_bucket_of_others_is_left_alone(planned: Planned) -> None:
    kinds = {item["type"] for item in planned["theirs"]}
    assert not [kind for kind in kinds if kind.startswith("aws_s3_")]
    assert {"aws_sqs_queue", "aws_sqs_queue_policy", "aws_iam_policy"} <= kinds
