"""The image as Kubernetes runs it: uid 10001, a read-only root, no capabilities, 512 MiB, one CPU."""

from __future__ import annotations

import filecmp
import json
import os
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from bench.standin import stand_in

from support import podman
from support.formats.tensors import voice as tensors
from support.podman import MEMORY_MIB, UID, Pod, status
from support.worker import until

pytestmark = [pytest.mark.container, pytest.mark.timeout(900)]

SIZE_BYTES = 1 << 30
CHUNK_BYTES = 64 << 20
SLOW_BYTES_PER_SECOND = 100_000_000
OWN_SIZE_BYTES = 180_000_000
"""What the image adds to its base."""


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, str]]]:
    """A bucket with one voice of 1 GiB, and the variables that point a worker there."""
    bucket = tmp_path_factory.mktemp("bucket")
    (bucket / "alice").mkdir()
    (bucket / "alice" / "config.json").write_bytes(b"{}")
    with (bucket / "alice" / "model.safetensors").open("wb") as file:
        tensor = {"dtype": "U8", "shape": [SIZE_BYTES], "data_offsets": [0, SIZE_BYTES]}
        header = json.dumps({"weights": tensor}).encode()
        file.write(len(header).to_bytes(8, "little") + header)
        for _ in range(SIZE_BYTES // CHUNK_BYTES):
            file.write(os.urandom(CHUNK_BYTES))
    with stand_in(bucket) as url:
        keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}
        yield bucket, {"AWS_ENDPOINT_URL": url, "S3_BUCKET_NAME": "models", **keys}


def test_a_download_of_1_gib_goes_on_where_sigterm_ended_it(
    s3: tuple[Path, dict[str, str]], start: Callable[..., Pod], volume: Path, figures: dict[str, str]
) -> None:
    bucket, environment = s3
    slow = {"BANDWIDTH_LIMIT_BYTES_PER_SECOND": str(SLOW_BYTES_PER_SECOND), "SHUTDOWN_GRACE_SECONDS": "1"}
    first = start(environment | slow)
    until(lambda: first.written_bytes() > 3 * SLOW_BYTES_PER_SECOND, "a part of the download")
    assert first.get("/ready")[0] == 503
    told = time.monotonic()
    assert first.end() == 0
    ended_after = time.monotonic() - told
    assert ended_after < 30
    assert not (volume / "alice").exists()

    began = time.monotonic()
    second = start(environment)
    second.wait_ready()
    took = time.monotonic() - began
    assert second.metric("downloaded_bytes_total") < SIZE_BYTES - 2 * SLOW_BYTES_PER_SECOND
    for name in ("model.safetensors", "config.json"):
        assert filecmp.cmp(volume / "alice" / name, bucket / "alice" / name, shallow=False)
    assert {path.stat().st_uid for path in volume.rglob("*")} == {UID}
    [worker] = second.children()
    peak_mib = int(status(worker)["VmHWM"].split()[0]) / 1024
    assert peak_mib < MEMORY_MIB / 2
    figures["container started → 1 GiB published, the part before the restart kept"] = f"{took:.1f} s"
    figures["SIGTERM in mid-download → container ended"] = f"{ended_after:.1f} s"
    figures["peak memory of the worker (RSS)"] = f"{peak_mib:.0f} MiB"


def test_it_starts_without_any_right(
    image: str, start: Callable[..., Pod], bucket: Any, emulator: Any, figures: dict[str, str]
) -> None:
    began = time.monotonic()
    pod = start(emulator.environment(bucket.place))
    until(lambda: pod.get("/live")[0] == 200, "life")
    figures["container started → /live"] = f"{time.monotonic() - began:.1f} s"
    [worker] = pod.children()
    seen = status(worker)
    assert set(seen["Uid"].split()) == set(seen["Gid"].split()) == {str(UID)}
    assert int(seen["CapEff"], 16) == int(seen["CapBnd"], 16) == 0
    assert seen["NoNewPrivs"] == "1"
    with pytest.raises(AssertionError, match="Read-only file system"):
        pod.execute("touch", "/tmp/anything")
    size_bytes = podman.inspect(image)["Size"]
    base_bytes = podman.inspect(os.environ.get("BASE_IMAGE") or podman.run("./scripts/base-image.sh"))["Size"]
    assert size_bytes - base_bytes < OWN_SIZE_BYTES, "what of the locks is this large?"
    figures["image, its base included"] = f"{size_bytes / 1e6:.0f} MB"
    figures["of it the base"] = f"{base_bytes / 1e6:.0f} MB"


def test_it_works_as_another_user_too(image: str) -> None:
    restrictions = [option for option in podman.RESTRICTIONS if not option.startswith("--user")]
    said = podman.run("podman", "run", "--rm", "--network=none", "--no-healthcheck", *restrictions, "--user=12345:0",
                      "--env=S3_BUCKET_NAME=models", image, "config")  # fmt: skip
    assert "S3_BUCKET_NAME" in said


def test_what_the_image_leaves_out_is_not_missed(image: str) -> None:
    code = (
        "import botocore.session, kubernetes, model_signing\n"
        "session = botocore.session.get_session()\n"
        "for service in ('s3', 'signin', 'sqs', 'sso', 'sso-oidc', 'sts'):\n"
        "    session.create_client(service, region_name='eu-central-1')\n"
    )
    podman.run("podman", "run", "--rm", "--network=none", "--no-healthcheck", *podman.RESTRICTIONS,
               "--entrypoint=python3", image, "-c", code)  # fmt: skip


def test_the_health_check_tells_a_live_worker_from_none(
    image: str, start: Callable[..., Pod], bucket: Any, emulator: Any, figures: dict[str, str]
) -> None:
    pod = start(emulator.environment(bucket.place))
    _, *check = podman.inspect(image)["Healthcheck"]["Test"]
    port = pod.url.rpartition(":")[2]
    pod.execute("env", f"HTTP_PORT={port}", *check)
    with pytest.raises(AssertionError, match="Connection refused"):
        pod.execute("env", "HTTP_PORT=1", *check)


def test_process_1_reaps_what_hooks_leave_behind(start: Callable[..., Pod], bucket: Any, emulator: Any) -> None:
    pod = start(emulator.environment(bucket.place))
    pod.execute("sh", "-c", "sleep 0.5 & sleep 0.5 &")  # orphans: process 1 inherits them
    assert len(pod.children()) == 3
    until(lambda: len(pod.children()) == 1, "an end of the orphans")


def test_commands_end_at_once_when_they_are_told_to(image: str) -> None:
    name = f"modelsync-test-{uuid.uuid4().hex[:8]}"
    # Process 1 would not hear a signal that it has no handler for: this command has none.
    command = ["podman", "run", "--rm", f"--name={name}", "--network=none", *podman.RESTRICTIONS, "--no-healthcheck"]
    with subprocess.Popen(
        [*command, '--entrypoint=["dumb-init","--single-child","--","sleep"]', image, "60"]
    ) as process:
        until(lambda: name in podman.run("podman", "ps", "--format={{.Names}}"), "the container")
        until(lambda: podman.children(name), "the command: process 1 starts it when it is ready for signals")
        process.terminate()
        assert process.wait(10) == 128 + 15


def test_the_play_of_compose_yaml(start: Callable[..., Pod], volume: Path, image: str, tmp_path: Path) -> None:
    services = yaml.safe_load((podman.ROOT / "compose.yaml").read_text())["services"]
    emulator = podman.build(services["emulator"]["build"]["target"])
    name = f"modelsync-test-{uuid.uuid4().hex[:8]}"
    voice = tmp_path / "voice"
    voice.mkdir()
    (voice / "model.safetensors").write_bytes(tensors(1))
    in_common = ["--network=host", "--no-healthcheck", *podman.LIMITS]
    podman.run("podman", "run", "--detach", f"--name={name}", *in_common, "--env=HOST=127.0.0.1", emulator)
    try:
        _, *check = services["emulator"]["healthcheck"]["test"]
        until(lambda: podman.succeeds("podman", "exec", name, *check), "the emulator")
        environment = services["worker"]["environment"]
        here = {key: value.replace("//emulator:", "//127.0.0.1:") for key, value in environment.items()}
        pod = start(here | {"LOG_FORMAT": "json"})
        pod.wait_ready()
        until((volume / "alice").exists, "the emulator's voice")
        assert pod.check("queue:model_sync")["status"] == "healthy"
        variables = (f"--env={key}={value}" for key, value in here.items())
        podman.run("podman", "run", "--rm", *in_common, *variables, f"--volume={voice}:/voice:ro", image,
                   "push", "/voice", "bob", "--wait", "--timeout=30", f"--url={pod.url}")  # fmt: skip
        assert (volume / "bob" / "model.safetensors").read_bytes() == tensors(1)
    finally:
        podman.run("podman", "rm", "--force", "--time=0", name)
