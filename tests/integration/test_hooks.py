"""The operator's commands, as real processes."""

from __future__ import annotations

import json
import os
import signal
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelsync.adapters.command import CommandOptions, environment
from modelsync.adapters.hooks import CommandHook, ExecReceiver
from modelsync.adapters.volume.files import remove_tree
from modelsync.app.vetting import Vetting
from modelsync.core import facts
from modelsync.core.facts import Outcome
from modelsync.core.manifest import Quarantine
from modelsync.core.names import ModelId
from modelsync.core.notices import Notice, Origin, notice_of
from modelsync.core.objects import Revision
from modelsync.errors import HookFailed, NoticeRefused, Rejected, Stopped
from support.worker import until

from support.world import World  # isort: skip

A, R = ModelId("alice"), Revision("1" * 32)
ORIGIN = Origin("s3://models/", "/models")
Make = Callable[[str], str]


@pytest.fixture
def script(tmp_path: Path) -> Make:
    """Makes a shell script."""

    def make(text: str) -> str:
        path = tmp_path / "hook.sh"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return str(path)

    return make


def notice() -> Notice:
    made = notice_of(facts.Published(A, R, "s", None, 2, 10, 1_700_000_000.0, None, "why"), 0.0)
    assert made is not None
    return made


class Runs:
    """Runs a command as a receiver or as a publish hook, and keeps what was told of it."""

    def __init__(self, *words: str, timeout_seconds: float = 20.0) -> None:
        self.facts: list[facts.Fact] = []
        self.options = CommandOptions(words, timeout_seconds, grace_seconds=0.3)
        self.attended = 0
        self.stop = threading.Event()

    def attend(self) -> None:
        self.attended += 1
        if self.stop.is_set():
            raise Stopped("ending")

    def tell(self) -> facts.HookRan:
        try:
            ExecReceiver(self.options, ORIGIN, self.facts.append).tell(notice(), self.attend)
        finally:
            self.ran = next((fact for fact in self.facts if isinstance(fact, facts.HookRan)), None)
        assert self.ran is not None
        return self.ran

    def vet(self, directory: str = "/staged") -> None:
        CommandHook(self.options, self.facts.append).vet(A, R, directory, self.attend)


def test_a_command_finds_the_notice_in_its_environment_and_on_its_input(script: Make, tmp_path: Path) -> None:
    out = tmp_path / "out"
    told = "$MODELSYNC_EVENT $MODELSYNC_MODEL $MODELSYNC_REVISION $MODELSYNC_PATH"
    runs = Runs(script(f'{{ echo "{told} $1"; cat; }} > "$2"'), "two words", str(out))
    ran = runs.tell()
    assert (ran.hook, ran.outcome, ran.code, ran.output) == ("notify", "ok", 0, "")
    first, _, rest = out.read_text().partition("\n")
    assert first == f"published alice {R} /models/alice two words"
    assert json.loads(rest)["data"]["revision"] == R


def test_a_command_finds_none_of_our_secrets(script: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_WEB_IDENTITY_TOKEN_FILE", "API_TOKEN",
                 "NOTIFY_WEBHOOK_SECRET", "NOTIFY_WEBHOOK_URLS", "NOTIFY_EXEC", "SQS_A_QUEUE_URL"):  # fmt: skip
        monkeypatch.setenv(name, "hidden")
    monkeypatch.setenv("HTTPS_PROXY", "http://user:hidden@proxy:3128")
    monkeypatch.setenv("MY_OWN", "shown")
    Runs(script(f"env > {out}")).tell()
    found = out.read_text()
    assert "hidden" not in found
    assert "AWS_" not in found
    assert "MY_OWN=shown" in found
    assert "PATH=" in found


def test_addresses_without_a_user_stay_in_the_environment() -> None:
    assert environment({"A": "http://h/p@x", "B": "https://u:p@h/", "C": "x"}) == {"A": "http://h/p@x", "C": "x"}


def test_an_exit_code_is_told_with_the_end_of_what_was_written(script: Make) -> None:
    runs = Runs(script("echo first; i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; "
                       "printf 'the \\033[31mreason\\n' >&2; exit 3"))  # fmt: skip
    with pytest.raises(NoticeRefused, match=r"NOTIFY_EXEC ended with exit code 3: .*the  .31mreason"):
        runs.tell()
    assert runs.ran is not None
    assert (runs.ran.outcome, runs.ran.code) == ("failed", 3)
    assert len(runs.ran.output) <= 2000
    assert runs.ran.output.isprintable()
    assert "first" not in runs.ran.output


@pytest.mark.parametrize("words", [("/no/such/command",), ("/",), ("bad\0name",)])
def test_a_command_that_cannot_be_started_is_told(words: tuple[str, ...]) -> None:
    runs = Runs(*words)
    with pytest.raises(NoticeRefused, match="NOTIFY_EXEC cannot be started: "):
        runs.tell()
    with pytest.raises(HookFailed, match="PUBLISH_HOOK cannot be started: "):
        runs.vet()


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] == "Z"
    except FileNotFoundError:
        return True


def test_a_command_that_goes_on_is_ended_with_all_that_it_started(script: Make, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    runs = Runs(
        script(f'trap "" TERM\n(trap "" TERM; exec sleep 60) &\necho $$ $! > {pids}\necho said\nwait; sleep 60'),
        timeout_seconds=0.5,
    )
    start = time.monotonic()
    with pytest.raises(NoticeRefused, match=r"did not end within 0.5 s: said"):
        runs.tell()
    assert time.monotonic() - start < 5
    assert runs.attended > 1
    for pid in map(int, pids.read_text().split()):
        until(lambda pid=pid: gone(pid), "the end of the group")


def test_what_a_command_leaves_running_does_not_hold_us_up(script: Make) -> None:
    start = time.monotonic()
    runs = Runs(script("sleep 30 & echo $!"))
    ran = runs.tell()
    assert (ran.outcome, time.monotonic() - start < 10) == ("ok", True)
    os.kill(int(ran.output), signal.SIGKILL)


def test_a_command_that_closes_its_output_is_waited_for(script: Make, tmp_path: Path) -> None:
    done = tmp_path / "done"
    Runs(script(f"exec >&- 2>&-; sleep 0.3; touch {done}")).tell()
    assert done.exists()


def test_the_end_of_the_service_ends_a_command(script: Make, tmp_path: Path) -> None:
    started = tmp_path / "started"
    runs = Runs(script(f"echo $$ > {started}; sleep 60"))
    threading.Thread(
        target=lambda: (until(lambda: started.exists() and started.read_text(), "it"), runs.stop.set())
    ).start()
    start = time.monotonic()
    with pytest.raises(Stopped):
        runs.vet()
    assert time.monotonic() - start < 10
    assert gone(int(started.read_text()))


def test_a_publish_hook_that_is_killed_cannot_say(script: Make) -> None:
    with pytest.raises(HookFailed, match="was ended by signal 9"):
        Runs(script("kill -9 $$")).vet()
    with pytest.raises(Rejected, match="PUBLISH_HOOK ended with exit code 1: not /staged") as refused:
        Runs(script('echo "not $MODELSYNC_PATH"; exit 1')).vet()
    assert refused.value.rule == "hook"


# The publish hook in a sync.

FILES = {"model.onnx": b"weights 1", "de/config.json": b"{}"}


class Hooked:
    """A world whose revisions a command looks at."""

    def __init__(self, base: Path, script: Make) -> None:
        self.base, self.script = base, script
        base.mkdir()
        self.world = World(base)
        self.looks = base.parent / "looks"

    def hook(self, text: str, timeout_seconds: float = 20.0) -> None:
        path = self.script(f'echo "$MODELSYNC_REVISION" >> {self.looks}\n{text}')
        hook = CommandHook(CommandOptions((path,), timeout_seconds, 0.3), self.world.observe)
        self.world.sync_models._vetting = Vetting(self.world.volume, None, hook)

    @property
    def asked(self) -> int:
        return len(self.looks.read_text().split()) if self.looks.exists() else 0

    def quarantine(self) -> list[Quarantine]:
        return list(self.world.volume.published(A).quarantined)


@pytest.fixture
def hooked(tmp_path: Path, script: Make) -> Iterator[Hooked]:
    made = Hooked(tmp_path / "volume", script)
    yield made
    made.world.fetcher.close()


def test_a_hook_sees_the_whole_revision_and_readers_do_not(hooked: Hooked) -> None:
    world = hooked.world
    seen = hooked.base.parent / "seen"
    hooked.hook(
        f'cd "$MODELSYNC_PATH" && find . -type f | sort > {seen}; cat model.onnx >> {seen};'
        f" ls {hooked.base} >> {seen}; chmod u+w .; touch mess"
    )
    world.upload("alice", FILES)
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert seen.read_text() == "./de/config.json\n./model.onnx\nweights 1"
    assert world.read("alice") == FILES, "what the hook added is gone"
    assert stat.S_IMODE((hooked.base / "alice" / "model.onnx").stat().st_mode) == 0o444
    assert "hook" in world.told(facts.SyncFinished)[-1].stages


WRITABLE = 'find "$MODELSYNC_PATH" -type d -exec chmod u+w {} +'
"""Who owns directories, or is root, writes to them all the same."""

CHANGES = {
    "replaces": 'cd "$MODELSYNC_PATH"; printf evil > "$TMPDIR/x"; mv -f "$TMPDIR/x" model.onnx',
    "deletes": 'rm -f "$MODELSYNC_PATH/model.onnx"',
    "links to a file outside": 'cd "$MODELSYNC_PATH"; rm -f model.onnx; ln -s /etc/hostname model.onnx',
    "writes in place": 'cd "$MODELSYNC_PATH"; chmod u+w model.onnx; printf "weights 2" > model.onnx; chmod 444 *.onnx',
    "writes in place and hides it": 'cd "$MODELSYNC_PATH"; touch -r model.onnx "$TMPDIR/t"; chmod u+w model.onnx;'
    ' printf "weights 2" > model.onnx; chmod 444 model.onnx; touch -r "$TMPDIR/t" model.onnx',
    "replaces a directory": 'cd "$MODELSYNC_PATH"; mv de "$TMPDIR/de"; ln -s "$TMPDIR/de" de',
    "lets others write": 'chmod 666 "$MODELSYNC_PATH/model.onnx"',
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_hook_changes_is_not_published(hooked: Hooked, change: str, tmp_path: Path) -> None:
    """Modes bind neither root nor the owner; the next attempt starts from nothing."""
    world = hooked.world
    hooked.hook(f"TMPDIR={tmp_path}; {WRITABLE}; {CHANGES[change]}; exit 0")
    world.upload("alice", FILES)
    result = world.sync("alice")
    assert result.outcome is Outcome.REJECTED
    assert "PUBLISH_HOOK changed " in result.reason
    assert [record.rule for record in hooked.quarantine()] == ["hook"]
    assert not (world.home("alice") / "staging").exists()
    hooked.hook("exit 0")
    world.overrides.recheck(A)
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.read("alice") == FILES


def test_the_directories_are_read_only_while_the_hook_looks(hooked: Hooked) -> None:
    world, seen = hooked.world, hooked.base.parent / "seen"
    hooked.hook(f'stat -c %a "$MODELSYNC_PATH" "$MODELSYNC_PATH/de" > {seen}')
    world.upload("alice", FILES)
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert seen.read_text().split() == ["555", "555"]
    assert stat.S_IMODE((hooked.base / "alice" / "de").stat().st_mode) == 0o755


def test_a_hard_link_that_comes_meanwhile_changes_nothing(hooked: Hooked, tmp_path: Path) -> None:
    """It changes the time of change, as another model does that takes the same file."""
    world = hooked.world
    hooked.hook(f'ln "$MODELSYNC_PATH/model.onnx" {tmp_path}/linked')
    world.upload("alice", FILES)
    assert world.sync("alice").outcome is Outcome.SUCCESS


def test_a_worker_that_died_while_the_hook_looked_goes_on(hooked: Hooked) -> None:
    """It left directories in which nobody may write, and perhaps what the hook did to them."""
    world = hooked.world
    hooked.hook(
        f'{WRITABLE}; cd "$MODELSYNC_PATH"; rm -f model.onnx; ln -s {hooked.base.parent}/secret model.onnx; kill -9 $$'
    )
    (hooked.base.parent / "secret").write_bytes(b"secret")
    world.upload("alice", FILES)
    assert world.sync("alice").outcome is Outcome.ERROR
    (staged,) = (world.home("alice") / "staging").iterdir()
    for directory in (staged / "files" / "de", staged / "files"):
        directory.chmod(0o555)
    hooked.hook("exit 0")
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.read("alice") == FILES
    assert stat.S_IMODE((hooked.base / "alice" / "de").stat().st_mode) == 0o755
    assert stat.S_IMODE((hooked.base.parent / "secret").stat().st_mode) == 0o644


def test_directories_that_nobody_may_write_to_are_removed(tmp_path: Path) -> None:
    """Modes bind these tests, also as root."""
    inner = tmp_path / "staging" / "files" / "de"
    inner.mkdir(parents=True)
    (inner / "config.json").write_bytes(b"{}")
    for directory in (inner, inner.parent):
        directory.chmod(0o555)
    with pytest.raises(PermissionError):
        (inner / "config.json").unlink()
    remove_tree(tmp_path / "staging")
    assert not (tmp_path / "staging").exists()


def test_what_the_hook_refuses_is_on_record_and_looked_at_again_when_the_bucket_changes(hooked: Hooked) -> None:
    world = hooked.world
    world.upload("alice", FILES)
    world.commit("alice", FILES)
    world.sync("alice")
    hooked.hook('echo "no such language"; exit 4')
    new = FILES | {"de/config.json": b"[]"}
    world.upload("alice", new)
    world.commit("alice", new)
    result = world.sync("alice")
    assert (result.outcome, result.reason) == (
        Outcome.REJECTED, "PUBLISH_HOOK ended with exit code 4: no such language"
    )  # fmt: skip
    (record,) = hooked.quarantine()
    assert (record.rule, record.revision) == ("hook", result.revision)
    assert world.told(facts.RevisionRejected)[-1].rule == "hook"
    assert world.read("alice") == FILES
    assert not (world.home("alice") / "staging").exists()
    assert world.sync("alice").outcome is Outcome.REJECTED
    assert hooked.asked == 1, "the same content is not looked at again"
    hooked.hook("exit 0")
    world.clock.advance(5)
    world.commit("alice", new)  # the same revision, uploaded anew
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert (hooked.asked, world.read("alice")) == (2, new)


def test_a_refusal_whose_record_is_removed_is_looked_at_again(hooked: Hooked) -> None:
    world = hooked.world
    hooked.hook("exit 1")
    world.upload("alice", FILES)
    assert world.sync("alice").outcome is Outcome.REJECTED
    assert world.compare()[0] == []
    for record in (world.home("alice") / "quarantine").iterdir():
        record.unlink()
    hooked.hook("exit 0")
    assert world.compare()[0] == ["alice"]
    assert world.sync("alice").outcome is Outcome.SUCCESS


def test_a_hook_that_cannot_say_fails_the_sync_and_nothing_is_downloaded_again(hooked: Hooked) -> None:
    world = hooked.world
    hooked.hook("sleep 60", timeout_seconds=0.2)
    world.upload("alice", FILES)
    result = world.sync("alice")
    assert (result.outcome, hooked.quarantine()) == (Outcome.ERROR, [])
    assert "did not end within 0.2 s" in result.reason
    assert not (hooked.base / "alice").exists()
    fetched = sum(fact.count for fact in world.told(facts.BytesFetched))
    hooked.hook("exit 0")
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert sum(fact.count for fact in world.told(facts.BytesFetched)) == fetched


def test_a_switch_to_a_kept_revision_asks_nobody_again(hooked: Hooked) -> None:
    world = hooked.world
    hooked.hook("exit 0")
    for content in (FILES, FILES | {"de/config.json": b"[1]"}, FILES):
        world.upload("alice", content)
        assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.read("alice") == FILES
    assert hooked.asked == 2


def test_the_end_of_the_service_parks_a_revision_that_the_hook_looks_at(hooked: Hooked) -> None:
    world = hooked.world
    hooked.hook("sleep 60")
    world.upload("alice", FILES)
    threading.Thread(target=lambda: (until(lambda: hooked.asked, "the hook"), world.stop.set())).start()
    with pytest.raises(Stopped):
        world.sync("alice")
    world.stop.clear()
    hooked.hook("exit 0")
    assert world.sync("alice").outcome is Outcome.SUCCESS
