"""What applications and people are told, and whom nothing is sent to."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from modelsync.core import facts
from modelsync.core.addresses import refusal
from modelsync.core.circuit import OPEN_SECONDS, THRESHOLD, Circuit
from modelsync.core.cluster import (
    SEEN_AT,
    Remark,
    Standing,
    Workload,
    aligned,
    annotate_patch,
    annotation_of,
    latest,
    overdue,
    remark,
    restart_patch,
)
from modelsync.core.damage import Finding, Kind
from modelsync.core.facts import Fact, Outcome
from modelsync.core.health import Status, notifications_check
from modelsync.core.live import Transfer, sync_event
from modelsync.core.names import ModelId
from modelsync.core.notices import (
    HOOK_VARIABLES,
    Activity,
    Happening,
    Origin,
    activity_of,
    cloud_event,
    hook_variables,
    notice_of,
    sighting,
)
from modelsync.core.objects import Revision
from modelsync.core.rollout import Consumer, Rollout, rollout

A, OLD, NEW = ModelId("de/alice"), Revision("0" * 32), Revision("1" * 32)
NOW = 1_700_000_000.5
ORIGIN = Origin("s3://models/my voices/", "/models")
PUBLISHED = facts.Published(A, NEW, "s1", OLD, 2, 10, NOW, NOW - 1, "why")
REJECTED = facts.RevisionRejected(A, NEW, "s1", "checksum", "bad bytes")
UNPUBLISHED = facts.Unpublished(A, NEW, "s1", "it left")


def test_a_publication_is_told_as_a_cloud_event() -> None:
    notice = notice_of(PUBLISHED, 0.0)
    assert notice is not None
    event = cloud_event(notice, ORIGIN)
    assert event == {
        "specversion": "1.0",
        "id": notice.id,
        "source": "s3://models/my%20voices/",
        "type": "io.modelsync.model.published",
        "subject": "de/alice",
        "time": "2023-11-14T22:13:20.500Z",
        "datacontenttype": "application/json",
        "data": {
            "model": "de/alice",
            "revision": NEW,
            "previous": OLD,
            "path": "/models/de/alice",
            "reason": "why",
            "published_at": "2023-11-14T22:13:20.500Z",
            "event_at": "2023-11-14T22:13:19.500Z",
            "files": 2,
            "size_bytes": 10,
            "pinned": False,
            "rolled_back": False,
        },
    }
    assert json.loads(json.dumps(event)) == event


def test_a_publication_tells_who_signed_it() -> None:
    notice = notice_of(replace(PUBLISHED, signer="CN=build server"), 0.0)
    assert notice is not None
    assert cloud_event(notice, ORIGIN)["data"]["signer"] == "CN=build server"


def test_a_machine_can_tell_a_rollback() -> None:
    notice = notice_of(replace(PUBLISHED, pinned=True, rolled_back=True), 0.0)
    assert notice is not None
    data = cloud_event(notice, ORIGIN)["data"]
    assert (data["pinned"], data["rolled_back"]) == (True, True)
    variables = hook_variables(notice, ORIGIN)
    assert (variables["MODELSYNC_PINNED"], variables["MODELSYNC_ROLLED_BACK"]) == ("true", "true")


def test_what_another_process_published_has_the_id_that_it_has_there() -> None:
    told = notice_of(PUBLISHED, 0.0)
    seen = facts.PublicationSeen(A, NEW, OLD, NOW, pinned=True, rolled_back=True)
    found = sighting(seen)
    assert told is not None
    assert (found.id, found.at, found.previous) == (told.id, told.at, OLD)
    assert (found.pinned, found.rolled_back) == (True, True)
    assert notice_of(seen, NOW) is None, "who published it tells of it"
    assert activity_of(seen, 9.0) == Activity(
        NOW, "published", "rolled back by another process; found by a comparison", A, NEW
    )
    other = activity_of(replace(seen, rolled_back=False), 9.0)
    assert other is not None
    assert other.reason == "published by another process; found by a comparison"


@pytest.mark.parametrize(
    ("fact", "kind", "data"),
    [
        (REJECTED, "rejected", {"reason": "bad bytes", "rule": "checksum"}),
        (UNPUBLISHED, "unpublished", {"reason": "it left"}),
        (facts.ModelEvicted(A, NEW, "room is needed"), "unpublished", {"reason": "room is needed"}),
    ],
)
def test_refusals_and_withdrawals_are_told(fact: Fact, kind: str, data: dict[str, str]) -> None:
    notice = notice_of(fact, NOW)
    assert notice is not None
    event = cloud_event(notice, ORIGIN)
    assert (event["type"], event["time"]) == (f"io.modelsync.model.{kind}", "2023-11-14T22:13:20.500Z")
    assert event["data"] == {"model": A, "revision": NEW, "path": "/models/de/alice"} | data


@pytest.mark.parametrize(("at", "told"), [(1e18, "9999-12-31T23:59:59.000Z"), (-1e18, "1970-01-01T00:00:00.000Z")])
def test_a_time_that_no_date_can_tell_does_no_harm(at: float, told: str) -> None:
    notice = notice_of(replace(PUBLISHED, event_at=at), 0.0)
    assert notice is not None
    assert cloud_event(notice, ORIGIN)["data"]["event_at"] == told


def test_a_notice_has_one_id_for_ever_and_another_happening_another() -> None:
    ids = [notice_of(PUBLISHED, now) for now in (1.0, 2.0)]
    assert ids[0] == ids[1]
    others = [
        PUBLISHED,
        replace(PUBLISHED, revision=OLD),
        replace(PUBLISHED, published_at=NOW + 1),
        REJECTED,
        UNPUBLISHED,
    ]
    assert len({notice.id for fact in others if (notice := notice_of(fact, NOW)) is not None}) == len(others)


def test_the_variables_of_a_hook_are_all_and_only_those_that_are_named() -> None:
    notice = notice_of(REJECTED, NOW)
    assert notice is not None
    variables = hook_variables(notice, Origin("s3://b/", "/models/"))
    assert set(variables) == HOOK_VARIABLES
    assert variables["MODELSYNC_EVENT"] == Happening.REJECTED
    assert (variables["MODELSYNC_PATH"], variables["MODELSYNC_RULE"]) == ("/models/de/alice", "checksum")
    assert variables["MODELSYNC_PREVIOUS"] == ""
    assert (variables["MODELSYNC_PINNED"], variables["MODELSYNC_ROLLED_BACK"]) == ("", "")


def finished(outcome: Outcome, *, overdue: bool = False) -> facts.SyncFinished:
    return facts.SyncFinished(A, "s1", outcome, "why", 0.5, overdue=overdue)


@pytest.mark.parametrize(
    ("fact", "wanted"),
    [
        (PUBLISHED, Activity(NOW, "published", "why", A, NEW)),
        (REJECTED, Activity(9.0, "rejected", "bad bytes", A, NEW)),
        (finished(Outcome.ERROR), Activity(9.0, "failed", "why", A)),
        (finished(Outcome.WAITING, overdue=True), Activity(9.0, "overdue", "why", A)),
        (finished(Outcome.WAITING), None),
        (finished(Outcome.NOOP), None),
        (facts.FetchStarted(A, NEW, "s1", 2, 10, "why"), Activity(9.0, "downloading", "why", A, NEW)),
        (facts.Pinned(A, NEW, "why"), Activity(9.0, "pinned", "why", A, NEW)),
        (facts.Unpinned(A, NEW, "why"), Activity(9.0, "unpinned", "why", A, NEW)),
        (facts.ModelGone(A, 1.0, "why"), Activity(9.0, "gone", "why", A)),
        (facts.ModelBack(A), Activity(9.0, "back", "it is in the bucket again", A)),
        (
            facts.DamageFound(A, NEW, Finding(Kind.CHECKSUM, "m.onnx", "0", "f"), seen=True),
            Activity(9.0, "damaged", str(Finding(Kind.CHECKSUM, "m.onnx", "0", "f")), A, NEW),
        ),
        (facts.ReconcileFailed("why"), Activity(9.0, "reconcile failed", "why")),
        (facts.ServiceStarted("1", "b", (), "/m", 80), Activity(9.0, "started", "version 1")),
        (facts.ServiceStopping("why"), Activity(9.0, "stopping", "why")),
        (facts.BytesFetched(A, "s1", 5), None),
    ],
)
def test_activity_is_what_matters_to_people(fact: Fact, wanted: Activity | None) -> None:
    assert activity_of(fact, 9.0) == wanted


def test_a_sync_is_sent_to_live_pages_when_it_begins_and_ends() -> None:
    begun = sync_event(facts.SyncStarted(A, "s1", "event"))
    assert begun == {"model": A, "sync_id": "s1", "state": "syncing", "reason": "event"}
    assert (sync_event(finished(Outcome.NOOP)) or {})["state"] == "noop"
    assert sync_event(PUBLISHED) is None


def test_a_transfer_is_complete_with_its_last_byte() -> None:
    transfer = Transfer(A, NEW, "s1", 10, 9)
    assert not transfer.complete
    assert replace(transfer, have_bytes=10).complete
    assert transfer.event() == {"model": A, "revision": NEW, "sync_id": "s1", "size_bytes": 10, "have_bytes": 9}


def test_a_circuit_opens_after_failures_in_a_row_and_lets_one_attempt_through_later() -> None:
    circuit = Circuit()
    for second in range(THRESHOLD):
        assert (circuit.open, circuit.wait_seconds(second)) == (False, 0.0)
        circuit = circuit.failed(second)
    assert circuit.open
    last = THRESHOLD - 1
    assert circuit.wait_seconds(last + 10) == OPEN_SECONDS - 10
    assert circuit.wait_seconds(last + OPEN_SECONDS) == 0.0
    again = circuit.failed(last + OPEN_SECONDS)
    assert again.wait_seconds(last + OPEN_SECONDS) == OPEN_SECONDS


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("169.254.169.254", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("::ffff:169.254.169.254", "link-local"),
        ("64:ff9b::a9fe:a9fe", "link-local"),
        ("2002:a9fe:a9fe::1", "link-local"),
        ("fd00:ec2::254", "metadata"),
        ("fd20:ce::254", "metadata"),
        ("100.100.100.200", "metadata"),
        ("168.63.129.16", "metadata"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("0.0.0.0", "no host"),
        ("::", "no host"),
        ("255.255.255.255", "no host"),
    ],
)
def test_no_webhook_goes_there(address: str, reason: str) -> None:
    assert reason in (refusal(address) or "")


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "::1", "10.1.2.3", "192.168.0.1", "fd12::1", "93.184.216.34", "2606::1"]
)
def test_webhooks_may_go_there(address: str) -> None:
    assert refusal(address) is None


def test_a_rollout_is_complete_when_every_consumer_runs_what_readers_see() -> None:
    one, two = Consumer("pod-1", NEW, 1.0), Consumer("pod-2", OLD, 1.0)
    assert rollout([one, two], NEW) == Rollout(2, 1, complete=False)
    assert rollout([one, replace(two, revision=NEW)], NEW) == Rollout(2, 2, complete=True)
    assert rollout([], NEW) == Rollout(0, 0, complete=False)
    assert rollout([one], None) == Rollout(1, 0, complete=False)


@pytest.mark.parametrize("name", ["alice", "de_DE.alice-2", "x" * 54])
def test_a_plain_name_is_part_of_its_annotation(name: str) -> None:
    assert annotation_of(ModelId(name)) == f"modelsync.io/revision-{name}"


def test_other_names_get_a_likeness_that_no_other_model_has() -> None:
    names = ["de/alice", "de-alice", "de alice", "Ü", "a.", "x" * 55, "x" * 56]
    found = [annotation_of(ModelId(name)) for name in names]
    assert len(set(found)) == len(names)
    assert found[0].startswith("modelsync.io/revision-de-alice-")
    for annotation in found:
        assert re.fullmatch(r"modelsync\.io/[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", annotation)


def workload(**annotations: str) -> Workload:
    return Workload("Deployment", "tts", "uid", annotations)


def test_a_restart_is_the_one_of_kubectl_and_puts_on_record_when_it_was() -> None:
    stamp = "2023-11-14T22:13:20.500Z"
    patch = restart_patch(workload(), NOW - 3, NOW)
    assert patch == {
        "metadata": {"annotations": {SEEN_AT: stamp}},
        "spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": stamp}}}},
    }


@pytest.mark.parametrize(
    ("stamp", "due"),
    [
        ("2023-11-14T22:13:20.500Z", False),
        ("2023-11-14T23:13:21+01:00", False),
        ("2023-11-14T22:13:20.498Z", True),
        ("yesterday", True),
        ("9999999-01-01", True),
    ],
)
def test_pods_that_were_restarted_since_are_not_restarted_again(stamp: str, due: bool) -> None:  # noqa: FBT001
    assert (restart_patch(workload(**{SEEN_AT: stamp}), NOW, NOW + 5) is not None) is due


def test_a_stamp_that_is_cut_to_milliseconds_is_of_the_publication_that_it_was_made_for() -> None:
    at = 1_700_000_000.123999
    patch = restart_patch(workload(), at, at)
    assert patch is not None
    assert restart_patch(workload(**patch["metadata"]["annotations"]), at, at) is None


def test_a_workload_gets_the_annotations_that_it_has_not() -> None:
    there = {annotation_of(A): NEW, annotation_of(ModelId("bob")): OLD}
    assert annotate_patch(workload(**there), {A: NEW}) is None
    assert annotate_patch(workload(**there), {A: NEW, ModelId("bob"): NEW}) == {
        "metadata": {"annotations": {annotation_of(ModelId("bob")): NEW}}
    }


@pytest.mark.parametrize(
    ("started_at", "stamp", "due"),
    [
        (NOW - 5, None, True),
        (NOW, None, False),
        (NOW - 5, "2023-11-14T22:13:20.500Z", False),
        (NOW - 5, "2023-11-14T22:13:20.400Z", True),
        (NOW, "2023-11-14T22:13:20.400Z", False),
    ],
)
def test_pods_are_overdue_that_nobody_started_since_a_publication(
    started_at: float,
    stamp: str | None,
    due: bool,  # noqa: FBT001
) -> None:
    annotations = {} if stamp is None else {SEEN_AT: stamp}
    assert overdue(Workload("Deployment", "tts", "uid", annotations, started_at), NOW) is due


def test_an_event_says_that_a_workload_was_behind() -> None:
    assert aligned("restarted", "a, b") == Remark(
        "Normal", "ModelsAligned", "restarted: it was behind what is published of a, b"
    )


def test_those_that_were_published_last_come_first() -> None:
    published = {ModelId(name): Standing(NEW, at) for name, at in {"a": 1.0, "b": 3.0, "c": 2.0, "d": 2.0}.items()}
    assert list(latest(published, 3)) == ["b", "c", "d"]


def test_an_event_on_a_workload_says_what_happened() -> None:
    notices = [
        notice_of(fact, NOW) for fact in (PUBLISHED, replace(PUBLISHED, rolled_back=True), REJECTED, UNPUBLISHED)
    ]
    assert [remark(notice, "annotated") for notice in notices if notice is not None] == [
        Remark("Normal", "ModelPublished", f"annotated: model de/alice is at revision {NEW}"),
        Remark("Normal", "ModelRolledBack", f"annotated: model de/alice is back at revision {NEW}"),
        Remark("Warning", "ModelRejected", f"revision {NEW} of model de/alice is refused: bad bytes"),
        Remark("Normal", "ModelUnpublished", "model de/alice is withdrawn: it left"),
    ]
    long = notice_of(replace(REJECTED, reason="x" * 5000), NOW)
    assert long is not None
    assert len(remark(long, "").message) == 1000


def test_receivers_that_cannot_be_told_degrade_health() -> None:
    assert notifications_check({})[0] is Status.HEALTHY
    status, reason = notifications_check({"webhook-2": "down", "webhook-1": "late"})
    assert (status, reason) == (Status.DEGRADED, "webhook-1: late; webhook-2: down")
