"""Uploads, events, outages and deaths in any order: readers see what the bucket had, and in the end what it has."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.clock import VirtualClock
from fakes.queue import FakeQueue
from fakes.store import FakeStore
from modelsync.core.deletions import DeletionRules
from modelsync.core.facts import Fact, Published, SyncFinished
from modelsync.core.names import ModelId, Naming
from modelsync.ports import Message
from support.death import Died, Fate, before_each_call
from support.ledger import COMMIT, Files, Ledger, commit_file, fingerprint, read
from support.replica import BUCKET, INTERVAL_SECONDS, SETTLE_SECONDS, Replica

Step = tuple[Any, ...]
"""A verb of `Scene` and what it is called with."""

REPLICAS = 3
GRACE_SECONDS = 100.0
PATIENCE_ROUNDS = 40
LONE = "lone.onnx"
MODELS = ["alice", "bob", LONE]
NAMES = ["model.onnx", "config.json", "de/vocab.txt"]
ALL_OF_S3 = ["list", "scan", "uploads", "head", "get"]


def content(name: str, version: int) -> bytes:
    """All versions of a file have one size: nothing but the bytes tells them apart. Some are reused by others."""
    filler = (1 << 16) if name.endswith(".onnx") and version % 2 else 1
    return f"{version:04}".encode() * filler


class WatchedQueue(FakeQueue):
    """Tells of each message before it is deleted, and of each call where a worker may die: its answer can be lost."""

    on_delete: Callable[[dict[str, Any]], None] = staticmethod(lambda _body: None)
    on_call: Callable[[str], None] = staticmethod(lambda _call: None)

    def receive(self, most: int) -> Sequence[Message]:
        messages = super().receive(most)
        self.on_call("receive")
        return messages

    def hide(self, messages: Sequence[Message], seconds: float) -> Sequence[Message]:
        self.on_call("hide")
        return super().hide(messages, seconds)

    def delete(self, messages: Sequence[Message]) -> None:
        self.on_call("delete")
        self._fail()
        for message in messages:
            if (stored := self._ours(message)) is not None:
                self.on_delete(json.loads(stored.body))
        super().delete(messages)


class Scene:
    """Three workers on one volume, the bucket, the queue between, and a ledger to judge them by."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.clock = VirtualClock()
        self.bucket = FakeStore(now=self.clock.now)
        self.queue = WatchedQueue(self.clock.now)
        self.queue.on_delete = self._deleted
        self.ledger = Ledger(self.bucket, Naming(), SETTLE_SECONDS)
        self.fate = Fate()
        self.queue.on_call = self.fate.tell
        self.busy: list[Replica] = []
        self.deaths = 0
        self.late: list[str] = []
        self.down = False
        self.published: dict[Path, dict[str, tuple[int, int, int, int]]] = {}
        self.linked: set[str] = set()
        self.replicas = [self._start() for _ in range(REPLICAS)]
        self.upload("anchor", 1, NAMES, "now", True)  # or the last deletion would leave the bucket empty

    def _start(self) -> Replica:
        replica = Replica(
            self.base, self.bucket, self.queue, self.clock, DeletionRules(grace_seconds=GRACE_SECONDS, max_fraction=1.0)
        )
        replica.on_fact = self._told
        replica.store.down = set(ALL_OF_S3) if self.down else set()
        return replica

    def do(self, step: Step) -> None:
        """Do a step."""
        getattr(self, step[0])(*step[1:])

    # The uploader

    def put(self, model: str, name: str, version: int, fate: str) -> None:
        """Upload one file."""
        key = model if model == LONE else f"{model}/{name}"
        self._put(model, key, content(key if model == LONE else name, version), fate)

    def upload(self, model: str, version: int, names: Sequence[str], fate: str, committed: bool) -> None:  # noqa: FBT001
        """Upload files, and perhaps a commit file after them."""
        for name in names:
            self.put(model, name, version, fate)
        if committed:
            self.commit(model, dict.fromkeys(names, version), fate)

    def commit(self, model: str, versions: dict[str, int], fate: str) -> None:
        """Upload a commit file, whether or not its files are there."""
        if model != LONE:
            files = {name: content(name, version) for name, version in versions.items()}
            self._put(model, f"{model}/{COMMIT}", commit_file(files), fate)

    def lie(self, model: str, version: int, fate: str) -> None:
        """Upload a whole version, and then a commit file that lists another one."""
        self.upload(model, version, NAMES, fate, committed=False)
        self.clock.advance(1.0)
        self.commit(model, dict.fromkeys(NAMES, version + 1), fate)

    def again(self, model: str, fate: str) -> None:
        """Upload everything once more."""
        for key, held in self._objects(model).items():
            self._put(model, key, held, fate)

    def remove(self, model: str, names: Sequence[str], fate: str) -> None:
        """Delete files."""
        for key in self._objects(model):
            if model == LONE or key.removeprefix(f"{model}/") in names:
                self.bucket.remove(key)
                self._happened(model, key, fate)

    def remove_all(self, model: str, fate: str) -> None:
        """Delete a model."""
        self.remove(model, [*NAMES, COMMIT], fate)

    def begin_upload(self, model: str) -> None:
        """Begin a multipart upload that goes on until the end."""
        self.bucket.begin_upload(model if model == LONE else f"{model}/model.onnx")
        self.ledger.upload_began(model)

    def _objects(self, model: str) -> Files:
        listing = self.bucket.list(model if model == LONE else f"{model}/").objects
        return {remote.key: self.bucket.content(remote.key) for remote in listing}

    def _put(self, model: str, key: str, held: bytes, fate: str) -> None:
        self.bucket.put(key, held)
        self._happened(model, key, fate)

    def _happened(self, model: str, key: str, fate: str) -> None:
        number = self.ledger.changed(model)
        event = {
            "eventTime": datetime.fromtimestamp(self.clock.now(), UTC).isoformat(),
            "s3": {"bucket": {"name": BUCKET}, "object": {"key": quote_plus(key)}},
            "test": {"model": model, "number": number},
        }
        body = json.dumps({"Records": [event]})
        if fate == "late":
            self.late.append(body)
        for _ in range({"now": 1, "twice": 2}.get(fate, 0)):
            self.queue.send(body)

    # Time and network

    def deliver(self, which: int) -> None:
        """Let an event arrive that was late."""
        if self.late:
            self.queue.send(self.late.pop(which % len(self.late)))

    def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(seconds)

    def s3(self, calls: Sequence[str], up: bool) -> None:  # noqa: FBT001
        """Take calls to S3 away from everybody, or give all back."""
        self.down = not up
        for replica in self.replicas:
            replica.store.down = set() if up else set(calls)

    def sqs(self, up: bool) -> None:  # noqa: FBT001
        """Take the queue away, or give it back."""
        self.queue.outage = not up

    def break_call(self, which: int, call: str, nth: int, fault: str) -> None:
        """Let the n-th call of a kind from now on go wrong."""
        self.replicas[which].store.plan(call, *[None] * nth, fault)  # type: ignore[arg-type]

    def during(self, which: int, call: str, nth: int, step: Step) -> None:
        """Let a step happen in the midst of a worker's n-th call from now on."""
        self.replicas[which].store.plan(call, *[None] * nth, lambda: self.do(step))

    def intrude(self, call: str, nth: int, first: Step, then: Step, its_pass: Step) -> None:
        """Let one thing be uploaded, and another one while a worker is at the first."""
        self.do(first)
        self.clock.advance(SETTLE_SECONDS)
        self.during(its_pass[1], call, nth, then)
        self.do(its_pass)

    def crowd(self, first: Step, then: Step, its_pass: Step, others_pass: Step) -> None:
        """Let one thing be uploaded, and while a worker is at it another one, of which another worker hears."""
        self.do(first)
        self.clock.advance(SETTLE_SECONDS)
        later = iter([then, others_pass])
        self.replicas[its_pass[1]].store.plan("get", lambda: [self.do(step) for step in later] and None)
        self.do(its_pass)

    def come_back(self, model: str, nth: int, then: Step, its_pass: Step) -> None:
        """Let a model leave, and return when a worker is about to withdraw it."""
        self.remove_all(model, "now")
        self.turn(its_pass[1], SETTLE_SECONDS)
        self.clock.advance(GRACE_SECONDS)
        self.during(its_pass[1], "list", nth, then)
        self.do(its_pass)

    # Workers

    def turn(self, which: int, seconds: float) -> None:
        """Receive, wait, work, and delete messages."""
        self._act(which, lambda replica: replica.receive())
        self.clock.advance(seconds)
        self._act(which, lambda replica: replica.work())
        self._act(which, lambda replica: replica.keep())

    def receive(self, which: int) -> None:
        self._act(which, lambda replica: replica.receive())

    def work(self, which: int) -> None:
        self._act(which, lambda replica: replica.work())

    def keep(self, which: int) -> None:
        self._act(which, lambda replica: replica.keep())

    def reconcile(self, which: int, pace: int) -> None:
        self._act(which, lambda replica: replica.reconcile(pace))

    def stop(self, which: int) -> None:
        """Send SIGTERM."""
        replica = self.replicas[which]
        replica.stop.set()
        if replica not in self.busy:
            self._restart(replica)

    def doom(self, step: int, first: Step, its_pass: Step) -> None:
        """Let a worker die at a step of its pass, when it has something to do."""
        self.do(first)
        self.clock.advance(SETTLE_SECONDS)
        self.fate.doom(self.replicas[its_pass[1]], step)
        self.do(its_pass)
        self.fate.spare()

    def _act(self, which: int, action: Callable[[Replica], None]) -> None:
        before = self.fate.acting
        idle = [replica for replica in self.replicas if replica not in self.busy]
        if not idle:
            return
        replica = self.replicas[which] if self.replicas[which] in idle else idle[0]
        self.busy.append(replica)
        self.fate.acting = replica
        try:
            action(replica)
        except Died:
            self.fate.spare()
            self.deaths += 1
            self._replace(replica)
        finally:
            self.fate.acting = before
            self.busy.remove(replica)
        if replica.stop.is_set() and replica in self.replicas:
            self._restart(replica)

    def _restart(self, replica: Replica) -> None:
        consumer = replica.consumer
        held = consumer._held.keys() - {delivery.message.receipt for delivery in consumer._settled}
        replica.end()
        if not self.queue.outage:
            hidden = {stored.receipt for stored in self.queue._messages if stored.visible_at > self.clock.now()}
            assert not held & hidden, "messages in hand go back at once"
        self._replace(replica)

    def _replace(self, replica: Replica) -> None:
        replica.fetcher.close()
        self.replicas[self.replicas.index(replica)] = self._start()

    # Judgement

    def _told(self, fact: Fact) -> None:
        if isinstance(fact, SyncFinished):
            self._agree(fact.model)
        if isinstance(fact, Published):
            seen = read(self.base, fact.model)
            assert seen is not None
            assert self.ledger.is_now(fact.model, seen), f"{fact.model} was published though it had changed meanwhile"

    def _agree(self, model: str) -> None:
        published = self.replicas[0].volume.published(ModelId(model))
        self.ledger.agree(model, read(self.base, model), published)

    def _deleted(self, body: dict[str, Any]) -> None:
        for record in body["Records"]:
            model, number = record["test"]["model"], record["test"]["number"]
            assert self.ledger.agreed(model) >= number, f"change {number} of {model} is forgotten"

    def judge(self) -> None:
        """Hold the volume against the contract's invariants."""
        linked = set()
        for model in ["anchor", *MODELS]:
            self._agree(model)
            seen = read(self.base, model)
            if seen is None:
                continue
            linked.add(model)
            assert self.ledger.may_be_seen(model, seen), f"{model} is a mixture: {sorted(seen)}"
            revision = next(p for p in (self.base / model).resolve().parents if p.parent.name == "revisions")
            self.published.setdefault(revision, fingerprint(revision))
        for revision, was in self.published.items():
            assert fingerprint(revision) == was, f"{revision} was changed"
        for model in self.linked - linked:
            assert self.ledger.may_be_withdrawn(model, GRACE_SECONDS), f"{model} was withdrawn"
        self.linked = linked

    # The end

    def end(self) -> None:
        """Let outages be over and the uploader finish; then the volume becomes the bucket, in a bounded time."""
        self.fate.spare()
        for replica in list(self.replicas):
            self._replace(replica)  # no fault is left
        self.s3((), up=True)
        self.sqs(up=True)
        for model in MODELS:
            with suppress(KeyError):
                self.bucket.end_upload(model if model == LONE else f"{model}/model.onnx")
            self.ledger.upload_ended(model)
            newest = self.ledger.states(model)[-1]
            if not newest.absent and newest.wanted is None:
                files = {key.removeprefix(f"{model}/"): held for key, held in self._objects(model).items()}
                files.pop(COMMIT, None)
                self._put(model, f"{model}/{COMMIT}", commit_file(files), "lost")
        for _ in range(PATIENCE_ROUNDS):
            if self._quiet():
                break
            self.deliver(0)
            for which in range(REPLICAS):
                self.turn(which, 3.0)
                self.reconcile(which, 1)
                self.keep(which)
            self.pass_time(INTERVAL_SECONDS)
            self.judge()
        else:
            pytest.fail(f"never quiet: {self.queue.bodies}, {[r.board.models() for r in self.replicas]}")

    def _quiet(self) -> bool:
        marked, found = self.replicas[0].compare()
        return not marked and not found.absent and not self.queue.bodies and not self.late

    def compare(self) -> None:
        """Hold the volume against the bucket."""
        wanted = {model: self.ledger.states(model)[-1].wanted for model in ["anchor", *MODELS]}
        assert {model: read(self.base, model) for model in wanted} == wanted
        assert sorted(os.listdir(self.base)) == sorted([".modelsync", *(m for m in wanted if wanted[m] is not None)])
        own = self.base / ".modelsync"
        for name in os.listdir(own):  # what a death left in nobody's room is swept once it is old
            os.utime(own / name, (0, 0), follow_symlinks=False)
        self.replicas[0].volume.sweep()
        names = [path.relative_to(self.base).as_posix() for path in self.base.rglob("*")]
        assert not [name for name in names if ".tmp-" in name or "/staging" in name]
        for model in wanted:
            assert self.replicas[0].verify(model).findings == (), self.replicas[0].verify(model)


models = st.sampled_from(["alice", *MODELS])
names = st.sampled_from(NAMES)
versions = st.integers(1, 3)
fates = st.sampled_from(["now", "now", "twice", "late", "lost"])
which = st.integers(0, REPLICAS - 1)
some_names = st.lists(names, min_size=1, unique=True)


def step(verb: str, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Step]:
    return st.tuples(st.just(verb), *arguments)


uploads = st.one_of(
    step("put", models, names, versions, fates),
    step("upload", models, versions, some_names, fates, st.booleans()),
    step("upload", models, versions, st.just(NAMES), fates, st.booleans()),
    step("commit", models, st.dictionaries(names, versions, max_size=3).map({"model.onnx": 1}.__or__), fates),
    step("again", models, fates),
    step("lie", models, versions, fates),
    step("remove", models, st.lists(st.sampled_from([*NAMES, COMMIT]), min_size=1, unique=True), fates),
    step("remove_all", models, fates),
    step("begin_upload", models),
)
passes = st.one_of(
    step("turn", which, st.sampled_from([0.0, 2.0, 3.0])),
    step("turn", which, st.just(3.0)),
    step("reconcile", which, st.integers(1, 4)),
    step("receive", which),
    step("work", which),
    step("keep", which),
)
network = st.one_of(
    step("deliver", st.integers(0, 9)),
    step("pass_time", st.sampled_from([0.5, 2.0, 31.0, GRACE_SECONDS])),
    step("s3", st.lists(st.sampled_from(ALL_OF_S3), min_size=1, unique=True), st.booleans()),
    step("sqs", st.booleans()),
)
calls = st.sampled_from(["list", "list", "get", "get", "scan", "head", "uploads"])
surprises = st.one_of(
    step("break_call", which, calls, st.integers(0, 3), st.sampled_from(["refuse", "break"])),
    step("during", which, calls, st.integers(0, 3), st.one_of(uploads, passes, network, step("stop", which))),
    step("during", which, st.just("get"), st.integers(0, 1), step("reconcile", which, st.integers(1, 2))),
    step("doom", st.integers(1, 60), uploads, step("reconcile", which, st.integers(1, 4))),
    step("doom", st.integers(1, 60), uploads, passes),
    step("intrude", calls, st.integers(0, 3), uploads, uploads, passes),
    step("intrude", st.just("get"), st.integers(0, 1), uploads, uploads, step("reconcile", which, st.just(1))),
    step("crowd", uploads, uploads, step("turn", which, st.just(3.0)), step("turn", which, st.just(3.0))),
    step("come_back", models, st.integers(0, 2), uploads, step("turn", which, st.just(3.0))),
    step("stop", which),
)
stories = st.lists(st.one_of(uploads, passes, passes, network, surprises), min_size=12, max_size=60)


@pytest.mark.timeout(120 if settings().max_examples <= 1000 else 0)
@settings(max_examples=settings().max_examples * 3 // 4)
@given(story=stories)
def test_readers_see_what_the_bucket_had_and_in_the_end_what_it_has(story: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as base, pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)  # nobody pulls the plug here, and it takes long
        scene = Scene(Path(base))
        undo = before_each_call(scene.fate.tell)
        try:
            for step in story:
                scene.do(step)
                scene.judge()
            scene.end()
            scene.compare()
        finally:
            undo()
            for replica in scene.replicas:
                replica.fetcher.close()
            shutil.rmtree(base)
            Path(base).mkdir()
