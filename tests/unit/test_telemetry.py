"""Facts as metrics, log lines and health."""

from __future__ import annotations

import json

import pytest

from fakes.clock import VirtualClock
from modelsync.app.board import Board
from modelsync.core import facts
from modelsync.core.facts import Outcome
from modelsync.core.health import Status
from modelsync.core.manifest import Reconciled
from modelsync.core.names import ModelId
from modelsync.core.objects import Revision
from modelsync.telemetry.logs import FactLogger, LogOptions, configure_logging
from modelsync.telemetry.metrics import TABLE, Metrics

A, R = ModelId("a"), Revision("r" * 32)
PUBLISHED = facts.Published(A, R, "s", None, 2, 10, 105.0, 100.0, "why")


def finished(outcome: Outcome, reason: str = "why") -> facts.SyncFinished:
    return facts.SyncFinished(A, "s", outcome, reason, 0.5, R, {"list": 0.1})


ALL = [
    facts.SyncStarted(A, "s", "why"),
    facts.FetchStarted(A, R, "s", 2, 10, "why"),
    facts.BytesResumed(A, "s", 5),
    facts.BytesReused(A, "s", "m.onnx", 5, "link"),
    facts.BytesFetched(A, "s", 10),
    facts.RequestRetried(A, "s", "m.onnx", "why", 1, 0.5),
    facts.FileVerified(A, R, "s", "m.onnx", 10, "crc64nvme"),
    PUBLISHED,
    facts.RevisionRejected(A, R, "s", "key", "why"),
    facts.KeyRefused("why"),
    finished(Outcome.SUCCESS),
    facts.ModelKnown(A, R, 1.0),
    facts.RefusalKnown(ModelId("b"), "why"),
    facts.ModelAbsent(ModelId("c")),
    facts.PushStage(A, "upload", 2, 10),
    facts.BytesRead(A, 10),
    facts.BytesSent(A, 10),
    facts.FileUploaded(A, "m.onnx", 10, "why"),
    facts.UploadLeft(A, "m.onnx", "why"),
    facts.EventHandled("q", "published"),
    facts.MessageUnparsable("q", "why", "digest"),
    facts.StoreCalled("GetObject", "ok"),
    facts.QueueReceiveFailed("q", "why"),
    facts.HealthChanged("s3", Status.DEGRADED, "why"),
    facts.VolumeMeasured(10, 5, reconciled=True),
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
        'modelsync_events_total{outcome="published",queue="q"} 1.0',
        'modelsync_queue_receive_errors_total{queue="q"} 1.0',
        "modelsync_downloaded_bytes_total 10.0",
        'modelsync_s3_requests_total{operation="GetObject",outcome="ok"} 1.0',
        'modelsync_verified_files_total{proof="crc64nvme"} 1.0',
        'modelsync_rejected_total{reason="key"} 1.0',
        'modelsync_models{state="published"} 1.0',
        f'modelsync_model_info{{model="a",revision="{R}"}} 1.0',
        'modelsync_volume_bytes{kind="free"} 5.0',
        "modelsync_last_reconcile_success_timestamp_seconds 1.0",
    ):
        assert line in text


def test_a_published_model_that_is_replaced_leaves_no_series_behind(board: Board) -> None:
    metrics = Metrics(board.models)
    board(PUBLISHED)
    board(facts.Published(A, Revision("q" * 32), "s", R, 2, 10, 105.0, None, "why"))
    assert metrics.render().decode().count("modelsync_model_info{") == 1


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


def logged(capsys: pytest.CaptureFixture[str], *said: facts.Fact, level: str = "debug") -> list[dict[str, object]]:
    configure_logging(LogOptions(level=level))
    logger = FactLogger()
    for fact in said:
        logger(fact)
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_every_line_about_a_sync_has_model_revision_and_sync_id(capsys: pytest.CaptureFixture[str]) -> None:
    lines = logged(capsys, *ALL)
    about = [line for line in lines if "sync_id" in line]
    assert len(about) == 9
    assert all(line["model"] == "a" and line["sync_id"] == "s" for line in about)
    assert all("timestamp" in line and "level" in line for line in lines)
    built = [line for line in about if line["event"] in {"downloading", "file verified", "published", "rejected"}]
    assert [line["revision"] for line in built] == [R] * 4


def test_what_goes_on_being_so_is_logged_once(capsys: pytest.CaptureFixture[str]) -> None:
    down = facts.HealthChanged("s3", Status.DEGRADED, "why")
    up = facts.HealthChanged("s3", Status.HEALTHY, "fine")
    lines = logged(capsys, down, down, up, up, down, facts.KeyRefused("k"), facts.KeyRefused("k"))
    assert [line["event"] for line in lines] == ["health", "health", "health", "key refused"]


def test_the_level_is_heeded(capsys: pytest.CaptureFixture[str]) -> None:
    events = [line["event"] for line in logged(capsys, *ALL, level="error")]
    assert events == ["rejected", "message is no S3 notification"]
