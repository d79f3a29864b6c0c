"""What the source of deploy/aws says, read without Terraform: test_terraform has it planned, where there is one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.manifests import PLACE, ROOT, run
from support.policies import documented, words
from support.required import cannot

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

    @property
    def documents(self) -> dict[str, Block]:
        """Of policies."""
        return self.all("aws_iam_policy_document", of="data")

    def each(self) -> Iterator[tuple[tuple[str, str], Block]]:
        """Every statement, with the names of its document and its own."""
        for document in self.documents:
            for statement in self.statements(document):
                yield (document, statement["sid"][0]), statement

    @property
    def locals(self) -> Block:
        """All of them."""
        return {name: value for block in self._blocks["locals"] for name, value in block.items()}

    def statements(self, name: str) -> list[Block]:
        """Of a policy document, those that depend on a variable too."""
        document = self.documents[name]
        return [*document.get("statement", []), *_contents(document, "statement")]


def _contents(block: Block, kind: str) -> Iterator[Block]:
    """What `dynamic` blocks make."""
    for made in block.get("dynamic", []):
        for content in made.get(kind, {}).get("content", []):
            yield content | {"for_each": made[kind]["for_each"]}


def conditions(statement: Block) -> dict[str, Any]:
    """By test and variable."""
    found = [*statement.get("condition", []), *_contents(statement, "condition")]
    return {f"{c['test'][0]} {c['variable'][0]}": (c["values"][0], *c.get("for_each", ())) for c in found}


def read(directory: Path) -> Module:
    """A module's source."""
    if not (PLACE / "installed.lock").exists():
        cannot("manifests", "there is no reader of HCL: run scripts/deploy-tools.sh")
    answer = run([PLACE / "bin/python", "-c", _READ, directory])
    assert answer.returncode == 0, answer.stderr
    return Module(json.loads(answer.stdout))


@pytest.fixture(scope="module")
def module() -> Module:
    return read(ROOT / "deploy/aws")


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


BUCKET = "${local.bucket_arn}"
QUEUE = "${local.queue_arns[each.key]}"
RESOURCES = {
    ("bucket", "TlsOnly"): [BUCKET, f"{BUCKET}/*"],
    ("publisher", "List"): [BUCKET],
    ("publisher", "Upload"): [f"{BUCKET}/${{var.prefix}}*"],
    ("publisher", "Encrypt"): ["${statement.value}"],
    ("queue", "OnlyThisBucketSends"): [QUEUE],
    ("queue", "TlsOnly"): [QUEUE],
    ("topic", "OnlyThisBucketPublishes"): ["${local.topic_arn}"],
    ("trust", "Irsa"): None,
    ("trust", "PodIdentity"): None,
    ("worker", "List"): [BUCKET],
    ("worker", "Read"): [f"{BUCKET}/${{var.prefix}}*"],
    ("worker", "Doctor"): [BUCKET],
    ("worker", "Events"): "${values(local.queue_arns)}",
    ("worker", "Decrypt"): ["${statement.value}"],
}
"""What each statement is about."""
KEY = "${var.kms_key_arn == None ? [] : ['${var.kms_key_arn}']}"
EACH = {
    ("publisher", "Encrypt"): KEY,
    ("trust", "Irsa"): "${var.oidc_provider_arn == None ? [] : ['${var.oidc_provider_arn}']}",
    ("trust", "PodIdentity"): "${var.pod_identity_cluster == None ? [] : ['${var.pod_identity_cluster}']}",
    ("worker", "Events"): "${length(local.queues) > 0 ? [1] : []}",
    ("worker", "Decrypt"): KEY,
}
"""When, where it depends."""
PRINCIPALS = {
    ("bucket", "TlsOnly"): ("*", ["*"]),
    ("queue", "OnlyThisBucketSends"): ("Service", ["${local.sender[var.events].service}"]),
    ("queue", "TlsOnly"): ("*", ["*"]),
    ("topic", "OnlyThisBucketPublishes"): ("Service", ["s3.amazonaws.com"]),
    ("trust", "Irsa"): ("Federated", ["${statement.value}"]),
    ("trust", "PodIdentity"): ("Service", ["pods.eks.amazonaws.com"]),
}
TLS = {"Bool aws:SecureTransport": (["false"],)}
ACCOUNT = ["${local.account}"]
CONDITIONS = {
    ("bucket", "TlsOnly"): TLS,
    ("queue", "OnlyThisBucketSends"): {
        "ArnEquals aws:SourceArn": (["${local.sender[var.events].arn}"],),
        "StringEquals aws:SourceAccount": (
            ["${condition.value}"],
            "${var.events == \"direct\" ? ['${local.account}'] : []}",
        ),
    },
    ("queue", "TlsOnly"): TLS,
    ("topic", "OnlyThisBucketPublishes"): {
        "ArnEquals aws:SourceArn": ([BUCKET],),
        "StringEquals aws:SourceAccount": (ACCOUNT,),
    },
    ("trust", "Irsa"): {
        "StringEquals ${local.issuer}:sub": (["system:serviceaccount:${var.namespace}:${var.service_account}"],),
        "StringEquals ${local.issuer}:aud": (["sts.amazonaws.com"],),
    },
    ("trust", "PodIdentity"): {"StringEquals aws:SourceAccount": (ACCOUNT,)},
}
"""Services and accounts are let in on whose behalf; without TLS nobody is."""
NAMES = {
    "bucket_arn": "${local.arn}:s3:::${var.bucket_name}",
    "queue_arns": '${{for name in local.queues : name => "${local.arn}:sqs:${local.region}:${local.here}-${name}"}}',
    "topic_arn": "${local.arn}:sns:${local.region}:${local.here}-events",
    "rule_arn": "${local.arn}:events:${local.region}:${local.account}:rule/${var.name}-events",
    "account": "${data.aws_caller_identity.this.account_id}",
    "here": "${local.account}:${var.name}",
    "issuer": '${var.oidc_provider_arn == None ? "" : split(":oidc-provider/",var.oidc_provider_arn)[1]}',
    "sender": {
        "direct": {"service": "s3.amazonaws.com", "arn": BUCKET},
        "sns": {"service": "sns.amazonaws.com", "arn": "${local.topic_arn}"},
        "eventbridge": {"service": "events.amazonaws.com", "arn": "${local.rule_arn}"},
    },
}
"""What the names in statements stand for."""


def test_each_statement_is_about_this_and_for_these_alone(module: Module) -> None:
    each = dict(module.each())
    assert len(each) == len(list(module.each())), "a name twice"
    assert {key: s.get("resources", [None])[0] for key, s in each.items()} == RESOURCES
    assert {key: s["for_each"][0] for key, s in each.items() if "for_each" in s} == EACH
    assert {
        key: (who["type"][0], who["identifiers"][0]) for key, s in each.items() for who in s.get("principals", ())
    } == PRINCIPALS
    assert {key: found for key, s in each.items() if (found := conditions(s))} == CONDITIONS
    assert {key for key, s in each.items() if s.get("effect") == ["Deny"]} == {
        ("bucket", "TlsOnly"),
        ("queue", "TlsOnly"),
    }
    assert {name: value[0] for name, value in module.locals.items() if name in NAMES} == NAMES
    written = {"statement", "dynamic", "count", "for_each", "__start_line__", "__end_line__"}
    assert all(document.keys() <= written for document in module.documents.values()), "no other document is merged in"
    fields = {"sid", "effect", "actions", "resources", "principals", "condition", "dynamic", "for_each"}
    assert all(statement.keys() <= fields for statement in each.values())


def test_the_role_has_one_policy_and_nothing_else_gives_rights(module: Module) -> None:
    kinds = {kind for item in module._blocks["resource"] for kind in item if "iam" in kind or "policy" in kind}
    assert {
        (kind, name): block.get("policy", [""])[0] for kind in kinds for name, block in module.all(kind).items()
    } == {
        ("aws_iam_policy", "publisher"): "${data.aws_iam_policy_document.publisher.json}",
        ("aws_iam_policy", "worker"): "${data.aws_iam_policy_document.worker.json}",
        ("aws_iam_role", "worker"): "",
        ("aws_iam_role_policy_attachment", "worker"): "",
        ("aws_s3_bucket_policy", "models"): "${data.aws_iam_policy_document.bucket.json}",
        ("aws_sns_topic_policy", "events"): "${data.aws_iam_policy_document.topic[0].json}",
        ("aws_sqs_queue_policy", "events"): "${data.aws_iam_policy_document.queue[each.key].json}",
        ("aws_sqs_queue_redrive_allow_policy", "dead"): "",
    }
    assert sum(len(item) for item in module._blocks["resource"] for kind in item if kind in kinds) == 8
    assert module.all("aws_iam_role_policy_attachment")["worker"]["policy_arn"] == ["${aws_iam_policy.worker.arn}"]
    role = module.all("aws_iam_role")["worker"]
    assert role.keys() == {"count", "name", "assume_role_policy", "tags", "__start_line__", "__end_line__"}
    assert role["assume_role_policy"] == ["${data.aws_iam_policy_document.trust.json}"]
    assert not module._blocks.get("module"), "no module is called, which could give more"


def test_queues_are_encrypted_so_that_s3_may_send_and_have_a_way_out(module: Module) -> None:
    queues = module.all("aws_sqs_queue")
    assert queues.keys() == {"events", "dead"}
    for queue in queues.values():
        assert queue["sqs_managed_sse_enabled"] == [True]
        assert "kms_master_key_id" not in queue
    assert "aws_sqs_queue.dead" in queues["events"]["redrive_policy"][0]
    [redrive] = module.all("aws_sqs_queue_redrive_allow_policy")["dead"]["redrive_allow_policy"]
    assert "'redrivePermission': 'byQueue'" in redrive
    assert "'sourceQueueArns': ['${aws_sqs_queue.events[each.key].arn}']" in redrive
    watched = {alarm["dimensions"][0]["QueueName"] for alarm in module.all("aws_cloudwatch_metric_alarm").values()}
    assert watched == {f"${{aws_sqs_queue.{name}[each.key].name}}" for name in queues}


def test_alarms_go_off_at_the_first_dead_message_and_at_old_ones(module: Module) -> None:
    alarms = module.all("aws_cloudwatch_metric_alarm")
    assert {name: alarm["threshold"] for name, alarm in alarms.items()} == {
        "dead": [0],
        "age": ["${var.max_message_age_seconds}"],
    }
    for alarm in alarms.values():
        assert alarm["comparison_operator"] == ["GreaterThanThreshold"]
        assert alarm["evaluation_periods"][0] * alarm["period"][0] <= 300
        assert alarm["alarm_actions"] == ["${var.alarm_actions}"]


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


# What the tests above are worth: each of these changes makes one of them fail.

STATEMENTS = test_each_statement_is_about_this_and_for_these_alone
ATTACHED = test_the_role_has_one_policy_and_nothing_else_gives_rights
ATTACHMENT = """
resource "aws_iam_role_policy_attachment" "more" {
  role       = aws_iam_role.worker[0].name
  policy_arn = "arn:aws:iam::aws:policy/AmazonS3FullAccess"
}
"""
INLINE = """
resource "aws_iam_role_policy" "more" {
  role   = aws_iam_role.worker[0].name
  policy = jsonencode({ Statement = [{ Effect = "Allow", Action = "s3:*", Resource = "*" }] })
}
"""


@pytest.mark.parametrize(
    ("file", "old", "new", "fails"),
    [
        ("iam.tf", "", ATTACHMENT, ATTACHED),
        ("iam.tf", "", INLINE, ATTACHED),
        ("iam.tf", "= aws_iam_policy.worker.arn", '= "arn:aws:iam::aws:policy/AmazonS3FullAccess"', ATTACHED),
        ("iam.tf", "data.aws_iam_policy_document.worker.json", 'file("other.json")', ATTACHED),
        ("iam.tf", "${local.bucket_arn}/${var.prefix}*", "${local.bucket_arn}/*", STATEMENTS),
        ("iam.tf", "= values(local.queue_arns)", '= ["arn:aws:sqs:*:*:*"]', STATEMENTS),
        ("iam.tf", "[var.kms_key_arn]", '["arn:aws:kms:*:*:key/*"]', STATEMENTS),
        ("iam.tf", '["pods.eks.amazonaws.com"]', '["ec2.amazonaws.com"]', STATEMENTS),
        ("main.tf", ":s3:::${var.bucket_name}", ":s3:::*", STATEMENTS),
        ("queue.tf", "arn = local.bucket_arn", 'arn = "arn:aws:s3:::*"', STATEMENTS),
        ("queue.tf", "[local.sender[var.events].arn]", '["arn:aws:s3:::*"]', STATEMENTS),
        ("queue.tf", '["false"]', '["true"]', STATEMENTS),
        ("bucket.tf", '["false"]', '["true"]', STATEMENTS),
        ("notification.tf", "= [local.bucket_arn]", '= ["arn:aws:s3:::*"]', STATEMENTS),
        ("redrive.tf", "byQueue", "allowAll", test_queues_are_encrypted_so_that_s3_may_send_and_have_a_way_out),
        ("alarms.tf", "= 0\n", "= 100000\n", test_alarms_go_off_at_the_first_dead_message_and_at_old_ones),
    ],
)
def test_a_change_that_allows_more_is_seen(
    tmp_path: Path, file: str, old: str, new: str, fails: Callable[[Module], None]
) -> None:
    shutil.copytree(ROOT / "deploy/aws", tmp_path, dirs_exist_ok=True)
    text = (tmp_path / file).read_text()
    assert old in text
    (tmp_path / file).write_text(text.replace(old, new, 1) if old else text + new)
    changed = read(tmp_path)
    with pytest.raises(AssertionError):
        fails(changed)
