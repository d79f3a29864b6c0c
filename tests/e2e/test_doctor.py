"""`modelsync doctor`, run as a command against real servers and real file systems."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fakes.cloud import REGION, SigningS3, SigningSqs
from fakes.hostile_s3 import BUCKET as HOSTILE
from fakes.hostile_s3 import S3, crawl, hang_at_once
from fakes.identity import Sts
from fakes.sigv4 import Key, Keyring
from support import strace
from support.doctor import Told, read
from support.mounts import mounted
from support.signed import BUCKET, ROLE
from support.voices import put_voice
from support.worker import Setting

ALL = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]
KEY = Key("AKIASTATIC", "static/secret+")


def doctor(setting: Setting, *prefix: str, **more: str) -> Told:
    ended = setting.command("doctor", "--json", prefix=prefix, **more)
    assert ended.stdout, ended.stderr
    assert ended.stderr == ""
    document = json.loads(ended.stdout)
    assert document["ok"] is (ended.returncode == 0)
    return read(document, ended.returncode, ended.stdout)


def redrive(bucket: Any) -> None:
    """Give the test's queue a dead-letter queue."""
    dead = bucket.sqs.create_queue(QueueName=f"{bucket.name}-dead")["QueueUrl"]
    arn = bucket.sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": "10"})
    bucket.sqs.set_queue_attributes(QueueUrl=bucket.place.queue_url, Attributes={"RedrivePolicy": policy})


def notify(bucket: Any, *rules: dict[str, Any], **more: Any) -> None:
    """Have the bucket's events go elsewhere. Rules are of the queue, unless they name another."""
    attributes = bucket.sqs.get_queue_attributes(QueueUrl=bucket.place.queue_url, AttributeNames=["QueueArn"])
    queue = {"QueueArn": attributes["Attributes"]["QueueArn"]}
    configuration = {"QueueConfigurations": [queue | rule for rule in rules], **more}
    bucket.s3.put_bucket_notification_configuration(Bucket=bucket.name, NotificationConfiguration=configuration)


def key_filter(name: str, value: str) -> dict[str, Any]:
    return {"Key": {"FilterRules": [{"Name": name, "Value": value}]}}


@pytest.fixture
def well(setting: Setting, bucket: Any) -> Setting:
    """A setting that wants nothing."""
    put_voice(bucket, "voices/alice", {"model.onnx": b"weights", "config.json": b"{}"})
    bucket.put("voices/notes.pdf", b"x")
    redrive(bucket)
    notify(bucket, {"Events": ALL, "Filter": key_filter("prefix", "voices/")})
    setting.environment |= {"S3_PREFIX": "voices/", "VOLUME_MIN_FREE_BYTES": "1"}
    return setting


def test_all_is_well_and_nothing_is_touched(well: Setting, bucket: Any) -> None:
    before = bucket.messages()
    told = doctor(well)
    assert told.code == 0
    assert {name: status for name, status in told.but_ok().items() if name != "volume/mount"} == {}
    assert "1 model, 1 with a commit file; ignored: 1 object, such as 'voices/notes.pdf'" in told.text("bucket/models")
    assert "crc64nvme" in told.text("bucket/checksums")
    assert "environment" in told.text("credentials/credentials")
    assert list(well.base.iterdir()) == [], "what it tried is gone"
    assert bucket.messages() == before, "no message is received or hidden"
    received = bucket.sqs.receive_message(
        QueueUrl=bucket.place.queue_url, MessageSystemAttributeNames=["ApproximateReceiveCount"]
    )["Messages"]
    assert received[0]["Attributes"]["ApproximateReceiveCount"] == "1"


def test_people_get_a_table(well: Setting) -> None:
    ended = well.command("doctor", S3_BUCKET_NAME="no-such-bucket")
    assert ended.returncode == 1
    lines = ended.stdout.splitlines()
    assert lines[0] == "credentials"
    assert "bucket  s3://no-such-bucket/voices/" in lines
    row = next(number for number, line in enumerate(lines) if line.startswith("  failed"))
    assert lines[row].split(maxsplit=2)[1:] == ["bucket", "bucket 'no-such-bucket' does not exist"]
    assert lines[row + 1].strip() == "→ check S3_BUCKET_NAME, AWS_REGION and the endpoint"
    assert lines[-1].split(", ")[1:] == ["1 failed", "3 skipped"]
    assert all(line == line.rstrip() for line in lines)


def test_a_wrong_environment_exits_2(well: Setting) -> None:
    ended = well.command("doctor", S3_BUCKET_NAME="", AWS_REGION="bad region")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "modelsync: S3_BUCKET_NAME" in ended.stderr


def test_a_volume_that_was_in_use_keeps_what_it_has(well: Setting) -> None:
    assert well.command("sync").returncode == 0
    before = sorted(path.relative_to(well.base) for path in well.base.rglob("*"))
    assert doctor(well).code == 0
    assert sorted(path.relative_to(well.base) for path in well.base.rglob("*")) == before


# Queue and notification


def test_a_queue_that_is_not_there(well: Setting) -> None:
    told = doctor(well, SQS_MODEL_SYNC_QUEUE_URL=well.environment["SQS_MODEL_SYNC_QUEUE_URL"] + "-gone")
    assert told.code == 1
    assert told.status("queue/queue") == "failed"
    assert "check SQS_MODEL_SYNC_QUEUE_URL" in told.text("queue/queue")
    assert told.status("queue/settings") == "skipped"
    assert "sends events to" in told.text("queue/notification"), "to another"
    assert told.status("bucket/listing") == "ok"


def test_a_queue_without_redrive_policy(setting: Setting) -> None:
    told = doctor(setting)
    assert told.code == 0
    assert told.status("queue/settings") == "warning"
    assert "give it a dead-letter queue" in told.text("queue/settings")
    assert told.status("bucket/models") == "warning", "there is nothing in it"


def test_each_queue_is_looked_at(well: Setting) -> None:
    told = json.loads(well.command("doctor", "--json", SQS_B_QUEUE_URL="http://127.0.0.1:9/1/b").stdout)
    assert {check["part"] for check in told["checks"]} >= {"queue b", "queue model_sync"}


@pytest.mark.parametrize(
    ("rules", "status", "words"),
    [
        ([], "failed", "the bucket sends no events -> have the bucket send s3:ObjectCreated:*"),
        ([{"Events": ALL, "Filter": key_filter("prefix", "other/")}], "failed", "prefix 'other/'"),
        ([{"Events": ALL[:1]}], "warning", "no event tells of removed objects"),
    ],
)
def test_a_notification_that_does_not_tell_everything(
    well: Setting, bucket: Any, rules: list[dict[str, Any]], status: str, words: str
) -> None:
    notify(bucket, *rules)
    told = doctor(well)
    assert told.status("queue/notification") == status
    assert words in told.text("queue/notification")
    assert told.code == (status == "failed")


# Credentials and permissions


@pytest.fixture
def signing(well: Setting) -> Iterator[tuple[Setting, SigningS3, SigningSqs, Keyring]]:
    """Servers that check every signature."""
    keys = Keyring(KEY)
    with SigningS3(BUCKET, keys) as s3, SigningSqs(keys) as sqs:
        s3.put("voices/alice/model.onnx", b"weights")
        del well.environment["SQS_MODEL_SYNC_QUEUE_URL"]
        well.environment |= {
            "S3_BUCKET_NAME": BUCKET, "AWS_REGION": REGION, "AWS_ENDPOINT_URL_S3": s3.url,
            "AWS_ENDPOINT_URL_SQS": sqs.url, "AWS_ACCESS_KEY_ID": KEY.id, "AWS_SECRET_ACCESS_KEY": KEY.secret,
            "SQS_MODELS_QUEUE_URL": sqs.queue_url,
        }  # fmt: skip
        yield well, s3, sqs, keys


Signing = tuple[Setting, SigningS3, SigningSqs, Keyring]


def test_a_wrong_secret(signing: Signing) -> None:
    told = doctor(signing[0], AWS_SECRET_ACCESS_KEY="s3cret")
    assert told.code == 1
    assert told.text("credentials/signature").endswith("the secret key does not fit -> check AWS_SECRET_ACCESS_KEY")
    assert told.status("bucket/listing") == "skipped"
    assert told.status("queue/queue") == "failed"
    assert "check the pod's role or the access key" in told.text("queue/queue")
    assert "s3cret" not in told.output


def test_no_credentials_at_all(signing: Signing) -> None:
    told = doctor(signing[0], AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
    assert told.code == 1
    assert told.status("credentials/credentials") == "failed"
    assert "give the pod a role" in told.text("credentials/credentials")
    assert {told.status(name) for name in ("bucket/listing", "queue/queue", "queue/notification")} == {"skipped"}
    assert told.status("bucket/endpoint") == "ok"
    assert told.status("volume/writing") == "ok"


def test_a_role_tells_when_its_session_ends(signing: Signing, tmp_path: Path) -> None:
    setting, _, _, keys = signing
    (tmp_path / "token").write_text("eyJ.s3cret")
    with Sts(keys, lifetime_seconds=3600) as sts:
        told = doctor(
            setting, AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="", AWS_ENDPOINT_URL_STS=sts.url,
            AWS_ROLE_ARN=ROLE, AWS_WEB_IDENTITY_TOKEN_FILE=str(tmp_path / "token"),
        )  # fmt: skip
    assert told.status("credentials/credentials") == "ok"
    assert "web identity (IRSA), until 20" in told.text("credentials/credentials")
    [issued] = keys.issued
    assert issued.secret not in told.output
    assert str(issued.token) not in told.output


# Servers that misbehave


@contextmanager
def hostile(setting: Setting) -> Iterator[S3]:
    s3 = S3()
    s3.put("voices/alice/model.onnx", b"weights")
    setting.environment |= {"S3_BUCKET_NAME": HOSTILE, "AWS_ENDPOINT_URL_S3": s3.url}
    setting.environment["AWS_ENDPOINT_URL_SQS"] = setting.environment["AWS_ENDPOINT_URL"]
    try:
        yield s3
    finally:
        s3.close()


@pytest.mark.parametrize(("kind", "fault", "check"), [("BUCKET", hang_at_once, "endpoint"), ("LIST", crawl, "listing")])
def test_an_s3_that_does_not_answer_in_time(well: Setting, kind: str, fault: Any, check: str) -> None:
    with hostile(well) as s3:
        s3.fault(kind, fault)
        began = time.monotonic()
        told = doctor(well)
        assert time.monotonic() - began < 30
    assert told.code == 1
    assert told.status(f"bucket/{check}") == "failed"
    assert told.status("queue/notification") == "skipped"
    assert told.status("queue/queue") == told.status("volume/writing") == "ok", "others go on"


def test_an_sqs_that_never_answers(well: Setting) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        told = doctor(well, AWS_ENDPOINT_URL_SQS=endpoint, AWS_ENDPOINT_URL_S3=well.environment["AWS_ENDPOINT_URL"])
        assert time.monotonic() - began < 30
    assert told.code == 1
    assert told.status("queue/queue") == "failed"
    assert "no answer within 10 s -> check AWS_ENDPOINT_URL_SQS" in told.text("queue/queue")
    assert told.status("queue/notification") == "ok", "the queue's address names it"


# The volume


def test_a_volume_that_is_not_there(well: Setting) -> None:
    told = doctor(well, MODELS_BASE_PATH="/nowhere")
    assert told.code == 1
    assert told.text("volume/mount") == (
        "MODELS_BASE_PATH=/nowhere is no directory -> mount the volume there, or set the right path"
    )
    assert told.status("volume/writing") == "skipped"


def test_a_small_volume_in_memory(well: Setting, tmp_path: Path) -> None:
    with mounted(tmp_path / "small volume", "tmpfs", 16) as place:
        told = doctor(well, MODELS_BASE_PATH=str(place), VOLUME_MIN_FREE_BYTES="1000000000")
    assert told.code == 1
    assert told.status("volume/mount") == "warning"
    assert f"is on tmpfs, mounted at {place}" in told.text("volume/mount")
    assert told.status("volume/space") == "failed"
    assert "16.0 MiB of 16.0 MiB are free, and 953.7 MiB must stay free" in told.text("volume/space")


def test_a_read_only_volume(well: Setting, tmp_path: Path) -> None:
    with mounted(tmp_path / "volume", "tmpfs", 16) as place:
        subprocess.run(["mount", "-o", "remount,ro", place], check=True)
        told = doctor(well, MODELS_BASE_PATH=str(place))
    assert told.code == 1
    assert "mount it read-write for modelsync" in told.text("volume/writing")
    assert told.status("volume/space") == "ok"


def test_a_volume_that_belongs_to_somebody_else(well: Setting) -> None:
    # Root without its right to write everywhere stands for a pod's user.
    as_anybody = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    if as_anybody and subprocess.run([*as_anybody, "true"], capture_output=True, check=False).returncode:
        pytest.skip("root's capabilities cannot be dropped here")
    well.base.chmod(0o555)
    told = doctor(well, *as_anybody)
    assert told.code == 1
    who = f"user {os.geteuid()}, group {os.getegid()} may not write to {well.base}, which belongs to "
    assert who in told.text("volume/writing")
    assert "with mode 0555 -> set fsGroup" in told.text("volume/writing")


def test_a_file_system_without_symlinks(well: Setting, tmp_path: Path) -> None:
    prefix = strace.prefix(
        tmp_path / "record", "?symlink,symlinkat", *strace.fault("?symlink,symlinkat:error=EPERM", None)
    )
    told = doctor(well, *prefix)
    assert told.code == 1
    assert told.status("volume/writing") == "failed"
    assert list(well.base.iterdir()) == []
