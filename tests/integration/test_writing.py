"""The API's writing calls, over HTTP."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelsync.app.models import Models
from modelsync.core.names import ModelId, Naming
from modelsync.core.rollback import Overridden
from modelsync.errors import ModelBusy, StoreUnavailable, VolumeFailed
from modelsync.web.api import Views, make_api
from modelsync.web.options import HttpOptions
from modelsync.web.server import HttpServer
from modelsync.web.writing import Commands
from support.world import World

TOKEN = "s3crät-token"
V1 = {"model.onnx": b"weights 1", "config.json": b"{}"}
V2 = {"model.onnx": b"weights 2", "config.json": b"{ }"}
ORDERS = ("sync", "rollback", "pin", "unpin")


class Api:
    """A running interface; `marked` is what it wants to be synced."""

    def __init__(self, world: World, token: str | None) -> None:
        self.marked: list[str] = []
        self.rollback = world.overrides.rollback
        models = Models(world.volume, world.board.models)
        views = Views(
            checks=world.board.checks, not_ready=lambda: None, silent=dict, metrics=lambda: b"", model=models.one,
            models=models.page, states=models.states,
            activity=lambda _limit, _model: [],
            subscribe=lambda _wake, _last_id: None,
            report=lambda _model, _name, _revision: False,
        )  # fmt: skip
        commands = Commands(
            token=token,
            sync=lambda model, recheck: self.marked.append(f"{model} again" if recheck else model),
            rollback=self._roll_back,
            pin=world.overrides.pin,
            unpin=world.overrides.unpin,
            reconcile=lambda: self.marked.append("everything"),
        )
        self.server = HttpServer(HttpOptions("127.0.0.1", 0), make_api(views, commands))
        self.server.start()

    def _roll_back(self, model: ModelId, to: str | None) -> Overridden:
        return self.rollback(model, to)

    def send(
        self, path: str, body: bytes | None = None, *, method: str = "POST", **headers: str
    ) -> tuple[int, Any, dict[str, str]]:
        """Send a request with these headers alone."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return (
                answer.status,
                json.loads(answer.read()),
                {key.lower(): value for key, value in answer.headers.items()},
            )
        finally:
            connection.close()

    def post(self, path: str, document: object = None) -> tuple[int, Any]:
        """Send what an operator's tool sends."""
        body = None if document is None else json.dumps(document).encode()
        status, answer, _ = self.send(path, body, authorization=BEARER, content_type="application/json")
        return status, answer


BEARER = f"Bearer {TOKEN}".encode().decode("latin-1")


@pytest.fixture
def api(world: World) -> Iterator[Api]:
    for files in (V1, V2):
        world.upload("alice", files)
        world.sync("alice")
    made = Api(world, TOKEN)
    yield made
    made.server.stop()


@pytest.mark.parametrize("order", ORDERS)
def test_without_a_token_in_the_settings_writing_is_off(world: World, order: str) -> None:
    world.upload("alice", V1)
    world.sync("alice")
    api = Api(world, None)
    try:
        status, answer, _ = api.send(f"/api/v1/models/alice/{order}", authorization="Bearer None")
        assert (status, answer) == (403, {"detail": "this call is off: set API_TOKEN to turn it on"})
        assert api.send("/api/v1/models/alice", method="GET")[0] == 200, "reading is not"
    finally:
        api.server.stop()


@pytest.mark.parametrize("given", [None, "Bearer wrong", "Bearer ", "Basic czNjcmV0", TOKEN.encode().decode("latin-1")])
@pytest.mark.parametrize("order", ORDERS)
def test_without_the_right_token_nothing_is_done(world: World, api: Api, order: str, given: str | None) -> None:
    headers = {} if given is None else {"authorization": given}
    status, answer, sent = api.send(f"/api/v1/models/alice/{order}", **headers)
    assert (status, sent["www-authenticate"]) == (401, "Bearer")
    assert TOKEN not in json.dumps(answer, ensure_ascii=False)
    assert world.read("alice") == V2
    assert api.marked == []
    found = world.volume.published(ModelId("alice")).current
    assert found is not None
    assert found.pin is None


def test_a_model_is_rolled_back_pinned_and_unpinned(world: World, api: Api) -> None:
    status, answer = api.post("/api/v1/models/alice/rollback")
    assert status == 200
    assert set(answer) == {"model", "revision", "pinned", "changed", "reason"}
    assert (answer["model"], answer["pinned"], answer["changed"]) == ("alice", True, True)
    assert world.read("alice") == V1
    _, shown, _ = api.send("/api/v1/models/alice", method="GET")
    assert (shown["revision"], shown["pinned"]) == (answer["revision"], True)
    assert shown["reason"].startswith("pinned: rolled back from")
    status, answer = api.post("/api/v1/models/alice/pin", {"reason": "audit"})
    assert (status, answer["reason"]) == (200, "pinned: audit (by test)")
    status, answer = api.post("/api/v1/models/alice/unpin")
    assert (status, answer["pinned"], answer["changed"]) == (200, False, True)


def test_a_revision_can_be_named(world: World, api: Api) -> None:
    [old] = [kept["revision"] for kept in api.send("/api/v1/models/alice", method="GET")[1]["revisions"][1:]]
    assert api.post("/api/v1/models/alice/rollback", {"to": old[:8]})[1]["revision"] == old
    status, answer = api.post("/api/v1/models/alice/rollback", {"to": "abcdef"})
    assert (status, "no revision abcdef" in answer["detail"]) == (409, True)


def test_a_sync_is_asked_for_and_not_waited_for(api: Api) -> None:
    assert api.post("/api/v1/models/alice/sync") == (202, {"model": "alice", "reason": "it is looked at now"})
    assert api.post("/api/v1/models/alice/sync", {"recheck": True})[0] == 202
    assert api.marked == ["alice", "alice again"]


def test_a_comparison_is_asked_for_by_whoever_has_the_token(api: Api) -> None:
    assert api.send("/api/v1/reconcile")[0] == 401
    assert api.marked == []
    assert api.post("/api/v1/reconcile") == (202, {"reason": "the bucket is compared with the volume now"})
    assert api.marked == ["everything"]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", ["bob", "..", "%2e%2e%2fetc", "a//b", ".modelsync", "x%0ay"])
def test_an_unknown_model_is_not_found(world: World, api: Api, order: str, name: str) -> None:
    status, answer = api.post(f"/api/v1/models/{name}/{order}")
    assert status == 404, answer
    assert [path.name for path in (world.base / ".modelsync/models").iterdir()] == ["alice"]


@pytest.mark.parametrize("name", ["de/alice", "de%2Falice"])
def test_names_of_several_segments_are_written_plainly_or_encoded(tmp_path: Path, name: str) -> None:
    world = World(tmp_path, naming=Naming(depth=2))
    for files in (V1, V2):
        world.upload("de/alice", files)
        world.sync("de/alice")
    api = Api(world, TOKEN)
    try:
        assert api.post(f"/api/v1/models/{name}/rollback")[1]["model"] == "de/alice"
    finally:
        api.server.stop()
        world.fetcher.close()
    assert world.read("de/alice") == V1


@pytest.mark.parametrize(
    ("error", "status"),
    [(ModelBusy("busy"), 409), (StoreUnavailable("away"), 503), (VolumeFailed("full", "full"), 503)],
)
def test_what_stands_in_the_way_is_told(api: Api, error: Exception, status: int) -> None:
    def fail(_model: ModelId, _to: str | None) -> Overridden:
        raise error

    api.rollback = fail
    assert api.post("/api/v1/models/alice/rollback") == (status, {"detail": str(error)})


def test_nothing_to_roll_back_to_is_a_conflict(api: Api) -> None:
    api.post("/api/v1/models/alice/rollback")
    status, answer = api.post("/api/v1/models/alice/rollback")
    assert status == 409
    assert "nothing to roll back to" in answer["detail"]


@pytest.mark.parametrize(
    "document", [{"to": 5}, {"to": "a" * 65}, {"revision": "abcdef"}, [], "text", {"to": ["abcdef"]}]
)
def test_a_body_that_means_nothing_is_refused(world: World, api: Api, document: object) -> None:
    assert api.post("/api/v1/models/alice/rollback", document)[0] == 422
    assert world.read("alice") == V2


@pytest.mark.parametrize("reason", ["", "two\nlines", "x" * 201, "\u2028"])
def test_a_reason_that_is_no_line_is_refused(api: Api, reason: str) -> None:
    assert api.post("/api/v1/models/alice/pin", {"reason": reason})[0] == 422


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_what_a_form_can_send_is_not_taken_for_json(world: World, api: Api, kind: str) -> None:
    status, _, _ = api.send("/api/v1/models/alice/rollback", b'{"to": null}', authorization=BEARER, content_type=kind)
    assert status == 422
    assert world.read("alice") == V2


def test_a_large_body_is_refused_before_it_is_read(api: Api) -> None:
    status, answer, _ = api.send("/api/v1/models/alice/pin", b"x" * 20_000, content_type="application/json")
    assert (status, answer["detail"]) == (413, "send no more than 16384 bytes")
    connection = http.client.HTTPConnection("127.0.0.1", api.server.port, timeout=30)
    try:
        connection.request(
            "POST", "/api/v1/models/alice/pin", iter([b"x" * 1000]), {"Transfer-Encoding": "chunked"},
            encode_chunked=True,
        )  # fmt: skip
        assert connection.getresponse().status == 411
    finally:
        connection.close()


def test_too_many_calls_at_once_are_turned_away_while_reading_goes_on(api: Api) -> None:
    inside, go = threading.Semaphore(0), threading.Event()

    def hang(model: ModelId, _to: str | None) -> Overridden:
        inside.release()
        go.wait(30)
        return Overridden(model, None, pinned=True, changed=True, reason="done")

    api.rollback = hang
    threads = [threading.Thread(target=api.post, args=("/api/v1/models/alice/rollback",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert inside.acquire(timeout=30)
    try:
        status, _, sent = api.send("/api/v1/models/alice/sync", authorization=BEARER)
        assert (status, sent["retry-after"]) == (503, "5")
        assert api.send("/health", method="GET")[0] == 200
        assert api.send("/api/v1/models/alice", method="GET")[0] == 200
    finally:
        go.set()
        for thread in threads:
            thread.join(30)
    assert api.post("/api/v1/models/alice/sync")[0] == 202


def test_the_description_names_calls_bodies_and_the_token(api: Api) -> None:
    _, described, _ = api.send("/openapi.json", method="GET")
    rollback = described["paths"]["/api/v1/models/{name}/rollback"]["post"]
    assert {"200", "401", "403", "404", "409", "503"} <= set(rollback["responses"])
    assert rollback["security"] == [{"HTTPBearer": []}]
    assert described["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
    for order in ORDERS:
        assert f"/api/v1/models/{{name}}/{order}" in described["paths"]
    assert "security" not in described["paths"]["/api/v1/models"]["get"]
