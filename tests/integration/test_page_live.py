"""The status page in a real browser on an API of our own: many models, many events, another path."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import pytest
from fastapi import FastAPI

from modelsync.app.feed import Feed
from modelsync.core import facts
from modelsync.core.facts import Outcome
from modelsync.core.health import Check, Status
from modelsync.core.names import ModelId
from modelsync.core.notices import Origin
from modelsync.core.objects import Revision
from modelsync.core.rollout import Rollout
from modelsync.core.status import ModelPage, ModelView, State
from modelsync.errors import VolumeFailed
from modelsync.web.api import Views, make_api
from modelsync.web.options import HttpOptions
from modelsync.web.server import HttpServer
from modelsync.web.writing import Commands
from support.browser import MISSING, Browser, browser

from modelsync.adapters.clock import SystemClock  # isort: skip

pytestmark = pytest.mark.skipif(MISSING is not None, reason=MISSING or "")
REVISION = Revision("3f9a0c" + "0" * 26)


class Site:
    """A large volume that changes when it is told to."""

    def __init__(self, models: int) -> None:
        self.models = {name: self.view(name) for name in (f"voice-{number:06}" for number in range(models))}
        self.broken: str | None = None
        self.feed = Feed(SystemClock(), Origin("s3://b/", "/models"))
        self.asked: list[int] = []
        views = Views(
            checks=lambda: {"s3": Check(Status.HEALTHY, "the bucket answers", 1_700_000_000.0)},
            not_ready=lambda: None,
            silent=dict,
            metrics=lambda: b"",
            model=self.models.get,
            models=self._page,
            states=lambda: Counter(view.state for view in self.models.values()),
            activity=self.feed.activity,
            subscribe=self.feed.subscribe,
            report=lambda _model, _name, _revision: False,
        )
        outer = FastAPI()
        outer.mount("/tools/modelsync", make_api(views, Commands(None, *[self._off] * 5)))
        self.server = HttpServer(HttpOptions("127.0.0.1", 0), outer)
        self.server.start()
        self.url = f"http://127.0.0.1:{self.server.port}/tools/modelsync/"

    @staticmethod
    def view(name: str) -> ModelView:
        return ModelView(
            ModelId(name), REVISION, State.PUBLISHED, 1_700_000_000.0, rollout=Rollout(5, 3, complete=False)
        )

    @staticmethod
    def _off(*_: object) -> None:
        raise NotImplementedError

    def _page(self, limit: int, after: str, contains: str, state: State | None) -> ModelPage:
        if self.broken is not None:
            raise VolumeFailed(self.broken)
        self.asked.append(limit)
        names = sorted(name for name in self.models if name > after and contains in name)
        found = [self.models[name] for name in names if state in {None, self.models[name].state}]
        return ModelPage(tuple(found[:limit]), found[limit - 1].id if len(found) > limit else None)

    def close(self) -> None:
        self.feed.close()
        self.server.stop()


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all tests: each opens the page anew."""
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site(5000)
    yield made
    made.close()


def rows(page: Browser) -> int:
    return int(page.ask("document.querySelectorAll('#models-table tbody').length"))


def test_a_large_volume_is_shown_in_parts(site: Site, window: Browser) -> None:
    window.open(site.url)
    window.until_text("#models-count", "The first 50; there are more.")
    assert rows(window) == 50
    assert "3 of 5" in window.row("voice-000000")
    window.ask("document.getElementById('more').click()")
    window.until_text("#models-count", "The first 100;")
    assert max(site.asked) <= 100, "never all of them"

    window.driver.find_element("id", "contains").send_keys("00123")
    window.until_text("#models-count", "11 models like that")
    assert rows(window) == 11
    site.models["voice-001234"] = replace(site.view("voice-001234"), state=State.REJECTED, reason="bad bytes")
    site.feed(facts.SyncFinished(ModelId("voice-001234"), "s", Outcome.REJECTED, "bad bytes", 0.1))
    assert "bad bytes" in window.until_row("voice-001234", "rejected")
    window.until_text("#states label:has([value=rejected])", "1")
    window.ask("document.querySelector('#states [value=rejected]').click()")
    window.until_text("#models-count", "1 model like that")
    assert window.ask("location.hash") == "#name=00123&state=rejected"
    window.open(f"{site.url}#state=rejected")
    window.until_text("#models-count", "1 model like that")


def test_models_that_come_and_go_find_their_place(site: Site, window: Browser) -> None:
    names = ["b", "d", "f"]
    site.models.clear()
    site.models.update({name: site.view(name) for name in names})
    window.open(site.url)
    window.until_text("#models-count", "3 models")
    for name in ("e", "a", "g", "c"):
        site.models[name] = site.view(name)
        site.feed(facts.SyncFinished(ModelId(name), "s", Outcome.SUCCESS, "why", 0.1))
    del site.models["d"]
    site.feed(facts.Unpublished(ModelId("d"), REVISION, "s", "it left the bucket"))
    window.until(
        "[...document.querySelectorAll('#models-table tbody a')].map(a => a.textContent).join('') === 'abcefg'"
    )


def test_models_that_cannot_be_read_are_not_shown_as_if_they_were(site: Site, window: Browser) -> None:
    window.open(site.url)
    window.until_text("#models-count", "The first 50")
    site.broken = "cannot read the record: I/O error"
    site.feed(facts.SyncFinished(ModelId("voice-000001"), "s", Outcome.SUCCESS, "why", 0.1))
    window.ask("document.getElementById('more').click()")
    assert "What is shown may be old" in window.until_text("#models-problem", site.broken)
    site.broken = None
    window.until("document.getElementById('models-problem').hidden")


def test_the_page_stays_usable_in_a_storm_of_events(site: Site, window: Browser) -> None:
    window.open(site.url)
    window.until_text("#models-count", "The first 50")
    sent, stop = 0, threading.Event()

    def storm() -> None:
        nonlocal sent
        began = time.monotonic()
        while not stop.is_set():
            if sent > 1000 * (time.monotonic() - began):
                stop.wait(0.005)
                continue
            model = ModelId(f"voice-{sent % 5000:06}")
            site.feed(facts.SyncStarted(model, "s", "event"))
            site.feed(facts.SyncFinished(model, "s", Outcome.ERROR, f"problem {sent}", 0.1))
            sent += 3  # with its activity

    thread = threading.Thread(target=storm)
    thread.start()
    try:
        frames = window.driver.execute_async_script(
            "const done = arguments[0]; const times = []; const begin = performance.now();"
            "function frame(now) { times.push(now); now - begin < 3000 ? requestAnimationFrame(frame) : done(times); }"
            "requestAnimationFrame(frame);"
        )
    finally:
        stop.set()
        thread.join()
    gaps = sorted(later - sooner for sooner, later in pairwise(frames))
    print(
        f"{sent} events in 3 s; frames: {len(frames)}, median {gaps[len(gaps) // 2]:.0f} ms, longest {gaps[-1]:.0f} ms"
    )
    assert sent > 1500
    assert gaps[len(gaps) // 2] < 200
    assert window.ask("document.querySelectorAll('#activity li').length") == 100
    assert rows(window) == 50
    assert window.ask("document.body.className") == "live", "it was not let go for being slow"
    window.until("document.querySelector('#activity li p').textContent === arguments[0]", f"problem {sent - 3}")
