"""Activity, the stream of events and reports of consumers, over HTTP."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any, Self

import pytest
from fastapi import FastAPI

from fakes.clock import VirtualClock
from modelsync.app.consumers import ConsumerBounds, Consumers
from modelsync.app.feed import Feed, FeedOptions
from modelsync.app.models import Models
from modelsync.app.teller import Teller
from modelsync.core import facts
from modelsync.core.facts import Outcome
from modelsync.core.health import Status
from modelsync.core.names import ModelId
from modelsync.core.notices import Origin
from modelsync.core.objects import Revision
from modelsync.core.rollout import Consumer, Rollout
from modelsync.errors import VolumeFailed
from modelsync.ports import Observer
from modelsync.service.fanout import FanOut
from modelsync.telemetry.metrics import Metrics
from modelsync.web.api import Views, make_api
from modelsync.web.events import EventStream
from modelsync.web.options import HttpOptions
from modelsync.web.server import HttpServer
from modelsync.web.writing import Commands
from support.worker import until

from support.world import World  # isort: skip

A, B, R = ModelId("alice"), ModelId("bob"), Revision("1" * 32)
TOKEN = "s3cret"


def published(model: ModelId = A, revision: Revision = R, at: float = 1_700_000_000.0) -> facts.Published:
    return facts.Published(model, revision, "s", None, 2, 10, at, None, "why")


def observer(feed: Feed, clock: VirtualClock) -> Observer:
    """Hands facts on as the service does."""
    return FanOut([feed, Teller([], clock=clock, observe=lambda _: None, heard=feed.notice)])


def commands(token: str | None, world: World) -> Commands:
    return Commands(
        token=token,
        sync=lambda model, _recheck: world.dirty.mark(model, why="API"),
        rollback=world.overrides.rollback,
        pin=world.overrides.pin,
        unpin=world.overrides.unpin,
        reconcile=lambda: None,
    )


class Site:
    """The HTTP interface on a feed."""

    def __init__(self, world: World, *, token: str | None = TOKEN, **bounds: int) -> None:
        self.world = world
        self.feed = Feed(world.clock, Origin("s3://b/", "/models"), FeedOptions(**bounds))
        self.tell = observer(self.feed, world.clock)
        self.consumers = Consumers(world.volume, world.clock, world.board.models, ConsumerBounds(kept=3))
        self.metrics = Metrics(world.board.models, self.consumers.rollouts)
        models = Models(world.volume, world.board.models, self.consumers)
        views = Views(
            checks=dict,
            not_ready=lambda: None,
            silent=dict,
            metrics=self.metrics.render,
            model=models.one,
            models=models.page,
            states=models.states,
            activity=self.feed.activity,
            subscribe=self.feed.subscribe,
            report=self.consumers.report,
        )
        api = make_api(views, commands(token, world))
        _impatient(api, self.feed)
        self.server = HttpServer(HttpOptions("127.0.0.1", 0), api)
        self.server.start()

    def call(self, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any, Any]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.server.port}{path}", body, headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.loads(answer.read() or b"null"), answer.headers
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read()), error.headers

    def report(self, model: str, consumer: str, revision: str, token: str | None = TOKEN) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        body = json.dumps({"consumer": consumer, "revision": revision}).encode()
        return self.call(f"/api/v1/models/{model}/consumers", body, **headers)[:2]

    def listen(self, path: str = "/api/v1/events", last_id: str | None = None) -> Listener:
        return Listener(self.server.port, path, last_id)

    def close(self) -> None:
        self.feed.close()
        self.server.stop()


def _impatient(api: FastAPI, feed: Feed) -> None:
    """The same stream with short times."""

    @api.get("/quick")
    async def quick() -> EventStream:
        return EventStream(feed.subscribe, None, heartbeat_seconds=0.02, send_seconds=0.2)


class Listener:
    """Reads a stream of events."""

    def __init__(self, port: int, path: str, last_id: str | None) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        self._connection.request("GET", path, headers={"Last-Event-ID": last_id} if last_id is not None else {})
        self.answer = self._connection.getresponse()
        self.status = self.answer.status
        if self.status == 200:
            assert self.block() == {"retry": "5000"}

    def block(self) -> dict[str, str]:
        """The next block, comments among them; empty at the end of the stream."""
        found: dict[str, str] = {}
        while (line := self.answer.readline()) not in {b"\n", b""}:
            name, _, value = line.decode().rstrip("\n").partition(":")
            found[name] = value.removeprefix(" ")
        return found

    def event(self, *, activity: bool = False) -> tuple[str, Any, str | None]:
        """The next event that is activity, or the next other one: kind, data and id."""
        block = self.block()
        while (block["event"] == "activity") is not activity:
            block = self.block()
        return block["event"], json.loads(block["data"]), block.get("id")

    def close(self) -> None:
        self._connection.close()
        self.answer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@pytest.fixture
def site(world: World) -> Iterator[Site]:
    made = Site(world)
    yield made
    made.close()


def test_activity_is_listed_newest_first(site: Site) -> None:
    for fact in (published(), published(B), facts.RevisionRejected(A, R, "s", "key", "bad")):
        site.tell(fact)
    status, answer, _ = site.call("/api/v1/activity")
    assert status == 200
    assert [(one["kind"], one["model"], one["reason"]) for one in answer["activity"]] == [
        ("rejected", "alice", "bad"),
        ("published", "bob", "why"),
        ("published", "alice", "why"),
    ]
    assert answer["activity"][2]["at"] == 1_700_000_000.0
    assert len(site.call("/api/v1/activity?limit=1")[1]["activity"]) == 1
    assert [one["model"] for one in site.call("/api/v1/activity?model=bob")[1]["activity"]] == ["bob"]
    for query in ("limit=0", "limit=1001", "limit=x"):
        assert site.call(f"/api/v1/activity?{query}")[0] == 422


def test_activity_is_bounded_and_what_repeats_itself_is_listed_once(world: World) -> None:
    feed = Feed(world.clock, Origin("s3://b/", "/m"), FeedOptions(kept=3))
    for _ in range(5):
        feed(facts.SyncFinished(A, "s", Outcome.ERROR, "no network", 0.1))
        feed(facts.SyncFinished(B, "s", Outcome.ERROR, "no network", 0.1))
    assert [one.model for one in feed.activity(10)] == [B, A]
    for number in range(5):
        feed(facts.SyncFinished(A, "s", Outcome.ERROR, f"problem {number}", 0.1))
    assert [one.reason for one in feed.activity(10)] == ["problem 4", "problem 3", "problem 2"]


def test_what_happens_is_sent_as_it_happens(site: Site) -> None:
    clock: VirtualClock = site.world.clock
    with site.listen() as listener:
        assert listener.answer.headers["content-type"].startswith("text/event-stream")
        site.tell(facts.SyncStarted(A, "s", "event"))
        assert listener.event() == (
            "sync", {"model": A, "sync_id": "s", "state": "syncing", "reason": "event"}, None
        )  # fmt: skip
        site.tell(facts.FetchStarted(A, R, "s", 1, 100, "why"))
        site.tell(facts.BytesFetched(A, "s", 10))  # too soon to be told
        clock.advance(1)
        site.tell(facts.BytesReused(A, "s", "m", 20, "link"))
        site.tell(facts.BytesFetched(A, "s", 70))  # the last ones are told at once
        assert [listener.event()[1]["have_bytes"] for _ in range(3)] == [0, 30, 100]
        site.tell(published())
        kind, event, number = listener.event()
        assert (kind, event["type"], bool(number)) == ("published", "io.modelsync.model.published", True)
        site.tell(facts.SyncFinished(A, "s", Outcome.SUCCESS, "why", 1.5))
        assert listener.event()[1]["state"] == "success"
        site.tell(facts.BytesFetched(A, "s", 1))  # of no transfer
        for _ in range(2):
            site.tell(facts.HealthChanged("s3", Status.DEGRADED, "no network"))
        site.tell(facts.HealthChanged("s3", Status.HEALTHY, "it answers"))
        assert [listener.event()[1]["status"] for _ in range(2)] == ["degraded", "healthy"]


def test_activity_is_sent_as_it_happens_and_what_repeats_itself_once(site: Site) -> None:
    with site.listen() as listener:
        for reason in ("no network", "no network", "no disk"):
            site.tell(facts.SyncFinished(A, "s", Outcome.ERROR, reason, 0.1))
        kind, first, number = listener.event(activity=True)
        assert (kind, number) == ("activity", None)
        assert first == {
            "at": site.world.clock.now(), "kind": "failed", "reason": "no network", "model": A, "revision": None
        }  # fmt: skip
        assert listener.event(activity=True)[1]["reason"] == "no disk"
        assert first in site.call("/api/v1/activity")[1]["activity"]


def test_the_stream_begins_with_what_is_being_transferred(site: Site) -> None:
    site.tell(facts.FetchStarted(A, R, "s", 1, 100, "why"))
    site.tell(facts.FetchStarted(B, R, "t", 1, 50, "why"))
    site.tell(facts.BytesFetched(A, "s", 10))
    site.tell(facts.SyncFinished(B, "t", Outcome.SUCCESS, "why", 1.5))
    with site.listen() as listener:
        kind, progress, number = listener.event()
        assert (kind, progress["model"], progress["have_bytes"], number) == ("progress", A, 10, None)
        site.tell(facts.SyncFinished(A, "s", Outcome.SUCCESS, "why", 1.5))
        assert listener.event()[0] == "sync"
    with site.listen(last_id="") as again:
        site.tell(published())
        assert again.event()[0] == "published"


def test_a_reader_that_comes_back_gets_the_notices_that_it_missed(site: Site) -> None:
    with site.listen() as listener:
        site.tell(published())
        last = listener.event()[2]
    site.tell(facts.SyncStarted(A, "s", "event"))
    site.tell(published(B))
    site.tell(facts.Unpublished(A, R, "s", "gone"))
    with site.listen(last_id=last) as again:
        assert [again.event()[0] for _ in range(2)] == ["published", "unpublished"]
        site.tell(facts.RevisionRejected(A, R, "s", "key", "bad"))
        assert again.event()[0] == "rejected"
    for foreign in ("", "another-1", "nonsense", f"{(last or '').partition('-')[0]}-x"):
        with site.listen(last_id=foreign) as other:
            assert [other.event()[0] for _ in range(4)] == ["published", "published", "unpublished", "rejected"]


def test_too_many_readers_are_sent_away_and_places_become_free(world: World) -> None:
    site = Site(world, subscribers=2)
    first, second = site.listen(), site.listen()
    status, answer, headers = site.call("/api/v1/events")
    assert (status, headers["Retry-After"]) == (503, "5")
    assert "too many" in answer["detail"]
    first.close()

    def place() -> bool:
        with site.listen() as third:
            return third.status == 200

    until(place, "a free place")
    second.close()
    site.close()


def test_a_comment_comes_when_nothing_happens(site: Site) -> None:
    with site.listen("/quick") as listener:
        assert [listener.block(), listener.block()] == [{"": ""}, {"": ""}]
        site.tell(published())
        while not (block := listener.block()).get("event"):
            assert block == {"": ""}
        assert block["event"] == "activity"
        assert listener.event()[0] == "published"


def test_a_reader_that_falls_behind_is_let_go(world: World) -> None:
    feed = Feed(world.clock, Origin("s3://b/", "/m"), FeedOptions(kept=6))
    subscription = feed.subscribe(lambda: None, None)
    assert subscription is not None
    assert subscription.take() == []
    tell = observer(feed, world.clock)
    for _ in range(5):
        tell(published())
    assert [entry.kind for entry in subscription.take() or []] == ["activity", *["published"] * 5]
    for _ in range(7):
        tell(published())
    assert subscription.take() is None


def test_a_reader_that_takes_nothing_loses_its_place(world: World) -> None:
    site = Site(world, subscribers=1, kept=100_000)
    stuck = socket.create_connection(("127.0.0.1", site.server.port))
    stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stuck.sendall(b"GET /quick HTTP/1.1\r\nHost: x\r\n\r\n")
    until(lambda: site.call("/api/v1/events")[0] == 503, "the place to be taken")

    def free() -> bool:
        for _ in range(200):
            site.tell(facts.SyncFinished(A, "s", Outcome.ERROR, "x" * 1000, 0.1))
        subscription = site.feed.subscribe(lambda: None, None)
        if subscription is not None:
            subscription.close()
        return subscription is not None

    until(free, "the place to become free")
    assert site.call("/live")[0] == 200
    stuck.close()
    site.close()


def test_the_end_of_the_service_ends_every_stream_at_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    site = Site(world)
    listeners = [site.listen() for _ in range(5)]
    start = time.monotonic()
    threads = [threading.Thread(target=listener.answer.read) for listener in listeners]
    for thread in threads:
        thread.start()
    site.close()
    for thread in threads:
        thread.join(5)
    assert time.monotonic() - start < 2
    assert not caplog.records
    assert site.feed.subscribe(lambda: None, None) is None
    for listener in listeners:
        listener.close()


# What consumers report.


def publish(world: World, model: str = "alice", content: bytes = b"1") -> Revision:
    world.upload(model, {"model.onnx": content})
    revision = world.sync(model).revision
    assert revision is not None
    return revision


def test_a_rollout_is_complete_when_all_consumers_run_what_readers_see(world: World, site: Site) -> None:
    old = publish(world)
    new = publish(world, content=b"2")
    assert site.call("/api/v1/models/alice")[1]["rollout"] is None
    assert site.report("alice", "pod-2", new)[0] == 204
    assert site.report("alice", "pod-1", old)[0] == 204
    shown = site.call("/api/v1/models/alice")[1]
    assert shown["rollout"] == {"consumers": 2, "current": 1, "complete": False}
    assert [(one["name"], one["revision"]) for one in shown["consumers"]] == [("pod-1", old), ("pod-2", new)]
    assert b'modelsync_consumers{model="alice",runs="current"} 1.0' in site.metrics.render()
    assert b'modelsync_consumers{model="alice",runs="other"} 1.0' in site.metrics.render()
    site.report("alice", "pod-1", new)
    assert site.call("/api/v1/models/alice")[1]["rollout"] == {"consumers": 2, "current": 2, "complete": True}
    listed = site.call("/api/v1/models")[1]["models"][0]
    assert (listed["consumers"], listed["rollout"]["complete"]) == ([], True)


def test_consumers_that_no_longer_report_are_forgotten(world: World, site: Site) -> None:
    revision = publish(world)
    site.report("alice", "pod-1", revision)
    world.clock.advance(600)
    site.report("alice", "pod-2", revision)
    world.clock.advance(301)
    assert [one["name"] for one in site.call("/api/v1/models/alice")[1]["consumers"]] == ["pod-2"]
    world.clock.advance(600)
    assert site.consumers.rollouts() == {}
    assert b"modelsync_consumers{" not in site.metrics.render()


def test_the_number_of_consumers_is_bounded(world: World, site: Site) -> None:
    revision = publish(world)
    for number in range(3):
        assert site.report("alice", f"pod-{number}", revision)[0] == 204
    status, answer = site.report("alice", "pod-3", revision)
    assert (status, answer["detail"]) == (429, "the model has too many consumers: each must report under one name")
    assert site.report("alice", "pod-0", revision)[0] == 204


def consumers(site: Site, model: str = "alice") -> list[str]:
    return [one["name"] for one in site.call(f"/api/v1/models/{model}")[1]["consumers"]]


def counted(site: Site) -> dict[str, Rollout]:
    site.consumers.refresh(lambda: None)
    return {str(model): found for model, found in site.consumers.rollouts().items()}


def test_every_replica_knows_what_was_reported_to_another_and_before_its_start(world: World, site: Site) -> None:
    old, new = publish(world), publish(world, content=b"2")
    other = Site(world)
    site.report("alice", "pod-1", new)
    other.report("alice", "pod-2", old)
    site.report("alice", "pod-3", old)
    other.report("alice", "pod-3", new)
    later = Site(world)
    for one in (site, other, later):
        assert consumers(one) == ["pod-1", "pod-2", "pod-3"]
        assert one.call("/api/v1/models/alice")[1]["rollout"] == {"consumers": 3, "current": 2, "complete": False}
        assert counted(one) == {"alice": Rollout(3, 2, complete=False)}
        assert b'modelsync_consumers{model="alice",runs="current"} 2.0' in one.metrics.render()
    for one in (other, later):
        one.close()


def test_a_report_needs_no_lock_of_the_model(world: World, site: Site) -> None:
    revision = publish(world)
    with world.volume.writer(A):
        assert site.report("alice", "pod-1", revision)[0] == 204
    assert world.sync("alice").outcome is Outcome.NOOP
    assert consumers(site) == ["pod-1"]


def test_reports_that_are_out_of_date_leave_the_volume(world: World, site: Site) -> None:
    revision = publish(world)
    for number in range(3):
        site.report("alice", f"pod-{number}", revision)
    world.clock.advance(901)
    directory = world.home("alice") / "consumers"
    left_behind = directory / ".tmp-1"
    left_behind.write_bytes(b"")
    os.utime(left_behind, (0, 0))
    assert site.report("alice", "pod-3", revision)[0] == 204, "they make room"
    assert os.listdir(directory) == ["pod-3.json"]
    world.clock.advance(901)
    assert counted(site) == {}
    assert os.listdir(directory) == []


def test_a_refresh_does_not_forget_what_is_reported_meanwhile(
    world: World, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    revision = publish(world)
    read = world.volume.consumers

    def read_and_wait(model: ModelId) -> list[Consumer]:
        found = read(model)
        world.clock.advance(1)
        site.consumers.report(model, "pod-1", revision)
        return found

    monkeypatch.setattr(world.volume, "consumers", read_and_wait)
    assert counted(site) == {"alice": Rollout(1, 1, complete=True)}


@pytest.mark.parametrize("name", ["..", ".tmp-1", "a/../../b", "%2E", "x" * 253, "\x7e" * 253, "/" * 253])
def test_whatever_a_consumer_calls_itself_stays_in_its_directory(world: World, site: Site, name: str) -> None:
    revision = publish(world)
    before = {path for path in world.base.rglob("*") if "consumers" not in path.parts}
    assert site.report("alice", name, revision)[0] == 204
    assert site.report("alice", name, revision)[0] == 204
    assert consumers(site) == [name]
    assert len(os.listdir(world.home("alice") / "consumers")) == 1
    assert {path for path in world.base.rglob("*") if "consumers" not in path.parts} == before


def test_what_is_no_report_on_the_volume_does_no_harm(world: World, site: Site) -> None:
    revision = publish(world)
    site.report("alice", "pod-1", revision)
    directory = world.home("alice") / "consumers"
    good = (directory / "pod-1.json").read_bytes()
    (directory / "empty.json").write_bytes(b"")
    (directory / "other.json").write_bytes(good)
    (directory / "large.json").write_bytes(good.replace(b"pod-1", b"large") + b" " * 5000)
    (directory / "odd.json").write_bytes(good.replace(b"pod-1", b"odd").replace(revision.encode(), b"<script>"))
    (directory / "directory.json").mkdir()
    (directory / "link.json").symlink_to("/dev/zero")
    os.mkfifo(directory / "pipe.json")
    assert consumers(site) == ["pod-1"]
    assert counted(site) == {"alice": Rollout(1, 1, complete=True)}


def test_the_volume_is_read_over_and_over_and_its_failures_are_outlived(world: World, site: Site) -> None:
    revision = publish(world)
    other = Site(world)
    other.report("alice", "pod-1", revision)
    failures = [VolumeFailed("it hangs")]
    stop, beats = threading.Event(), 0

    def beat() -> None:
        nonlocal beats
        beats += 1
        if failures:
            raise failures.pop()
        if site.consumers.rollouts():
            stop.set()

    site.consumers.run(stop, beat)
    assert site.consumers.rollouts() == {A: Rollout(1, 1, complete=True)}
    assert beats > 15
    world.remove("alice")
    shutil.rmtree(world.home("alice"))
    assert counted(site) == {}
    other.close()


def test_a_volume_that_fails_is_told_to_the_consumer(world: World, site: Site) -> None:
    revision = publish(world)
    directory = world.home("alice") / "consumers"
    directory.write_bytes(b"no directory")
    status, answer = site.report("alice", "pod", revision)
    assert status == 503
    assert answer["detail"].startswith("cannot write what consumers of alice report")


def test_consumers_of_a_model_that_is_gone_leave_no_series_behind(world: World, site: Site) -> None:
    revision = publish(world)
    site.report("alice", "pod-1", revision)
    world.board(facts.Unpublished(A, revision, "s", "gone"))
    world.board(facts.ModelAbsent(A))
    assert site.consumers.rollouts() == {}


def test_reporting_needs_the_token(world: World, site: Site) -> None:
    revision = publish(world)
    for token in (None, "wrong", "s3crét"[:-1], ""):
        request_headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        body = json.dumps({"consumer": "pod", "revision": revision}).encode()
        if token is not None and not token.isascii():
            request_headers = {"Authorization": f"Bearer {token}".encode().decode("latin-1")}
        status, answer, headers = site.call("/api/v1/models/alice/consumers", body, **request_headers)
        assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")
        assert "API_TOKEN" in answer["detail"]
    assert site.report("nobody", "pod", revision, token="wrong")[0] == 401, "nobody learns which models there are"
    assert site.consumers.of(A) == ()


def test_without_a_token_reporting_is_off(world: World) -> None:
    site = Site(world, token=None)
    revision = publish(world)
    for token in (TOKEN, "", None):
        status, answer = site.report("alice", "pod", revision, token=token)
        assert (status, answer["detail"]) == (403, "this call is off: set API_TOKEN to turn it on")
    site.close()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"[]", 422),
        (b"nonsense", 422),
        (b'{"consumer": "pod"}', 422),
        (b'{"consumer": "", "revision": "11111111"}', 422),
        (b'{"consumer": "a b", "revision": "11111111"}', 422),
        (b'{"consumer": "pod\\n", "revision": "11111111"}', 422),
        (b'{"consumer": "pod", "revision": "../x"}', 422),
        (b'{"consumer": "pod", "revision": 1}', 422),
        (b'{"consumer": "' + b"x" * 254 + b'", "revision": "11111111"}', 422),
        (b" " * 5000, 413),
    ],
)
def test_what_is_no_report_is_refused_with_a_sentence(world: World, site: Site, body: bytes, status: int) -> None:
    publish(world)
    found, answer, _ = site.call("/api/v1/models/alice/consumers", body, Authorization=f"Bearer {TOKEN}")
    assert found == status
    assert isinstance(answer["detail"], str)
    assert answer["detail"]


def test_a_model_that_is_not_there_has_no_consumers(world: World, site: Site) -> None:
    world.board(facts.SyncStarted(B, "s", "event"))
    status, answer = site.report("bob", "pod", R)
    assert (status, answer["detail"]) == (409, "bob has no consumers: nothing of it is on the volume")
    assert site.report("nobody", "pod", R)[0] == 404
    assert site.report("..", "pod", R)[0] == 404


def test_the_endpoints_are_described(site: Site) -> None:
    paths = site.call("/openapi.json")[1]["paths"]
    report = paths["/api/v1/models/{name}/consumers"]["post"]
    assert report["security"] == [{"HTTPBearer": []}]
    assert "text/event-stream" in paths["/api/v1/events"]["get"]["responses"]["200"]["content"]
    assert "revision" in report["requestBody"]["content"]["application/json"]["schema"]["properties"]
