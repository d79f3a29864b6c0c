"""The permissions of docs/aws.md: enough for what the code calls, and no more."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from bench.content import safetensors
from botocore.exceptions import ClientError

from modelsync.adapters.aws import AwsOptions, AwsSession
from modelsync.adapters.sqs import SqsOptions, SqsQueue, sqs_client
from modelsync.demo.emulator import ENVIRONMENT, REGION, Emulator
from support.manifests import ROOT, run
from support.policies import Policy, documented, words

SOURCE = ROOT / "src/modelsync/adapters"
READING = {
    "GetBucketNotificationConfiguration": {"s3:GetBucketNotification"},
    "GetBucketVersioning": {"s3:GetBucketVersioning"},
    "GetObject": {"s3:GetObject", "s3:GetObjectVersion"},
    "HeadObject": {"s3:GetObject", "s3:GetObjectVersion"},
    "ListMultipartUploads": {"s3:ListBucketMultipartUploads"},
    "ListObjectsV2": {"s3:ListBucket"},
}
WRITING = {
    "AbortMultipartUpload": {"s3:AbortMultipartUpload"},
    "CompleteMultipartUpload": {"s3:PutObject"},
    "CreateMultipartUpload": {"s3:PutObject"},
    "HeadObject": {"s3:GetObject"},
    "PutObject": {"s3:PutObject"},
    "UploadPart": {"s3:PutObject"},
}
QUEUEING = {
    "change_message_visibility": {"sqs:ChangeMessageVisibility"},
    "change_message_visibility_batch": {"sqs:ChangeMessageVisibility"},
    "delete_message": {"sqs:DeleteMessage"},
    "delete_message_batch": {"sqs:DeleteMessage"},
    "get_queue_attributes": {"sqs:GetQueueAttributes"},
    "receive_message": {"sqs:ReceiveMessage"},
}
KEY = {"worker": {"kms:Decrypt"}, "publisher": {"kms:Decrypt", "kms:GenerateDataKey"}}


def actions(policy: Policy) -> set[str]:
    return {action for statement in policy["Statement"] for action in words(statement["Action"])}


def s3_operations(*files: str) -> set[str]:
    """Names of S3's operations in the code: it gives each of its requests one, for the metrics."""
    return {
        argument.value
        for file in files
        for call in ast.walk(ast.parse((SOURCE / "s3" / file).read_text()))
        if isinstance(call, ast.Call) and getattr(call.func, "attr", "") in {"_ask", "_call", "_send", "send"}
        for argument in call.args[:1]
        if isinstance(argument, ast.Constant)
    }


def sqs_operations() -> set[str]:
    text = "".join((SOURCE / file).read_text() for file in ("sqs.py", "queue_inspection.py"))
    return set(re.findall(r"_client\.([a-z_]+)\(", text)) - {"meta"}


def test_the_worker_may_do_what_its_code_calls_and_nothing_else() -> None:
    called = s3_operations("store.py", "inspection.py")
    assert called == READING.keys()
    assert sqs_operations() == QUEUEING.keys()
    needed = set().union(*(READING[name] for name in called), *(QUEUEING[name] for name in sqs_operations()))
    assert actions(documented("worker")) == needed | KEY["worker"]


def test_the_publisher_may_do_what_a_push_calls_and_nothing_else() -> None:
    called = s3_operations("uploads.py")
    assert called == WRITING.keys()
    needed = {"s3:ListBucket"}.union(*(WRITING[name] for name in called))
    assert actions(documented("publisher")) == needed | KEY["publisher"]


def test_every_request_of_the_code_has_a_name_that_is_looked_at_here() -> None:
    senders = {path.name for path in (SOURCE / "s3").glob("*.py") if s3_operations(path.name)}
    assert senders == {"inspection.py", "store.py", "uploads.py"}


# Against a server that enforces policies


@pytest.fixture(scope="module")
def cloud() -> Iterator[Emulator]:
    """A moto of our own: it turns its look at policies on for everybody."""
    with Emulator() as running:
        yield running


def client(cloud: Emulator, service: str, keys: dict[str, str]) -> Any:
    return botocore.session.get_session().create_client(
        service,
        region_name=REGION,
        endpoint_url=cloud.url,
        aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
    )


def enforce(cloud: Emulator, after: int) -> None:
    request = urllib.request.Request(
        f"{cloud.url}/moto-api/reset-auth", data=str(after).encode(), headers={"Content-Type": "text/plain"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        answer.read()


@pytest.fixture(scope="module")
def users(cloud: Emulator) -> dict[str, dict[str, str]]:
    """Access keys of somebody with the worker's policy, and of somebody with the publisher's."""
    place = cloud.make_place("my-models")
    iam = client(cloud, "iam", ENVIRONMENT)
    found = {}
    for name in ("worker", "publisher"):
        policy = documented(name)
        for statement in policy["Statement"]:
            if statement["Sid"] == "Events":
                # To moto, only S3 has resources, and a batch needs a permission of its own.
                statement["Resource"] = "*"
                statement["Action"] += ["sqs:DeleteMessageBatch", "sqs:ChangeMessageVisibilityBatch"]
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName=name, PolicyDocument=json.dumps(policy))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        found[name] = cloud.environment(place) | {
            "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
            "S3_PREFIX": "voices/",
        }
    cloud.client("s3").put_object(Bucket="my-models", Key="secrets/key.onnx", Body=b"secret")
    enforce(cloud, 0)
    return found


def modelsync(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return run([sys.executable, "-m", "modelsync", *arguments], env=os.environ | environment, timeout=60)


def refused(call: Any, **arguments: Any) -> bool:
    try:
        call(**arguments)
    except ClientError as error:
        return bool(error.response["ResponseMetadata"]["HTTPStatusCode"] == 403)
    return False


def test_both_do_their_work_where_policies_are_enforced(
    cloud: Emulator, users: dict[str, dict[str, str]], tmp_path: Path
) -> None:
    voice = tmp_path / "alice"
    voice.mkdir()
    (voice / "model.safetensors").write_bytes(safetensors(9 << 20))
    (voice / "config.json").write_text("{}")
    worker = users["worker"] | {"MODELS_BASE_PATH": str(tmp_path / "models"), "VOLUME_MIN_FREE_BYTES": "0"}
    (tmp_path / "models").mkdir()

    pushed = modelsync(users["publisher"], "push", str(voice), "alice")
    assert pushed.returncode == 0, pushed.stderr
    synced = modelsync(worker, "sync")
    assert synced.returncode == 0, synced.stderr
    assert (tmp_path / "models/alice/model.safetensors").read_bytes() == (voice / "model.safetensors").read_bytes()
    s3 = client(cloud, "s3", users["worker"])
    s3.get_bucket_versioning(Bucket="my-models")  # of doctor, whose look without a signature moto breaks at
    s3.get_bucket_notification_configuration(Bucket="my-models")
    assert refused(s3.put_object, Bucket="my-models", Key="voices/alice/model.safetensors", Body=b"")
    assert refused(s3.delete_object, Bucket="my-models", Key="voices/alice/model.safetensors")
    assert refused(s3.get_object, Bucket="my-models", Key="secrets/key.onnx")
    s3 = client(cloud, "s3", users["publisher"])
    assert refused(s3.delete_object, Bucket="my-models", Key="voices/alice/model.safetensors")
    assert refused(s3.put_object, Bucket="my-models", Key="secrets/key.onnx", Body=b"")


def test_the_worker_reads_its_queue_and_cannot_send(
    cloud: Emulator, users: dict[str, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in users["worker"].items():
        monkeypatch.setenv(name, value)
    session = AwsSession(AwsOptions(region=REGION, sqs_endpoint_url=cloud.url))
    url = users["worker"]["SQS_MODEL_SYNC_QUEUE_URL"]
    queue = SqsQueue(SqsOptions("model_sync", url), sqs_client(session))
    queue.check()
    messages = queue.receive(1)
    assert messages, "the bucket told of the object that was put"
    assert queue.hide(messages, 30) == []
    queue.delete(messages)
    assert refused(client(cloud, "sqs", users["worker"]).send_message, QueueUrl=url, MessageBody="x")
