"""Facts as metrics, log lines and health."""

from __future__ import annotations

import json
import logging

import pytest

from fakes.clock import VirtualClock
from modelsync.app.board import Board
from modelsync.core import facts
from modelsync.core.damage import Finding, Kind
from modelsync.core.facts import Outcome
from modelsync.core.health import Status
from modelsync.core.manifest import Reconciled, Scrubbed
from modelsync.core.names import ModelId
from modelsync.core.objects import Revision
from modelsync.core.retention import Why
from modelsync.telemetry.logs import FactLogger, LogOptions, configure_logging
from modelsync.telemetry.metrics import TABLE, Metrics

A, R = ModelId("a"), Revision("r" * 32)
ROTTEN = Finding(Kind.CHECKSUM, "m.onnx", "0" * 16, "f" * 16)
PUBLISHED = facts.Published(A, R, "s", None, 2, 10, 105.0, 100.0, "why", received_at=102.0)


def finished(outcome: Outcome, reason: str = "why") -> facts.SyncFinished:
    return facts.SyncFinished(A, "s", outcome, reason, 0.5, R, {"list": 0.1})


ALL = [
    facts.ModelEvicted(A, R, "why"),
    facts.SyncStarted(A, "s", "why"),
    facts.FetchStarted(A, R, "s", 2, 10, "why"),
    facts.BytesResumed(A, "s", 5),
    facts.BytesReused(A, "s", "m.onnx", 5, "link"),
    facts.ReuseRefused(A, R, "s", ROTTEN),
    facts.BytesFetched(A, "s", 10),
    facts.RequestRetried(A, "s", "m.onnx", "why", 1, 0.5),
    facts.FileVerified(A, R, "s", "m.onnx", 10, "crc64nvme"),
    PUBLISHED,
    facts.Pinned(A, R, "why", rolled_back=True),
    facts.Unpinned(A, R, "why"),
    facts.SignatureJudged(A, R, "s", "sha256:ab", None),
    facts.SignatureJudged(A, R, "s", None, "why"),
    facts.ModelGone(A, 1.0, "why"),
    facts.ModelBack(A),
    facts.Unpublished(ModelId("d"), R, "s", "why"),
    facts.DeletionsReviewed(2, held=True),
    facts.RevisionRejected(A, R, "s", "key", "why"),
    facts.KeyRefused("why"),
    finished(Outcome.SUCCESS),
    facts.ModelKnown(A, R, 1.0),
    facts.PublicationSeen(A, R, None, 1.0, pinned=True, rolled_back=True),
    facts.RefusalKnown(ModelId("b"), "why"),
    facts.ModelAbsent(ModelId("c")),
    facts.PushStage(A, "upload", 2, 10),
    facts.BytesRead(A, 10),
    facts.BytesSent(A, 10),
    facts.FileUploaded(A, "m.onnx", 10, "why"),
    facts.UploadLeft(A, "m.onnx", "why"),
    facts.NoticeTold("webhook-1 (https://h/…)", "n", A, "published", 1),
    facts.NoticeDelayed("webhook-1 (https://h/…)", "n", A, "why", 1, 0.5),
    facts.NoticeLost("webhook-1 (https://h/…)", "n", A, "published", "dropped", "why"),
    facts.WorkloadEventsLost("ModelPublished", 2, "why"),
    facts.HookRan("notify", A, "failed", 3, 0.5, "said"),
    facts.CheckerReady("why"),
    facts.CheckerFailed("gate-crash", "why", "m.onnx"),
    facts.GateWarned(A, "s", "json", "why"),
    facts.EventHandled("q", "published"),
    facts.MessageUnparsable("q", "why", "digest"),
    facts.StoreCalled("GetObject", "ok"),
    facts.QueueReceiveFailed("q", "why"),
    facts.HealthChanged("s3", Status.DEGRADED, "why"),
    facts.VolumeMeasured(10, 5, reconciled=True),
    facts.RevisionRemoved(A, R, Why.SUPERSEDED, "why", 7),
    facts.LeasesSeen({A: 2}),
    facts.DamageFound(A, R, ROTTEN, seen=True),
    facts.BytesScrubbed(7),
    facts.ScrubFinished(Scrubbed(1.0, files=1, finished_at=3.0)),
    facts.ScrubFailed("why"),
    facts.VolumeCallFailed("full"),
    facts.VolumeTried(Status.HEALTHY, "why"),
    facts.VolumeRefused(A, "why"),
    facts.ReconcileStarted("why"),
    facts.ReconcileFinished(Reconciled(1.0, 1, 2, 3, 4), 0.5),
    facts.ReconcileFailed("why"),
    facts.ServiceStarted("1", "b", ("q",), "/models", 8080),
    facts.ServiceStopping("why"),
]


@pytest.fixture
def board() -> Board:
    return Board(VirtualClock())


def test_the_list_above_has_every_kind_of_fact() -> None:
    assert {type(fact) for fact in ALL} == set(facts.Fact.__args__)


def test_facts_become_the_metrics_of_the_table(board: Board) -> None:
    metrics = Metrics(board.models)
    for fact in ALL:
        board(fact)
        metrics(fact)
    text = metrics.render().decode()
    for spec in TABLE:
        assert f"# TYPE {spec.name} {spec.kind}" in text
    for line in (
        'modelsync_sync_total{outcome="success"} 1.0',
        "modelsync_event_to_publish_seconds_sum 5.0",
        "modelsync_event_to_receive_seconds_sum 2.0",
        "modelsync_receive_to_publish_seconds_sum 3.0",
        'modelsync_model_event_to_publish_seconds{model="a"} 5.0',
        'modelsync_events_total{outcome="published",queue="q"} 1.0',
        'modelsync_queue_receive_errors_total{queue="q"} 1.0',
        "modelsync_downloaded_bytes_total 10.0",
        'modelsync_s3_requests_total{operation="GetObject",outcome="ok"} 1.0',
        'modelsync_verified_files_total{proof="crc64nvme"} 1.0',
        'modelsync_rejected_total{reason="key"} 1.0',
        "modelsync_unpublished_total 1.0",
        'modelsync_notices_total{outcome="told",receiver="webhook-1"} 1.0',
        'modelsync_notices_total{outcome="dropped",receiver="webhook-1"} 1.0',
        'modelsync_notice_retries_total{receiver="webhook-1"} 1.0',
        'modelsync_hook_runs_total{hook="notify",outcome="failed"} 1.0',
        'modelsync_hook_duration_seconds_sum{hook="notify"} 0.5',
        "modelsync_tombstones 2.0",
        "modelsync_deletions_held 1.0",
        'modelsync_models{state="published"} 1.0',
        f'modelsync_model_info{{model="a",revision="{R}"}} 1.0',
        'modelsync_volume_bytes{kind="free"} 5.0',
        'modelsync_volume_errors_total{reason="full"} 1.0',
        "modelsync_last_reconcile_success_timestamp_seconds 1.0",
        'modelsync_damaged_files_total{kind="crc64nvme"} 2.0',
        "modelsync_scrubbed_bytes_total 7.0",
        "modelsync_last_scrub_success_timestamp_seconds 3.0",
    ):
        assert line in text


def test_a_published_model_that_is_replaced_leaves_no_series_behind(board: Board) -> None:
    metrics = Metrics(board.models)
    board(PUBLISHED)
    board(facts.Published(A, Revision("q" * 32), "s", R, 2, 10, 105.0, None, "why"))
    assert metrics.render().decode().count("modelsync_model_info{") == 1


def test_how_old_the_view_of_a_model_is_shows_unless_it_is_pinned(board: Board) -> None:
    metrics = Metrics(board.models)
    series = 'modelsync_model_synced_timestamp_seconds{model="a"}'
    board(PUBLISHED)
    assert series not in metrics.render().decode()
    board(facts.SyncFinished(A, "s", facts.Outcome.NOOP, "as in the bucket", 0.1, R, {}))
    [line] = [line for line in metrics.render().decode().splitlines() if line.startswith(series)]
    assert float(line.removeprefix(series)) == board.models()[A].synced_at
    board(facts.Pinned(A, R, "why", rolled_back=False))
    assert series not in metrics.render().decode()


def test_the_board_knows_states_and_reasons(board: Board) -> None:
    board(facts.SyncStarted(A, "s", "why"))
    assert board.models()[A].state == "syncing"
    board(PUBLISHED)
    board(finished(Outcome.SUCCESS))
    assert (board.models()[A].state, board.models()[A].revision) == ("published", R)
    board(finished(Outcome.REJECTED, "bad bytes"))
    assert (board.models()[A].state, board.models()[A].reason) == ("rejected", "bad bytes")
    assert board.checks()["sync"].status is Status.DEGRADED
    assert "a: bad bytes" in board.checks()["sync"].reason
    board(finished(Outcome.NOOP))
    assert board.models()[A].reason is None
    assert board.checks()["sync"].status is Status.HEALTHY


def test_a_key_that_names_no_model_leaves_nothing_on_the_board(board: Board) -> None:
    board(facts.SyncStarted(A, "s", "why"))
    board(facts.SyncFinished(A, "s", Outcome.NOOP, "why", 0.5))
    assert A not in board.models()


def test_a_refused_model_is_known_without_a_sync_until_it_leaves_the_bucket(board: Board) -> None:
    board(facts.RefusalKnown(A, "bad bytes"))
    assert board.failing() == {A: "bad bytes"}
    board(facts.ModelAbsent(A))
    assert board.failing() == {}


@pytest.mark.parametrize(
    "end",
    [
        facts.ModelEvicted(A, R, "why"),
        facts.Unpublished(A, R, "s", "why"),
        facts.SignatureJudged(A, R, "s", "CN=x", None),
    ],
)
def test_a_model_that_readers_see_no_more_or_that_somebody_signed_is_not_told_as_unsigned(
    board: Board, end: facts.Fact
) -> None:
    board(facts.SignatureJudged(A, R, "s", None, "nobody signed it"))
    assert "nobody signed it" in board.checks()["signatures"].reason
    board(end)
    assert board.checks()["signatures"].reason == "every model that was judged is signed"


def test_a_comparison_that_finds_a_model_in_step_ends_an_older_failure(board: Board) -> None:
    board(finished(Outcome.ERROR, "no network"))
    board(facts.ModelKnown(A, R, 1.0))
    assert (board.models()[A].state, board.models()[A].reason) == ("failing", "no network")
    board(facts.ModelKnown(A, R, 1.0, in_step=True))
    assert (board.models()[A].state, board.models()[A].reason) == ("published", None)
    assert board.checks()["sync"].status is Status.HEALTHY


def test_a_comparison_does_not_hide_a_running_sync(board: Board) -> None:
    board(facts.SyncStarted(A, "s", "why"))
    board(facts.ModelKnown(A, R, 1.0, in_step=True))
    assert board.models()[A].state == "syncing"


def test_the_board_knows_how_old_its_view_of_a_model_is() -> None:
    clock = VirtualClock(1000.0)
    board = Board(clock)
    board(facts.SyncStarted(A, "s", "why", event_at=990.0))
    board(finished(Outcome.WAITING))
    assert (board.models()[A].event_at, board.models()[A].synced_at) == (990.0, None)
    clock.advance(5)
    board(facts.SyncStarted(A, "s", "retry"))
    board(finished(Outcome.SUCCESS))
    assert (board.models()[A].event_at, board.models()[A].synced_at) == (990.0, 1005.0)
    clock.advance(5)
    board(facts.ModelKnown(A, R, 1.0, in_step=True))
    assert board.models()[A].synced_at == 1010.0


def test_a_model_that_another_replica_published_is_on_the_board(board: Board) -> None:
    board(finished(Outcome.NOOP))
    assert board.models()[A].revision == R


def test_damage_that_readers_see_degrades_health_until_they_see_another_directory(board: Board) -> None:
    board(facts.DamageFound(A, R, ROTTEN, seen=False))
    board(facts.DamageFound(A, R, Finding(Kind.MODE, "m.onnx", "0444", "0644"), seen=True))
    assert board.checks()["scrub"].status is Status.HEALTHY
    board(facts.DamageFound(A, R, ROTTEN, seen=True))
    assert board.checks()["scrub"].status is Status.DEGRADED
    assert board.checks()["scrub"].reason == f"a: {ROTTEN} in revision {R}"
    board(PUBLISHED)
    assert board.checks()["scrub"].status is Status.HEALTHY
    board(facts.ModelKnown(A, R, 1.0, str(ROTTEN)))
    assert board.checks()["scrub"].status is Status.DEGRADED
    board(facts.ModelKnown(A, R, 1.0))
    assert board.checks()["scrub"].status is Status.HEALTHY


def test_the_board_follows_a_model_that_leaves(board: Board) -> None:
    board(facts.ModelKnown(A, R, 1.0))
    board(facts.ModelGone(A, 1.0, "it left"))
    assert (board.models()[A].state, board.models()[A].revision, board.gone()) == ("gone", R, {A: "it left"})
    board(facts.SyncStarted(A, "s", "why"))
    board(facts.ModelGone(A, 1.0, "it left, still"))
    board(finished(Outcome.NOOP))
    assert (board.models()[A].state, board.models()[A].reason) == ("gone", "it left, still")
    assert board.checks()["sync"].status is Status.HEALTHY
    board(facts.SyncStarted(A, "s", "why"))
    board(facts.Unpublished(A, R, "s", "why"))
    board(facts.SyncFinished(A, "s", Outcome.SUCCESS, "why", 0.5))
    assert (board.models(), board.gone()) == ({}, {})


@pytest.mark.parametrize("back", [facts.ModelBack(A), PUBLISHED, facts.ModelKnown(A, R, 1.0)])
def test_the_board_follows_a_model_that_comes_back(board: Board, back: facts.Fact) -> None:
    board(facts.ModelKnown(A, R, 1.0))
    board(facts.ModelGone(A, 1.0, "it left"))
    board(back)
    board(finished(Outcome.NOOP))
    assert (board.models()[A].state, board.models()[A].reason, board.gone()) == ("published", None, {})


def test_a_model_that_another_replica_withdrew_leaves_the_board(board: Board) -> None:
    board(facts.ModelKnown(A, R, 1.0))
    board(facts.ModelGone(A, 1.0, "it left"))
    board(facts.ModelAbsent(A))
    assert (board.models(), board.gone()) == ({}, {})


def test_a_model_that_waits_for_too_long_degrades_health_until_it_is_published(board: Board) -> None:
    board(facts.SyncFinished(A, "s", Outcome.WAITING, "1 of 2 files", 0.5))
    assert board.checks()["sync"].status is Status.HEALTHY
    board(facts.SyncFinished(A, "s", Outcome.WAITING, "1 of 2 files, overdue", 0.5, overdue=True))
    assert board.checks()["sync"].reason == "a: 1 of 2 files, overdue"
    board(facts.SyncStarted(A, "s", "retry"))
    assert board.checks()["sync"].status is Status.DEGRADED, "being looked at again is no improvement yet"
    board(PUBLISHED)
    board(finished(Outcome.SUCCESS))
    assert board.checks()["sync"].status is Status.HEALTHY


def logged(capsys: pytest.CaptureFixture[str], *said: facts.Fact, level: str = "debug") -> list[dict[str, object]]:
    configure_logging(LogOptions(level=level))
    logger = FactLogger()
    for fact in said:
        logger(fact)
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_every_line_about_a_sync_has_model_revision_and_sync_id(capsys: pytest.CaptureFixture[str]) -> None:
    lines = logged(capsys, *ALL)
    about = [line for line in lines if "sync_id" in line]
    assert len(about) == 14
    assert all(line["model"] in {"a", "d"} and line["sync_id"] == "s" for line in about)
    assert all("timestamp" in line and "level" in line for line in lines)
    built = [line for line in about if line["event"] in {"downloading", "file verified", "published", "rejected"}]
    assert [line["revision"] for line in built] == [R] * 4


def test_what_goes_on_being_so_is_logged_once(capsys: pytest.CaptureFixture[str]) -> None:
    down = facts.HealthChanged("s3", Status.DEGRADED, "why")
    up = facts.HealthChanged("s3", Status.HEALTHY, "fine")
    lines = logged(capsys, down, down, up, up, down, facts.KeyRefused("k"), facts.KeyRefused("k"))
    assert [line["event"] for line in lines] == ["health", "health", "health", "key refused"]


def test_a_library_warns_in_one_line_and_botocore_of_credentials_not_at_all(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging(LogOptions())
    logging.getLogger("some.library").warning("mind %s", "this")
    # As botocore does, with a stack trace, at each failed refresh; the health check tells of it.
    logging.getLogger("botocore.credentials").warning("Refreshing failed")
    [line] = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert (line["event"], line["level"]) == ("mind this", "warning")


def test_a_departure_is_logged_once_until_it_changes(capsys: pytest.CaptureFixture[str]) -> None:
    gone, held = facts.ModelGone(A, 1.0, "it left"), facts.ModelGone(A, 1.0, "held back")
    out, back = facts.Unpublished(A, R, "s", "why"), facts.ModelBack(A)
    lines = logged(capsys, gone, gone, held, back, gone, out)
    assert [line["event"] for line in lines] == [
        "left the bucket", "left the bucket", "in the bucket again", "left the bucket", "unpublished",
    ]  # fmt: skip


def test_a_commit_that_waits_too_long_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    early = facts.SyncFinished(A, "s", Outcome.WAITING, "1 of 2 files", 0.5)
    late = facts.SyncFinished(A, "s", Outcome.WAITING, "incomplete: 1 of 2 files", 0.5, overdue=True)
    assert [line["level"] for line in logged(capsys, early, late, late)] == ["info", "warning", "debug"]


def test_the_level_is_heeded(capsys: pytest.CaptureFixture[str]) -> None:
    events = [line["event"] for line in logged(capsys, *ALL, level="error")]
    assert events == [
        "damaged, not used again",
        "rejected",
        "not told",
        "message is no S3 notification",
        "damaged",
    ]
