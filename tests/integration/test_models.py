"""Models as the API shows them, asked over HTTP by the client that commands use."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from fakes.clock import VirtualClock
from modelsync import __version__
from modelsync.adapters.service import ServiceClient
from modelsync.adapters.volume import LocalVolume
from modelsync.app.follow import Follow
from modelsync.app.models import Models
from modelsync.core.manifest import Published
from modelsync.core.names import ModelId, Naming
from modelsync.core.objects import Revision
from modelsync.core.status import Arrived, ModelStatus, ModelView, Refusal, State, TurnedDown, Underway
from modelsync.errors import ServiceUnavailable, Stopped, StoreUnavailable, VolumeFailed
from modelsync.ports import Volume
from modelsync.web.api import Views, make_api
from modelsync.web.options import HttpOptions
from modelsync.web.server import HttpServer
from modelsync.web.writing import Commands

from support.world import World  # isort: skip

ALICE = {"model.onnx": b"weights 1", "config.json": b"{}"}


class Api:
    """The HTTP interface on a world's volume and board."""

    def __init__(
        self, world: World, volume: Volume, known: Callable[[], Mapping[ModelId, ModelStatus]] | None = None
    ) -> None:
        models = Models(volume, known or world.board.models)
        views = Views(
            checks=world.board.checks,
            not_ready=lambda: None,
            silent=dict,
            metrics=lambda: b"",
            model=models.one,
            models=models.page,
            states=models.states,
            activity=lambda _limit, _model: [],
            subscribe=lambda _wake, _last_id: None,
            report=lambda _model, _name, _revision: False,
        )
        commands = Commands(
            token=None,
            sync=lambda model, _recheck: world.dirty.mark(model, why="API"),
            rollback=world.overrides.rollback,
            pin=world.overrides.pin,
            unpin=world.overrides.unpin,
            reconcile=lambda: None,
        )
        self.server = HttpServer(HttpOptions("127.0.0.1", 0), make_api(views, commands))
        self.server.start()
        self.url = f"http://127.0.0.1:{self.server.port}"
        self.client = ServiceClient(self.url)

    def get(self, path: str) -> tuple[int, Any]:
        try:
            with urllib.request.urlopen(self.url + path, timeout=10) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())


@pytest.fixture
def serve(world: World) -> Iterator[Callable[..., Api]]:
    made: list[Api] = []

    def start(volume: Volume | None = None, known: Callable[[], Mapping[ModelId, ModelStatus]] | None = None) -> Api:
        made.append(Api(world, volume or world.volume, known))
        return made[-1]

    yield start
    for api in made:
        api.server.stop()


def publish(world: World, model: str, files: dict[str, bytes] = ALICE) -> Revision:
    world.upload(model, files)
    world.commit(model, files)
    revision = world.sync(model).revision
    assert revision is not None
    return revision


def test_a_published_model_is_shown(world: World, serve: Callable[..., Api]) -> None:
    old = publish(world, "alice")
    new = publish(world, "alice", ALICE | {"config.json": b"[]"})
    status, shown = serve().get("/api/v1/models/alice")
    assert status == 200
    assert (shown["id"], shown["revision"], shown["state"], shown["reason"]) == ("alice", new, "published", None)
    assert (shown["pinned"], shown["refusal"]) == (False, None)
    assert [kept["revision"] for kept in shown["revisions"]] == [new, old]
    assert shown["published_at"] == shown["synced_at"] == world.clock.now()


def test_why_readers_do_not_see_the_newest_version_is_told(world: World, serve: Callable[..., Api]) -> None:
    revision = publish(world, "alice")
    api = serve()

    def shown() -> tuple[str, str | None, Revision | None]:
        view = api.client.model(ModelId("alice"))
        assert view is not None
        return view.state.value, view.reason, view.revision

    world.commit("alice", ALICE | {"model.onnx": b"weights of 2", "x.txt": b"x"})
    world.sync("alice")
    state, reason, seen = shown()
    assert (state, seen) == ("waiting", revision)
    assert reason == "1 of 3 files are there: model.onnx has 9 bytes, not the 12 that the commit file lists"
    world.bucket.put("alice/modelsync.json", b"nonsense")
    world.sync("alice")
    state, reason, seen = shown()
    assert (state, seen) == ("rejected", revision)
    assert "no JSON" in str(reason)
    world.store.plan("list", *[StoreUnavailable("no network")] * 3)
    world.sync("alice")
    assert shown() == ("failing", "no network", revision)


def test_a_first_version_that_is_not_complete_is_shown(world: World, serve: Callable[..., Api]) -> None:
    world.upload("alice", {"model.onnx": b"weights 1"})
    world.commit("alice", ALICE)
    world.sync("alice")
    view = serve().client.model(ModelId("alice"))
    assert view is not None
    assert (view.state, view.revision) == (State.WAITING, None)
    assert view.reason == "1 of 2 files are there: config.json is not there"


def test_models_come_in_pages_in_order_of_their_names(world: World, serve: Callable[..., Api]) -> None:
    names = [f"voice-{number}" for number in range(7)]
    for name in reversed(names):
        publish(world, name)
    api = serve()
    pages, after = [], ""
    while after is not None:
        status, page = api.get(f"/api/v1/models?limit=3&after={after}")
        assert status == 200
        pages.append([model["id"] for model in page["models"]])
        after = page["next"]
    assert pages == [names[:3], names[3:6], names[6:]]
    assert [view.id for view in api.client.models()] == names
    assert api.get("/api/v1/models?limit=7")[1]["next"] is None
    assert api.get("/api/v1/models?limit=3&after=voice-4x")[1]["models"][0]["id"] == "voice-5"


def test_models_are_found_by_name_and_state(world: World, serve: Callable[..., Api]) -> None:
    for name in ("Anna", "annika", "bob", "hanna"):
        publish(world, name)
    world.bucket.put("bob/modelsync.json", b"nonsense")
    world.sync("bob")
    api = serve()

    def found(query: str) -> list[str]:
        return [model["id"] for model in api.get(f"/api/v1/models?{query}")[1]["models"]]

    assert found("contains=ANN") == ["Anna", "annika", "hanna"]
    assert found("contains=ann&after=Anna&limit=1") == ["annika"]
    assert found("contains=%25") == []
    assert found("state=rejected") == ["bob"]
    assert found("state=published&contains=b") == []
    assert found("state=published") == ["Anna", "annika", "hanna"]
    page = api.get("/api/v1/models?state=published&limit=2")[1]
    assert [model["id"] for model in page["models"]] == ["Anna", "annika"]
    assert found(f"state=published&after={page['next']}") == ["hanna"]
    assert api.get("/api/v1/models?state=odd")[0] == 422
    summary = api.get("/api/v1/summary")[1]
    assert (summary["version"], summary["models"]) == (__version__, {"published": 3, "rejected": 1})


def test_one_page_looks_at_a_bounded_number_of_models(
    world: World, serve: Callable[..., Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelsync.app.models._MOST_LOOKS", 2)
    for name in ("a", "b", "c"):
        publish(world, name)
    # A service that has just started knows none of them: only the volume can tell their state.
    api = serve(known=dict)
    assert api.get("/api/v1/models?state=rejected&limit=1")[1] == {"models": [], "next": "b"}
    assert api.get("/api/v1/models?state=rejected&limit=1&after=b")[1] == {"models": [], "next": None}
    assert api.get("/api/v1/summary")[1]["models"] == {}


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x"])
def test_a_page_has_bounds(serve: Callable[..., Api], query: str) -> None:
    assert serve().get(f"/api/v1/models?{query}")[0] == 422


@pytest.mark.parametrize(
    "name", ["bob", "..", "%2e%2e", "%2e%2e%2f%2e%2e", "alice/../alice", ".modelsync", "a%00b", "", "x" * 2000]
)
def test_what_is_no_model_is_not_found(world: World, serve: Callable[..., Api], name: str) -> None:
    publish(world, "alice")
    assert serve().get(f"/api/v1/models/{name}")[0] == 404


def test_a_name_may_have_anything_that_a_key_has(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    deep = World(tmp_path / "deep", naming=Naming(depth=2))
    publish(deep, "de ü?#%/a+b")
    api = Api(deep, deep.volume)
    view = api.client.model(ModelId("de ü?#%/a+b"))
    assert view is not None
    assert view.id == "de ü?#%/a+b"
    assert [one.id for one in api.client.models()] == ["de ü?#%/a+b"]
    api.server.stop()
    deep.fetcher.close()


class SickVolume(LocalVolume):
    """A volume whose records cannot be read, now or ever."""

    hang: threading.Event | None = None

    def published(self, model: ModelId) -> Published:
        if self.hang is not None:
            self.hang.wait(60)
        raise VolumeFailed(f"cannot read the record of {model}: I/O error")


def test_a_volume_that_cannot_be_read_is_told(world: World, serve: Callable[..., Api]) -> None:
    publish(world, "alice")
    api = serve(SickVolume(world.base))
    assert api.get("/api/v1/models/alice") == (503, {"detail": "cannot read the record of alice: I/O error"})
    assert api.get("/api/v1/models")[0] == 503
    with pytest.raises(ServiceUnavailable, match="answered 503"):
        api.client.model(ModelId("alice"))


def test_a_volume_that_hangs_does_not_keep_probes_waiting(world: World, serve: Callable[..., Api]) -> None:
    publish(world, "alice")
    volume = SickVolume(world.base)
    volume.hang = threading.Event()
    api = serve(volume)
    asking = [threading.Thread(target=api.get, args=("/api/v1/models/alice",)) for _ in range(8)]
    for thread in asking:
        thread.start()
    assert api.get("/live")[0] == 200
    volume.hang.set()
    for thread in asking:
        thread.join()


class Odd(BaseHTTPRequestHandler):
    """Something else than a worker."""

    answer: ClassVar[tuple[int, bytes]] = (200, b"")

    def do_GET(self) -> None:
        status, body = self.answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def odd() -> Iterator[ServiceClient]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Odd) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield ServiceClient(f"http://127.0.0.1:{server.server_port}/")
        server.shutdown()


@pytest.mark.parametrize(
    "answer",
    [
        (200, b""),
        (200, b"<html>"),
        (200, b"[]"),
        (200, b'{"models": [], "next": ""}'),
        (200, b'{"id": "a", "revision": null, "state": "no such state"}'),
        (200, b" " * (17 << 20)),
        (500, b"{}"),
        (302, b""),
    ],
    ids=["empty", "html", "list", "circle", "state", "huge", "failure", "redirect"],
)
def test_what_is_no_worker_is_told(odd: ServiceClient, answer: tuple[int, bytes]) -> None:
    Odd.answer = answer
    for ask in (lambda: odd.model(ModelId("a")), odd.models):
        with pytest.raises(ServiceUnavailable):
            ask()


def test_a_worker_that_is_not_there_is_told() -> None:
    with pytest.raises(ServiceUnavailable, match=r"no worker can be reached at http://127.0.0.1:9 .*MODELSYNC_URL"):
        ServiceClient("http://127.0.0.1:9").model(ModelId("a"))


# Waiting


A, R = ModelId("a"), Revision("r")


class Said:
    """Implements `ports.push.Service`: gives one answer after the other, the last one for ever."""

    def __init__(self, *answers: ModelView | Exception | None) -> None:
        self._answers = list(answers)

    def model(self, model: ModelId) -> ModelView | None:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def models(self) -> list[ModelView]:
        return []


SYNCING = ModelView(A, None, State.SYNCING)
REFUSED = ModelView(A, None, State.REJECTED, reason="bad", refusal=Refusal(R, "key", "bad", 7.0))


@pytest.mark.parametrize(
    ("service", "verdict"),
    [
        (Said(None, SYNCING, ServiceUnavailable("down"), ModelView(A, R, State.PUBLISHED)), Arrived()),
        (Said(SYNCING, REFUSED), TurnedDown("bad")),
        (Said(SYNCING), Underway("syncing: readers see nothing")),
        (Said(ServiceUnavailable("down")), Underway("down")),
    ],
)
def test_a_wait_ends_with_a_verdict_or_its_time(service: Said, verdict: object) -> None:
    clock = VirtualClock(0.0)
    follow = Follow(service, clock, A, None)
    assert follow.until_published(R, 60.0, threading.Event()) == verdict
    assert (clock.now() >= 60) is isinstance(verdict, Underway)


def test_a_wait_can_be_interrupted() -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped, match="what was pushed stays pushed"):
        Follow(Said(SYNCING), VirtualClock(), A, None).until_published(R, 60.0, stop)
