"""What the source of deploy/aws says, read without Terraform: test_terraform has it planned, where there is one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from support.manifests import PLACE, ROOT, run
from support.policies import documented, words

Block = dict[str, Any]
_READ = """
import hcl2, json, pathlib, sys
found = {}
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.tf")):
    with path.open() as source:
        for kind, blocks in hcl2.load(source).items():
            found.setdefault(kind, []).extend(blocks)
print(json.dumps(found))
"""


class Module:
    """Its blocks. Every value is a list, as HCL's reader has them."""

    def __init__(self, blocks: dict[str, list[Block]]) -> None:
        self._blocks = blocks

    def all(self, kind: str, of: str = "resource") -> dict[str, Block]:
        """Blocks of a kind by their names."""
        return {name: block for item in self._blocks[of] for name, block in item.get(kind, {}).items()}

    def statements(self, name: str) -> list[Block]:
        """Of a policy document, those that depend on a variable too."""
        document = self.all("aws_iam_policy_document", of="data")[name]
        return [*document.get("statement", []), *_contents(document, "statement")]


def _contents(block: Block, kind: str) -> Iterator[Block]:
    """What `dynamic` blocks make."""
    for made in block.get("dynamic", []):
        yield from made.get(kind, {}).get("content", [])


@pytest.fixture(scope="module")
def module() -> Module:
    if not (PLACE / "installed.lock").exists():
        pytest.skip("there is no reader of HCL: run scripts/deploy-tools.sh")
    answer = run([PLACE / "bin/python", "-c", _READ, ROOT / "deploy/aws"])
    assert answer.returncode == 0, answer.stderr
    return Module(json.loads(answer.stdout))


@pytest.mark.parametrize("name", ["worker", "publisher"])
def test_it_grants_what_is_documented(module: Module, name: str) -> None:
    statements = module.statements(name)
    granted = {statement["sid"][0]: set(statement["actions"][0]) for statement in statements}
    wanted = {statement["Sid"]: set(words(statement["Action"])) for statement in documented(name)["Statement"]}
    assert granted == wanted


def test_nothing_is_allowed_on_everything_or_to_everybody(module: Module) -> None:
    for name in module.all("aws_iam_policy_document", of="data"):
        for statement in module.statements(name):
            everybody = any(principals["type"] == ["*"] for principals in statement.get("principals", ()))
            if statement.get("effect", ["Allow"]) == ["Allow"]:
                assert not everybody
                assert "*" not in [*statement["actions"][0], *statement.get("resources", [[]])[0]]
                assert not any(action.endswith(":*") for action in statement["actions"][0])


@pytest.mark.parametrize(
    ("name", "variables"),
    [
        ("queue", {"aws:SourceArn", "aws:SourceAccount"}),
        ("topic", {"aws:SourceArn", "aws:SourceAccount"}),
        ("trust", {"${local.issuer}:sub", "${local.issuer}:aud", "aws:SourceAccount"}),
    ],
)
def test_services_and_accounts_are_let_in_by_name_and_on_whose_behalf(
    module: Module, name: str, variables: set[str]
) -> None:
    allowed = [statement for statement in module.statements(name) if "effect" not in statement]
    assert allowed
    conditions = [
        condition
        for statement in allowed
        for condition in [*statement["condition"], *_contents(statement, "condition")]
    ]
    assert {condition["variable"][0] for condition in conditions} == variables
    assert {condition["test"][0] for condition in conditions} <= {"ArnEquals", "StringEquals"}, "no wildcards"


def test_queues_are_encrypted_so_that_s3_may_send_and_have_a_way_out(module: Module) -> None:
    queues = module.all("aws_sqs_queue")
    assert queues.keys() == {"events", "dead"}
    for queue in queues.values():
        assert queue["sqs_managed_sse_enabled"] == [True]
        assert "kms_master_key_id" not in queue
    assert "aws_sqs_queue.dead" in queues["events"]["redrive_policy"][0]
    watched = {alarm["dimensions"][0]["QueueName"] for alarm in module.all("aws_cloudwatch_metric_alarm").values()}
    assert watched == {f"${{aws_sqs_queue.{name}[each.key].name}}" for name in queues}


def test_the_bucket_is_closed_versioned_and_encrypted(module: Module) -> None:
    closed = module.all("aws_s3_bucket_public_access_block")["models"]
    for option in ("block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets"):
        assert closed[option] == [True]
    versions = module.all("aws_s3_bucket_versioning")["models"]
    assert versions["versioning_configuration"][0]["status"] == ["Enabled"]
    [rule] = module.all("aws_s3_bucket_server_side_encryption_configuration")["models"]["rule"]
    assert "aws:kms" in rule["apply_server_side_encryption_by_default"][0]["sse_algorithm"][0]
    owned = [block for kind in OF_THE_BUCKET for block in module.all(kind).values()]
    assert len(owned) == len(OF_THE_BUCKET)
    assert all(block["count"] == ["${var.create_bucket ? 1 : 0}"] for block in owned), (
        "a bucket of others stays as it is"
    )


OF_THE_BUCKET = (
    "aws_s3_bucket", "aws_s3_bucket_public_access_block", "aws_s3_bucket_ownership_controls", "aws_s3_bucket_policy",
    "aws_s3_bucket_versioning", "aws_s3_bucket_server_side_encryption_configuration",
    "aws_s3_bucket_lifecycle_configuration",
)  # fmt: skip


def test_the_overlay_names_what_the_module_makes_by_default(module: Module) -> None:
    variables = {name: block for item in module._blocks["variable"] for name, block in item.items()}
    name, [queue] = variables["name"]["default"][0], variables["queues"]["default"][0]
    overlay = (ROOT / "deploy/kubernetes/overlays/prod/kustomization.yaml").read_text()
    assert f"/123456789012/{name}-{queue}\n" in overlay
    assert f":role/{name}-worker\n" in overlay
