"""The service with a pod's identity, against servers that check every signature."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from fakes.cloud import REGION, SigningS3, SigningSqs
from fakes.identity import Sts, sts_error
from fakes.sigv4 import Keyring
from support.signed import BUCKET, ROLE
from support.worker import Setting, until

KEYS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "SQS_MODEL_SYNC_QUEUE_URL",
)


@dataclass(frozen=True)
class Cloud:
    """What the service meets."""

    keys: Keyring
    s3: SigningS3
    sqs: SigningSqs
    sts: Sts

    def lose_identity(self) -> None:
        """End all sessions, and give out no new ones."""
        self.sts.broken = sts_error("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity")
        for key in self.keys.issued:
            self.keys.add(replace(key, ends_at=0))


@pytest.fixture
def cloud(setting: Setting, tmp_path: Path) -> Iterator[Cloud]:
    keys = Keyring()
    token = tmp_path / "token"
    token.write_text("eyJ.s3cret")
    with SigningS3(BUCKET, keys) as s3, SigningSqs(keys) as sqs, Sts(keys, lifetime_seconds=300) as sts:
        for name in KEYS:
            del setting.environment[name]
        setting.environment |= {
            "S3_BUCKET_NAME": BUCKET,
            "SQS_MODELS_QUEUE_URL": sqs.queue_url,
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL_S3": s3.url,
            "AWS_ENDPOINT_URL_SQS": sqs.url,
            "AWS_ENDPOINT_URL_STS": sts.url,
            "AWS_ROLE_ARN": ROLE,
            "AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
            "SETTLE_SECONDS": "0",
            "RECONCILE_INTERVAL_SECONDS": "0.5",
        }
        s3.put("alice/model.onnx", b"weights")
        yield Cloud(keys, s3, sqs, sts)
        setting.close()


def test_an_identity_that_comes_late_and_is_lost_for_a_while(setting: Setting, cloud: Cloud) -> None:
    cloud.lose_identity()
    worker = setting.start()
    for check in ("s3", "queue:models"):
        until(lambda check=check: worker.check(check).get("status") == "degraded", f"{check} to be noticed")
        reason = worker.check(check)["reason"]
        assert "AWS credentials cannot be had: " in reason
        assert "Not authorized to perform sts:AssumeRoleWithWebIdentity: check the pod's role" in reason
    assert worker.get("/live")[0] == 200
    cloud.sts.broken = None
    worker.wait_ready()
    assert setting.read("alice") == {"model.onnx": b"weights"}
    until(lambda: worker.check("queue:models")["status"] == "healthy", "the queue's recovery")
    cloud.lose_identity()
    until(lambda: worker.check("s3")["status"] == "degraded", "the loss to be noticed")
    assert setting.read("alice") == {"model.onnx": b"weights"}
    cloud.s3.put("bob/model.onnx", b"more weights")
    cloud.sts.broken = None
    worker.wait_published(2)
    assert setting.read("bob") == {"model.onnx": b"more weights"}
    for check in ("s3", "queue:models"):
        until(lambda check=check: worker.check(check)["status"] == "healthy", f"{check} to recover")
    assert worker.end() == 0
    told = "\n".join(map(str, worker.logs()))
    assert "Traceback" not in told
    assert "s3cret" not in told
    assert not any(key.secret in told or str(key.token) in told for key in cloud.keys.issued)


def test_a_command_without_credentials_says_so_in_one_sentence(setting: Setting, cloud: Cloud) -> None:
    del setting.environment["AWS_ROLE_ARN"], setting.environment["AWS_WEB_IDENTITY_TOKEN_FILE"]
    ended = setting.command("sync")
    assert ended.returncode == 1
    last = ended.stderr.splitlines()[-1]
    assert last.startswith("modelsync: no AWS credentials found: give the pod a role")
    assert "Traceback" not in ended.stderr
