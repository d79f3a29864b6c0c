"""deploy/aws applied to an emulator, and a worker on what it made.

By `make terraform-test`, not by `make test`: the provider watches each queue for half a minute after each change of it,
to see whether AWS has settled.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelsync.demo.emulator import ENVIRONMENT, Emulator
from support.formats.tensors import voice as tensors
from support.terraform import Terraform
from support.worker import Setting, until

ROOT_MODULE = """
module "model_sync" {
  source            = "./module"
  bucket_name       = "my-models"
  prefix            = "voices/"
  oidc_provider_arn = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.us-east-1.amazonaws.com/id/ABC"
}

output "made" {
  value = module.model_sync
}
"""
NOT_IN_MOTO = ("redrive.tf",)
"""Who may use a dead-letter queue: moto takes the attribute and forgets it, and the provider waits for ever."""


@pytest.fixture
def cloud() -> Iterator[Emulator]:
    with Emulator() as running:
        yield running


def left_to_do(terraform: Terraform) -> list[str]:
    """Resources that a second run would change, but for white space in JSON: moto puts its own there."""
    terraform("plan", "-input=false", "-out=again")
    changes = json.loads(terraform("show", "-json", "again"))["resource_changes"]
    return [
        change["address"] for change in changes if meant(change["change"]["before"]) != meant(change["change"]["after"])
    ]


def meant(values: dict[str, Any] | None) -> dict[str, Any]:
    """A resource's values, with JSON read."""
    return {
        key: json.loads(value) if isinstance(value, str) and value.startswith("{") else value
        for key, value in (values or {}).items()
    }


@pytest.mark.timeout(600)
def test_a_worker_runs_on_what_terraform_makes(cloud: Emulator, tmp_path: Path) -> None:
    directory, base, voice = (tmp_path / name for name in ("terraform", "models", "alice"))
    for path in (directory, base, voice):
        path.mkdir()
    (voice / "model.safetensors").write_bytes(tensors(1))
    terraform = Terraform(directory, cloud, ROOT_MODULE, without=NOT_IN_MOTO)
    terraform("apply", "-auto-approve", "-input=false", timeout=500)
    assert left_to_do(terraform) == []
    made: dict[str, Any] = json.loads(terraform("output", "-json", "made"))
    [queue] = made["queue_urls"].values()
    assert made["role_arn"] == "arn:aws:iam::123456789012:role/model-sync-worker"
    # "No requests without TLS" is "no requests" to moto: it reads no conditions.
    cloud.client("s3").delete_bucket_policy(Bucket="my-models")

    setting = Setting(
        base,
        tmp_path,
        {
            **ENVIRONMENT,
            **made["environment"],
            "AWS_ENDPOINT_URL": cloud.url,
            "SQS_MODEL_SYNC_QUEUE_URL": queue,
            "RECONCILE_INTERVAL_SECONDS": "0",  # what comes after the start comes by the queue alone
            "MODELS_BASE_PATH": str(base),
            "HTTP_HOST": "127.0.0.1",
            "HTTP_PORT": "0",
        },
    )
    try:
        worker = setting.start()
        worker.wait_ready()
        pushed = setting.command("push", str(voice), "alice")
        assert pushed.returncode == 0, pushed.stderr
        until((base / "alice").exists, "the voice")
        assert setting.read("alice")["model.safetensors"] == tensors(1)
        sqs = cloud.client("sqs")
        counted = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")

        def messages() -> int:
            answer = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])
            return sum(int(answer["Attributes"][name]) for name in counted)

        until(lambda: messages() == 0, "the messages' deletion")
        assert worker.check("queue:model_sync")["status"] == "healthy"
        assert worker.metric("events_total", queue="model_sync", outcome="published") > 0
    finally:
        setting.close()
