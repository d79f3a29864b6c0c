"""`modelsync push --sign` and a worker that asks for signatures, as real processes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.signers import KeyPair, make_key, write
from support.worker import Setting, until

PAGE = (Path(__file__).parents[2] / "docs" / "signing.md").read_text()
ALICE = {"model.onnx": b"weights 1", "config.json": b"{}"}


@pytest.fixture
def ann(tmp_path: Path) -> KeyPair:
    return make_key(tmp_path, "ann", "open sesame")


@pytest.fixture
def voice(tmp_path: Path) -> Path:
    return write(tmp_path / "voice", ALICE)


@pytest.fixture
def password(tmp_path: Path) -> dict[str, str]:
    """The environment of somebody who may use the key."""
    path = tmp_path / "password"
    path.write_text("open sesame\n")
    return {"SIGN_KEY_PASSWORD_FILE": str(path)}


def keys_in(bucket: Any) -> set[str]:
    return {entry["Key"] for entry in bucket.s3.list_objects_v2(Bucket=bucket.name).get("Contents", [])}


def test_only_what_was_signed_reaches_readers(
    setting: Setting, bucket: Any, voice: Path, ann: KeyPair, password: dict[str, str]
) -> None:
    worker = setting.start(GATE_SIGNATURE="require", GATE_SIGNATURE_KEY=str(ann.public))
    worker.wait_ready()
    place = {"MODELSYNC_URL": worker.url}
    pushed = setting.command("push", str(voice), "alice", "--sign", str(ann.private), "--wait", **place, **password)
    assert pushed.returncode == 0, pushed.stderr
    assert setting.read("alice") == ALICE
    shown = worker.get("/api/v1/models/alice")[1]
    assert f"alice: wrote a signature by {shown['signer']}" in pushed.stdout
    assert worker.metric("signatures_total", verdict="signed") == 1
    assert shown["signer"][:19] in setting.command("status", **place).stdout
    again = setting.command("push", str(voice), "alice", "--sign", str(ann.private), "--json", **place, **password)
    assert json.loads(again.stdout)["revision"] == shown["revision"], "signed anew, and the same revision"
    write(voice, {"model.onnx": b"weights 2"})
    unsigned = setting.command("push", str(voice), "alice", "--wait", **place)
    assert unsigned.returncode == 1
    assert "see --sign" in unsigned.stderr
    assert "other bytes of model.onnx were signed" in unsigned.stderr
    assert setting.read("alice") == ALICE
    assert worker.metric("rejected_total", reason="signature") == 1


def test_a_dry_run_tells_of_the_signature_and_writes_nothing(
    setting: Setting, bucket: Any, voice: Path, ann: KeyPair, password: dict[str, str]
) -> None:
    words = ("push", str(voice), "alice", "--dry-run", "--sign", str(ann.private))
    dry = setting.command(*words, **password)
    assert dry.returncode == 0, dry.stderr
    assert dry.stdout.splitlines()[-2].startswith("alice: would write a signature by sha256:")
    assert keys_in(bucket) == set()
    locked = setting.command(*words)
    assert (locked.returncode, len(locked.stderr.splitlines())) == (2, 1)
    assert "SIGN_KEY_PASSWORD" in locked.stderr


def test_a_warning_is_in_log_health_and_status(setting: Setting, bucket: Any, voice: Path, ann: KeyPair) -> None:
    worker = setting.start(GATE_SIGNATURE="warn", GATE_SIGNATURE_KEY=str(ann.public))
    worker.wait_ready()
    pushed = setting.command("push", str(voice), "alice", "--wait", MODELSYNC_URL=worker.url)
    assert pushed.returncode == 0, pushed.stderr
    why = "it is not signed: model.sig is not there"
    until(lambda: any(line["event"] == "unsigned" and line["reason"] == why for line in worker.logs()), "the warning")
    assert why in worker.check("signatures")["reason"]
    told = json.loads(setting.command("status", "alice", "--json", MODELSYNC_URL=worker.url).stdout)
    assert (told["models"][0]["signer"], told["models"][0]["unsigned"]) == (None, why)
    assert "unsigned" in setting.command("status", MODELSYNC_URL=worker.url).stdout


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl, which the page uses, is not on this machine")
def test_the_page_makes_keys_certificates_and_signatures_that_count(
    setting: Setting, bucket: Any, tmp_path: Path
) -> None:
    """Everything that the page tells to type, in a row; what it signs last is by a certificate."""
    write(tmp_path / "alice-v7", ALICE)
    script = "".join(re.findall(r"^```sh\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(
        ["bash", "-euc", script], cwd=tmp_path, env=setting.environment | {"PATH": path}, check=True, timeout=60
    )
    signers = tmp_path / "signers"
    signers.mkdir()
    for name in ("voices.pub", "root.crt"):
        shutil.copy(tmp_path / name, signers)
    for name, content in {**ALICE, "model.sig": (tmp_path / "model.sig").read_bytes()}.items():
        bucket.put(f"carol/{name}", content)
    worker = setting.start(GATE_SIGNATURE="require", GATE_SIGNATURE_KEY=str(signers), SETTLE_SECONDS="0.1")
    worker.wait_published(2)
    digest = subprocess.run(
        ["sha256sum", "voices.pub"], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    assert worker.get("/api/v1/models/alice")[1]["signer"] == f"sha256:{digest.split()[0]}"
    assert worker.get("/api/v1/models/carol")[1]["signer"] == "CN=build server"


def test_a_worker_that_knows_nobody_to_trust_does_not_start(setting: Setting, ann: KeyPair) -> None:
    ended = setting.command("run", GATE_SIGNATURE="require", GATE_SIGNATURE_KEY=str(ann.private))
    assert ended.returncode == 2
    assert "holds a private key" in ended.stderr
    assert "Traceback" not in ended.stderr
