"""Workloads of the cluster are annotated or restarted, by an API on loopback."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fakes.clock import VirtualClock
from fakes.kubernetes_api import KubernetesApi
from modelsync.adapters.cluster import Cluster, ClusterOptions
from modelsync.app.align import Aligner
from modelsync.app.outbox import OutboxOptions
from modelsync.app.supervisor import Supervisor
from modelsync.app.teller import Teller
from modelsync.config import load
from modelsync.core import facts
from modelsync.core.cluster import Standing
from modelsync.core.facts import Fact
from modelsync.core.health import Status
from modelsync.core.manifest import Reconciled
from modelsync.core.names import ModelId
from modelsync.core.notices import Notice, notice_of
from modelsync.core.objects import Revision
from modelsync.core.status import ModelStatus, State
from modelsync.errors import ConfigurationError, NoticeRefused, NotTold, Stopped
from modelsync.service.telling import build_teller
from support.worker import until

R = Revision("1" * 32)
REJECTED = facts.RevisionRejected(ModelId("alice"), R, "s", "key", "bad bytes")


@pytest.fixture
def account(tmp_path: Path) -> Path:
    return tmp_path / "serviceaccount"


@pytest.fixture
def api(account: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KubernetesApi]:
    with KubernetesApi(account) as server:
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.port))
        server.add("deployments", "tts", "app=tts")
        server.add("deployments", "other", "app=other")
        server.add("statefulsets", "tts-gpu", "app=tts")
        server.add("daemonsets", "tts-edge", "app=tts")
        yield server


def ignore(_: Fact) -> None:
    pass


def cluster(
    account: Path,
    mode: Any,
    clock: VirtualClock | None = None,
    selector: str = "app=tts",
    observe: Callable[[Fact], None] = ignore,
) -> Cluster:
    return Cluster(ClusterOptions(mode, selector, account), clock or VirtualClock(), observe)


def published(model: str = "alice", at: float = 1_700_000_000.0) -> facts.Published:
    return facts.Published(ModelId(model), R, "s", None, 2, 10, at, None, "why")


def notice(fact: Fact | None = None) -> Notice:
    made = notice_of(fact or published(), 1_700_000_000.0)
    assert made is not None
    return made


def test_a_publication_is_put_on_what_the_selector_names(api: KubernetesApi, account: Path) -> None:
    cluster(account, "annotate").tell(notice(), lambda: None)
    patch = {"metadata": {"annotations": {"modelsync.io/revision-alice": R}}}
    assert sorted(api.patches) == [
        ("daemonsets", "tts-edge", patch),
        ("deployments", "tts", patch),
        ("statefulsets", "tts-gpu", patch),
    ]
    assert {(one["involvedObject"]["kind"], one["involvedObject"]["uid"]) for one in api.events} == {
        ("Deployment", "uid-of-tts"),
        ("StatefulSet", "uid-of-tts-gpu"),
        ("DaemonSet", "uid-of-tts-edge"),
    }
    assert api.events[0]["message"] == f"annotated: model alice is at revision {R}"
    assert api.events[0]["reason"] == "ModelPublished"


def test_ten_publications_in_a_moment_make_one_restart(api: KubernetesApi, account: Path) -> None:
    clock = VirtualClock()
    told: list[Fact] = []
    supervisor = Supervisor(clock, on_failure=lambda _: None)
    teller = Teller(
        [cluster(account, "restart", clock)], clock=clock, observe=told.append, options=OutboxOptions(waiting=100)
    )
    for number in range(10):
        teller(published(f"voice-{number}", clock.now()))
    teller.start(supervisor)

    def ended() -> int:
        return sum(isinstance(fact, facts.NoticeTold) for fact in told)

    until(lambda: ended() == 10, "the notices' end")
    assert len(api.patches) == 3, "each workload once"
    assert api.patches[0][2] == {
        "metadata": {"annotations": {"modelsync.io/seen-at": "2023-11-14T22:13:23.000Z"}},
        "spec": {
            "template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "2023-11-14T22:13:23.000Z"}}}
        },
    }
    clock.advance(10)
    teller(published("voice-0", clock.now()))
    until(lambda: ended() == 11, "the next one's end")
    assert len(api.patches) == 6, "what is published later is another restart"
    teller.finish(supervisor, 0.0)


@pytest.mark.parametrize("mode", ["annotate", "restart"])
def test_an_attempt_after_a_failure_repeats_nothing_that_went_well(
    api: KubernetesApi, account: Path, mode: str
) -> None:
    made = cluster(account, mode)
    api.failures = {5: 500}  # three lists and a patch go well, and so do the third patch and the Events
    with pytest.raises(NotTold, match="answered 500"):
        made.tell(notice(), lambda: None)
    assert [name for _, name, _ in api.patches] == ["tts", "tts-edge"], "one that fails holds up no other"
    for _ in range(2):
        made.tell(notice(), lambda: None)
    assert [name for _, name, _ in api.patches] == ["tts", "tts-edge", "tts-gpu"], "each pod is restarted once"
    assert [one["involvedObject"]["name"] for one in api.events] == ["tts", "tts-edge", "tts-gpu"]


def test_two_workers_that_tell_of_one_moment_restart_once(api: KubernetesApi, account: Path) -> None:
    clock = VirtualClock()
    for model in ("alice", "bob"):
        cluster(account, "restart", clock).tell(notice(published(model, 1_700_000_000.0)), lambda: None)
    assert len(api.patches) == 3


@pytest.mark.parametrize("mode", ["annotate", "restart"])
def test_without_the_right_to_make_events_all_workloads_are_seen_to(
    api: KubernetesApi, account: Path, mode: str
) -> None:
    api.forbidden = {"/events"}
    told: list[Fact] = []
    cluster(account, mode, observe=told.append).tell(notice(), lambda: None)
    assert len(api.patches) == 3
    assert len([one for one in api.seen if one.path.endswith("/events")]) == 1, "one refusal is enough"
    reason = "Kubernetes' API answered 403: see the Role in docs/notifications.md"
    assert told == [facts.WorkloadEventsLost("ModelPublished", 3, reason)]


def test_what_may_not_be_listed_holds_up_no_other(api: KubernetesApi, account: Path) -> None:
    api.forbidden = {"/deployments"}
    with pytest.raises(NotTold, match="answered 403"):
        cluster(account, "restart").tell(notice(), lambda: None)
    assert [name for _, name, _ in api.patches] == ["tts-gpu", "tts-edge"]
    with pytest.raises(NoticeRefused, match="Events could not be made: Kubernetes' API answered 403"):
        cluster(account, "restart").tell(notice(REJECTED), lambda: None)
    assert [one["involvedObject"]["name"] for one in api.events[2:]] == ["tts-gpu", "tts-edge"]
    api.forbidden = {"/deployments", "/statefulsets", "/daemonsets"}
    for fact in (published(), REJECTED):
        with pytest.raises(NotTold, match="answered 403"):
            cluster(account, "restart").tell(notice(fact), lambda: None)


@pytest.mark.parametrize("mode", ["annotate", "restart"])
@pytest.mark.parametrize(
    ("fact", "said"),
    [
        (REJECTED, ("Warning", "ModelRejected", f"revision {R} of model alice is refused: bad bytes")),
        (
            facts.Unpublished(ModelId("alice"), R, "s", "it left"),
            ("Normal", "ModelUnpublished", "model alice is withdrawn: it left"),
        ),
    ],
)
def test_rejections_and_withdrawals_are_told_by_events_alone(
    api: KubernetesApi, account: Path, mode: str, fact: Fact, said: tuple[str, str, str]
) -> None:
    cluster(account, mode).tell(notice(fact), lambda: None)
    assert not api.patches
    assert {one["involvedObject"]["name"] for one in api.events} == {"tts", "tts-gpu", "tts-edge"}
    assert {(one["type"], one["reason"], one["message"]) for one in api.events} == {said}


def test_a_rejection_whose_events_cannot_be_made_is_refused_not_repeated(api: KubernetesApi, account: Path) -> None:
    api.failures = {5: 500}
    told: list[Fact] = []
    with pytest.raises(NoticeRefused, match="Events could not be made: Kubernetes' API answered 500"):
        cluster(account, "annotate", observe=told.append).tell(notice(REJECTED), lambda: None)
    assert len(api.events) == 1
    assert [fact.count for fact in told if isinstance(fact, facts.WorkloadEventsLost)] == [2]


def test_a_rollback_is_told_as_one(api: KubernetesApi, account: Path) -> None:
    rolled_back = replace(published(), pinned=True, rolled_back=True)
    cluster(account, "restart").tell(notice(rolled_back), lambda: None)
    assert {(one["type"], one["reason"], one["message"]) for one in api.events} == {
        ("Normal", "ModelRolledBack", f"restarted: model alice is back at revision {R}")
    }


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (403, "answered 403: see the Role"),
        (401, "see the Role"),
        (500, "answered 500"),
        (429, "429"),
        (200, "cannot be asked"),  # no list of workloads
    ],
)
def test_an_api_that_refuses_or_fails_is_tried_again(api: KubernetesApi, account: Path, status: int, told: str) -> None:
    made = cluster(account, "annotate")
    api.failures = {1: status}
    with pytest.raises(NotTold, match=told):
        made.tell(notice(), lambda: None)
    assert len([one for one in api.seen if one.path.endswith("/deployments")]) == 1, "the client does not repeat it"


def test_an_api_that_is_not_there_is_tried_again(
    api: KubernetesApi, account: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "9")
    with pytest.raises(NotTold, match="cannot be asked"):
        cluster(account, "annotate").tell(notice(), lambda: None)


# Brought to what is published, whatever notices were lost.

AT = 1_700_000_000.0  # 2023-11-14T22:13:20Z


def standing(*models: str, at: float = AT) -> dict[ModelId, Standing]:
    return {ModelId(model): Standing(R, at) for model in models}


def test_annotations_that_differ_are_brought_in_line_and_nothing_else(api: KubernetesApi, account: Path) -> None:
    made = cluster(account, "annotate")
    made.tell(notice(published("alice")), lambda: None)
    api.patches.clear()
    api.events.clear()
    now = standing("alice", "bob")
    made.align(now, lambda: None)
    made.align(now, lambda: None)
    assert [patch for _, _, patch in api.patches] == [
        {"metadata": {"annotations": {"modelsync.io/revision-bob": R}}}
    ] * 3
    assert {(one["reason"], one["message"]) for one in api.events} == {
        ("ModelsAligned", "annotated: it was behind what is published of alice, bob")
    }
    api.patches.clear()
    now[ModelId("alice")] = Standing(Revision("2" * 32), AT + 1)
    made.align(now, lambda: None)
    assert {str(patch["metadata"]["annotations"]) for _, _, patch in api.patches} == {
        str({"modelsync.io/revision-alice": "2" * 32})
    }


def test_pods_that_are_older_than_a_publication_are_restarted_once(api: KubernetesApi, account: Path) -> None:
    clock = VirtualClock()
    clock.advance(10)
    api.add("deployments", "new", "app=tts", "2023-11-14T22:13:25Z")
    api.add("deployments", "by-hand", "app=tts")
    api.restart("deployments", "by-hand", "2023-11-14T23:13:26+01:00")
    made = cluster(account, "restart", clock)
    made.align({}, lambda: None)
    assert not api.seen
    for _ in range(2):
        made.align(standing("alice", "bob"), lambda: None)
    assert [name for _, name, _ in api.patches] == ["tts", "tts-gpu", "tts-edge"]
    api.strip()
    made.align(standing("alice", "bob"), lambda: None)
    assert [name for _, name, _ in api.patches[3:]] == ["by-hand"], "who takes annotations away makes no circle"


def test_a_notice_that_comes_late_finds_it_done(api: KubernetesApi, account: Path) -> None:
    made = cluster(account, "restart")
    made.align(standing("alice"), lambda: None)
    made.tell(notice(), lambda: None)
    assert len(api.patches) == 3


def test_what_is_published_most_recently_is_annotated_of_very_many(api: KubernetesApi, account: Path) -> None:
    many = {ModelId(f"voice-{number}"): Standing(R, AT + number) for number in range(1200)}
    cluster(account, "annotate").align(many, lambda: None)
    annotations = api.patches[0][2]["metadata"]["annotations"]
    assert len(annotations) == 1000
    assert "modelsync.io/revision-voice-200" in annotations


class Aligning:
    """A teller with its threads, in a process that compares."""

    def __init__(self, account: Path, mode: str) -> None:
        self.clock = VirtualClock()
        self.health: list[tuple[Status, str]] = []
        self.known: dict[ModelId, ModelStatus] = {}
        self.supervisor = Supervisor(self.clock, on_failure=lambda _: None)
        self.teller = Teller(
            [cluster(account, mode, self.clock)], clock=self.clock, observe=self.take, known=lambda: self.known
        )
        self.teller.start(self.supervisor)

    def take(self, fact: Fact) -> None:
        if isinstance(fact, facts.HealthChanged):
            self.health.append((fact.status, fact.reason))

    def compared(self) -> None:
        self.teller(facts.ReconcileFinished(Reconciled(0.0, 0, 0, 0, 0, 0), 0.1))

    def end(self) -> None:
        self.teller.finish(self.supervisor, 0.0)


@pytest.mark.parametrize("mode", ["annotate", "restart"])
def test_a_notice_that_a_kill_has_lost_is_made_up_for_after_the_next_comparison(
    api: KubernetesApi, account: Path, mode: str
) -> None:
    aligning = Aligning(account, mode)
    aligning.known = {
        ModelId("alice"): ModelStatus(ModelId("alice"), State.PUBLISHED, revision=R, published_at=AT),
        ModelId("bob"): ModelStatus(ModelId("bob"), State.REJECTED),
    }
    aligning.compared()
    until(lambda: len(api.events) == 3, "the workloads")
    assert [name for _, name, _ in api.patches] == ["tts", "tts-gpu", "tts-edge"]
    aligning.end()
    assert aligning.supervisor.failure is None


def test_a_look_that_fails_degrades_health_and_is_made_again(api: KubernetesApi, account: Path) -> None:
    api.failures = {1: 500}
    aligning = Aligning(account, "annotate")
    aligning.known = {ModelId("alice"): ModelStatus(ModelId("alice"), State.PUBLISHED, revision=R, published_at=AT)}
    aligning.compared()
    until(lambda: len(api.patches) == 3, "every workload")
    until(lambda: aligning.health[-1][0] is Status.HEALTHY, "health")
    reason = "kubernetes: it could not be compared with what is published: Kubernetes' API answered 500"
    assert (Status.DEGRADED, reason) in aligning.health
    aligning.end()


def test_a_cluster_where_nobody_follows_is_healthy(api: KubernetesApi, account: Path) -> None:
    made = Aligner(
        cluster(account, "annotate", selector="app=none"),
        lambda: {ModelId("a"): ModelStatus(ModelId("a"), State.PUBLISHED, revision=R, published_at=AT)},
        clock=VirtualClock(),
        changed=lambda: changes.append(1),
    )
    stop, changes = threading.Event(), list[int]()
    made(facts.ReconcileFinished(Reconciled(0.0, 0, 0, 0, 0, 0), 0.1))
    made.run(stop, lambda: stop.set() if changes else None)
    assert made.trouble is None


def test_two_do_not_see_to_the_workloads_at_the_same_moment(api: KubernetesApi, account: Path) -> None:
    made = cluster(account, "restart")

    def ending() -> None:
        raise Stopped("ending")

    made._lock.acquire()
    with pytest.raises(Stopped):
        made.align(standing("alice"), ending)
    assert not api.seen
    made._lock.release()


def test_a_selector_that_names_nothing_is_told(api: KubernetesApi, account: Path) -> None:
    with pytest.raises(NoticeRefused, match="in namespace voice-tts has the labels of KUBERNETES_SELECTOR"):
        cluster(account, "annotate", selector="app=none").tell(notice(), lambda: None)


def test_the_end_of_the_service_ends_the_wait_for_more(api: KubernetesApi, account: Path) -> None:
    def attend() -> None:
        raise Stopped("ending")

    with pytest.raises(Stopped):
        cluster(account, "restart").tell(notice(), attend)
    assert not api.seen


def test_outside_a_pod_it_is_a_configuration_error(account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="KUBERNETES_NOTIFY needs a service account's token"):
        cluster(account, "annotate")
    account.mkdir()
    (account / "namespace").write_text("n")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ConfigurationError, match="KUBERNETES_NOTIFY works in a pod alone"):
        cluster(account, "annotate")
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    with pytest.raises(ConfigurationError, match=r"the extra modelsync\[kubernetes\]"):
        cluster(account, "annotate")


def test_it_needs_a_selector_and_is_off_by_default() -> None:
    environment = {"S3_BUCKET_NAME": "models"}
    with pytest.raises(ConfigurationError, match="KUBERNETES_NOTIFY=restart needs KUBERNETES_SELECTOR"):
        load(environment | {"KUBERNETES_NOTIFY": "restart"})
    on = load(environment | {"KUBERNETES_NOTIFY": "restart", "KUBERNETES_SELECTOR": "app=tts"})
    with pytest.raises(ConfigurationError, match="service account"):
        build_teller(on.settings, lambda _: None)


def test_nothing_of_the_client_is_loaded_while_it_is_off() -> None:
    code = (
        "import sys; from modelsync.config import load; from modelsync.service.telling import build_teller;"
        "import modelsync.service.run; build_teller(load({'S3_BUCKET_NAME': 'models'}).settings, print);"
        "print([name for name in sys.modules if name.startswith(('kubernetes', 'modelsync.adapters.cluster'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"
