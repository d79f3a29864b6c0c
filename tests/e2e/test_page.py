"""The status page in a real browser, beside a real worker."""

from __future__ import annotations

import json
import os
import signal
import socket
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from fakes.proxy import Proxy
from modelsync.demo.upload import commit_file
from support.browser import MISSING, Browser, browser
from support.voices import put_voice
from support.worker import Setting, until

pytestmark = pytest.mark.skipif(MISSING is not None, reason=MISSING or "")

ALICE = {"model.onnx": b"weights 1", "config.json": b"{}"}
LARGE = os.urandom(1 << 20) * 24
ATTACK = "<img src=x onerror=window.pwned=1>"


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all tests: each opens the page anew."""
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
def page(window: Browser) -> Iterator[Browser]:
    """A browser that has nothing to complain about at the end."""
    window.complaints()
    yield window
    complaints = [one for one in window.complaints() if "net::ERR_" not in one and "stream:" not in one]
    window.driver.get("about:blank")
    assert complaints == []


def test_what_happens_to_models_is_seen_without_a_reload(setting: Setting, bucket: Any, page: Browser) -> None:
    worker = setting.start()
    worker.wait_ready()
    page.open(worker.url)
    page.until_text("#models-count", "No models yet")
    page.until_text("#verdict", "healthy")
    page.ask("window.sameLoad = true")

    put_voice(bucket, "bob", ALICE)
    row = page.until_row("bob", "published")
    [revision] = [kept.parent.name for kept in setting.base.glob(".modelsync/models/bob/revisions/*/manifest.json")]
    assert revision[:12] in row
    put_voice(bucket, "alice", ALICE | {"config.json": b"[]"})
    page.until_row("alice", "published")
    assert page.ask("[...document.querySelectorAll('#models-table tbody a')].map(a => a.textContent)") == [
        "alice",
        "bob",
    ]
    page.until_text("#activity", "published bob")

    bucket.put("bob/modelsync.json", b"nonsense")
    assert "no JSON" in page.until_row("bob", "rejected")
    assert revision[:12] in page.row("bob"), "readers keep what they have"
    page.until_text("#verdict", "degraded")
    assert "bob: " in page.until_text("#health [data-check=sync]", "degraded")
    page.until_text("#states label:has([value=rejected])", "1")
    assert page.ask("window.sameLoad") is True


def test_a_model_has_an_address(setting: Setting, bucket: Any, page: Browser) -> None:
    worker = setting.start(API_TOKEN="token")
    worker.wait_ready()
    for number in (1, 2):
        put_voice(bucket, "alice", ALICE | {"model.onnx": f"weights {number}".encode()})
        worker.wait_published(number)
    revision = worker.get("/api/v1/models/alice")[1]["revision"]
    bucket.put("alice/modelsync.json", b"nonsense")
    until(lambda: worker.get("/api/v1/models/alice")[1]["state"] == "rejected", "the refusal")

    page.open(f"{worker.url}/#model=alice")
    told = page.until_text("#detail", "Revisions on the volume")
    assert f"Readers see\n{revision}" in told
    assert f"{revision}\tcurrent" in told
    assert "Last refused" in told
    assert "no JSON" in told
    assert page.ask("document.getElementById('models').hidden") is True
    page.until_text("#activity h2", "of alice")
    for number, runs in enumerate((revision, "0" * 32)):
        report = urllib.request.Request(
            f"{worker.url}/api/v1/models/alice/consumers",
            json.dumps({"consumer": f"tts-{number}", "revision": runs}).encode(),
            {"Authorization": "Bearer token"},
        )
        urllib.request.urlopen(report, timeout=10).close()
    page.driver.refresh()
    told = page.until_text("#detail", "Consumers: 1 of 2 run it")
    assert f"tts-0\t{revision[:12]}…\twhat readers see" in told
    assert "tts-1\t000000000000…\tanother" in told
    page.ask("document.querySelector('.back a').click()")
    assert "1 of 2" in page.until_row("alice", "rejected")
    assert page.ask("document.getElementById('detail').hidden") is True


def test_a_transfer_is_seen_also_by_who_comes_late(setting: Setting, bucket: Any, proxy: Proxy, page: Browser) -> None:
    worker = setting.start(SETTLE_SECONDS="0", TRANSFER_CONCURRENCY="1")
    worker.wait_ready()
    proxy.hold_after_bytes = 12 << 20
    bucket.put("alice/model.onnx", LARGE)
    until(proxy.held.is_set, "the download to be held")

    page.open(worker.url)
    share = page.until("(p => p && p.value / p.max)(document.querySelector('#transfers progress'))")
    assert 0.3 < share < 0.7
    assert "of 24.0 MiB" in page.until_text("#transfers li", "no bytes for")
    page.until_row("alice", "syncing")
    proxy.release()
    page.until_row("alice", "published")
    page.until_text("#transfers", "Nothing is being transferred")


def test_hostile_names_and_reasons_stay_text(setting: Setting, bucket: Any, page: Browser) -> None:
    worker = setting.start()
    worker.wait_ready()
    put_voice(bucket, ATTACK, ALICE)
    bucket.put("eve/model.onnx", b"weights")
    bucket.put("eve/modelsync.json", commit_file({f"{ATTACK}.onnx": b"weights"}))
    bucket.put("mallory/model.onnx", b"weights")
    bucket.put("mallory/modelsync.json", commit_file({f"../{ATTACK}.onnx": b"weights"}))
    page.open(worker.url)
    page.until_row(ATTACK, "published")
    assert ATTACK in page.until_row("eve", "waiting"), "in the reason"
    assert ATTACK in page.until_row("mallory", "rejected"), "in the reason"
    page.until_text("#activity", f"published {ATTACK}")
    page.driver.get(f"{worker.url}/#model={quote(ATTACK)}")
    page.until_text("#detail", "Revisions on the volume")
    assert page.text("#detail h2") == ATTACK
    page.until_text("#activity h2", ATTACK)
    assert page.ask("document.querySelectorAll('img, main script').length") == 0
    assert page.ask("window.pwned ?? null") is None
    assert page.complaints() == []

    # Were one taken for markup, the policy would stop it.
    page.ask("document.body.insertAdjacentHTML('beforeend', arguments[0])", ATTACK.replace("x ", "data:, "))
    until(lambda: any("Content Security Policy" in one for one in page.complaints()), "a violation")
    assert page.ask("window.pwned ?? null") is None


def test_a_worker_that_ends_and_comes_back_is_noticed(setting: Setting, bucket: Any, page: Browser) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        setting.environment["HTTP_PORT"] = str(free.getsockname()[1])
    worker = setting.start()
    worker.wait_ready()
    put_voice(bucket, "alice", ALICE)
    page.open(worker.url)
    page.until_row("alice", "published")
    assert page.ask("document.getElementById('banner').hidden") is True

    worker.end(signal.SIGKILL)
    assert "trying again" in page.until_text("#banner", "Connection lost since")
    assert page.text("#connection") == "not live"
    assert page.text("#verdict") == "unknown"
    assert "Not known" in page.until_text("#transfers", "Not known")
    assert "published" in page.row("alice"), "it says from when that is"

    put_voice(bucket, "bob", ALICE)
    setting.start()
    page.until_row("bob", "published")
    page.until("document.getElementById('banner').hidden && document.body.className === 'live'")
    page.until_text("#verdict", "healthy")
