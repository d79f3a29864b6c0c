"""Takes docs/page.png: the status page of a real worker, with voices in many states and one on its way.

With a directory as its argument it takes the page there as it looks on other screens and in other moments.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import sys
import tempfile
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from modelsync.demo.emulator import ENVIRONMENT, Emulator
from modelsync.demo.upload import commit_file, put, upload
from support.browser import MISSING, Browser, browser
from support.worker import Setting, Worker, until

PICTURE = Path(__file__).parent.parent / "docs" / "page.png"
TOKEN = uuid.uuid4().hex
RATE = 12 << 20
LARGE_BYTES = 150 << 20
VOICES = ("de-de-hannah", "en-gb-amelia", "en-us-jack", "es-es-lucia", "fr-fr-camille", "pt-br-beatriz")


def weights(version: int, size_bytes: int = 4096) -> bytes:
    """A safetensors file."""
    header = json.dumps(
        {"decoder.weight": {"dtype": "U8", "shape": [size_bytes], "data_offsets": [0, size_bytes]}}
    ).encode()
    return len(header).to_bytes(8, "little") + header + bytes([version]) * size_bytes


def voice(version: int, size_bytes: int = 4096) -> dict[str, bytes]:
    config = {"version": version, "sample_rate_hz": 22050}
    return {"model.safetensors": weights(version, size_bytes), "config.json": json.dumps(config).encode()}


class Stage:
    """A bucket, a volume and a worker."""

    def __init__(self, emulator: Emulator, place: Path) -> None:
        self.s3 = emulator.client("s3")
        self.bucket = f"voices-{uuid.uuid4().hex[:8]}"
        base = place / "models"
        base.mkdir()
        environment = {
            **os.environ,
            **emulator.environment(emulator.make_place(self.bucket)),
            "MODELS_BASE_PATH": str(base),
            "HTTP_HOST": "127.0.0.1",
            "HTTP_PORT": "0",
            "SETTLE_SECONDS": "30",
            "API_TOKEN": TOKEN,
            "BANDWIDTH_LIMIT_BYTES_PER_SECOND": str(RATE),
        }
        self.setting = Setting(base, place, environment)

    def upload(self, model: str, files: dict[str, bytes]) -> None:
        upload(self.s3, self.bucket, model, files)

    def state(self, worker: Worker, model: str, state: str) -> dict[str, Any]:
        def so() -> dict[str, Any] | None:
            found: dict[str, Any] = worker.get(f"/api/v1/models/{model}")[1]
            return found if found.get("state") == state else None

        told: dict[str, Any] = until(so, f"{model} to be {state}")
        return told


def varied(stage: Stage, worker: Worker) -> None:
    """Voices in many states."""
    for model in VOICES:
        stage.upload(model, voice(1))
    old = {model: stage.state(worker, model, "published")["revision"] for model in VOICES}
    for model in ("en-gb-amelia", "en-us-jack"):
        stage.upload(model, voice(2))
        until(lambda model=model: worker.get(f"/api/v1/models/{model}")[1]["revision"] != old[model], model)
    new = stage.state(worker, "en-gb-amelia", "published")["revision"]
    for number, revision in enumerate([new, new, new, old["en-gb-amelia"], old["en-gb-amelia"]]):
        report(worker, "en-gb-amelia", f"tts-7d9f-{number}", revision)
    for number in range(2):
        report(worker, "de-de-hannah", f"tts-7d9f-{number}", old["de-de-hannah"])
    worker.post("/api/v1/models/en-us-jack/rollback", TOKEN)
    broken = voice(3) | {"model.safetensors": weights(3)[:-100]}
    stage.upload("fr-fr-camille", broken)
    put(stage.s3, stage.bucket, "ja-jp-haruka/model.safetensors", weights(1))
    put(stage.s3, stage.bucket, "ja-jp-haruka/modelsync.json", commit_file(voice(1)))
    stage.state(worker, "fr-fr-camille", "rejected")
    stage.state(worker, "ja-jp-haruka", "waiting")
    for name in ("model.safetensors", "config.json", "modelsync.json"):
        stage.s3.delete_object(Bucket=stage.bucket, Key=f"es-es-lucia/{name}")
    worker.send(signal.SIGHUP)
    stage.state(worker, "es-es-lucia", "gone")
    stage.upload("it-it-giulia", voice(1, LARGE_BYTES))


def failing(stage: Stage, worker: Worker) -> None:
    """Nothing but trouble, with long names and reasons."""
    for number in range(14):
        name = (
            f"batch-{number:02}" if number else "a-voice-with-a-name-that-is-far-longer-than-anybody-should-make-it" * 2
        )
        files = voice(1) | {f"phonemes-of-a-language-with-a-long-name-{number}.npy": b"no array"}
        stage.upload(name, files)
        stage.state(worker, name, "rejected")


def report(worker: Worker, model: str, consumer: str, revision: str) -> None:
    request = urllib.request.Request(
        f"{worker.url}/api/v1/models/{model}/consumers",
        data=json.dumps({"consumer": consumer, "revision": revision}).encode(),
        headers={"Authorization": f"Bearer {TOKEN}"},
    )
    urllib.request.urlopen(request, timeout=10).close()


def shoot(window: Browser, picture: Path, *, width: int = 1280, height: int = 820, dark: bool = False) -> None:
    driver: Any = window.driver
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
    )
    scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
    window.until("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))")
    png = driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png", "captureBeyondViewport": height == 0})
    picture.write_bytes(base64.b64decode(png["data"]))
    print(picture, picture.stat().st_size)


def scene(emulator: Emulator, prepare: Callable[[Stage, Worker], None] | None, show: Callable[[Worker], None]) -> None:
    with tempfile.TemporaryDirectory() as place:
        stage = Stage(emulator, Path(place))
        worker = stage.setting.start()
        worker.wait_ready()
        try:
            if prepare:
                prepare(stage, worker)
            show(worker)
        finally:
            stage.setting.close()


def main() -> None:
    if MISSING:
        raise SystemExit(MISSING)
    os.environ.update(ENVIRONMENT)
    others = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    with (
        Emulator() as emulator,
        tempfile.TemporaryDirectory() as profile,
        browser(Path(profile), "--hide-scrollbars") as window,
    ):

        def busy(worker: Worker) -> None:
            window.open(worker.url)
            window.until_text("#transfers li", "left")
            window.until("document.querySelector('#transfers progress').value > 5e7")
            shoot(window, PICTURE if others is None else others / "light.png")
            if others is None:
                return
            shoot(window, others / "dark.png", dark=True)
            shoot(window, others / "phone.png", width=390, height=1700)
            shoot(window, others / "tablet.png", width=820, height=1100)
            window.open(f"{worker.url}/#model=en-gb-amelia")
            window.until_text("#detail", "Consumers")
            shoot(window, others / "detail.png")
            window.open(f"{worker.url}/#model=fr-fr-camille")
            window.until_text("#detail", "Last refused")
            shoot(window, others / "refused.png", dark=True)
            shoot(window, others / "refused-phone.png", width=390, height=1300)
            window.open(f"{worker.url}/#state=published")
            window.until_row("de-de-hannah", "published")
            worker.end(signal.SIGKILL)
            window.until_text("#banner", "lost")
            shoot(window, others / "lost.png")

        def still(name: str, words: str) -> Callable[[Worker], None]:
            def show(worker: Worker) -> None:
                window.open(worker.url)
                window.until_text("#models", words)
                window.until_text("#health", "retention")
                shoot(window, (others or PICTURE) / name)

            return show

        scene(emulator, varied, busy)
        if others is not None:
            scene(emulator, None, still("empty.png", "No models yet"))
            scene(emulator, failing, still("failing.png", "batch-13"))


if __name__ == "__main__":
    main()
