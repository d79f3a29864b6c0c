"""The process that checks models: what it can do, and what becomes of one that fails."""

from __future__ import annotations

import itertools
import os
import re
import signal
import site
import subprocess
import sys
import threading
import time
import venv
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import modelsync
from fakes.rogue_checker import ATTEMPTS
from modelsync.adapters.gate import CheckerGate, GateOptions
from modelsync.core import facts
from modelsync.core.facts import Fact
from modelsync.core.judgement import CRASH, TIMEOUT, Flaw, Judgement
from modelsync.core.names import RelPath
from modelsync.errors import GateFailed, Stopped, VolumeFailed
from modelsync.gate.confine import _CALLS
from modelsync.gate.rules import GateRules
from support.worker import until

ROGUE = Path(__file__).parents[1] / "fakes" / "rogue_checker.py"
Told = list[Fact]


class Gated:
    """A gate with rogue processes, and a directory of orders for them."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.pid_file = base / "pids"
        self.facts: Told = []
        self.gates: list[CheckerGate] = []

    def gate(self, *words: str, command: list[str] | None = None, **options: float) -> CheckerGate:
        command = command or [sys.executable, "-I", str(ROGUE), str(self.pid_file), *words]
        rules = GateRules()
        made: Any = {"least_seconds": 20.0} | options
        self.gates.append(CheckerGate(GateOptions(rules.to_json(), rules.digest, command, **made), self.facts.append))
        return self.gates[-1]

    def judge(
        self, gate: CheckerGate, order: str, attend: Callable[[], None] = lambda: None, **more: bytes
    ) -> Judgement:
        return self.judge_files(gate, {"order.txt": order.encode()} | more, attend)

    def judge_files(
        self, gate: CheckerGate, files: Mapping[str, bytes], attend: Callable[[], None] = lambda: None
    ) -> Judgement:
        directory = self.base / "files"
        for name, content in files.items():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_bytes(content)
        return gate.judge(str(directory), {RelPath(name): len(content) for name, content in files.items()}, attend)

    @property
    def pids(self) -> list[int]:
        return [int(line) for line in self.pid_file.read_text().split()] if self.pid_file.exists() else []

    def running(self) -> list[int]:
        return [pid for pid in self.pids if Path(f"/proc/{pid}").exists()]

    def failures(self) -> list[str]:
        return [fact.what for fact in self.facts if isinstance(fact, facts.CheckerFailed)]


@pytest.fixture
def gated(tmp_path: Path) -> Iterator[Gated]:
    made = Gated(tmp_path)
    yield made
    for gate in made.gates:
        gate.close()
    assert made.running() == [], "no process is left behind"


def test_one_process_judges_one_model_after_the_other(gated: Gated) -> None:
    gate = gated.gate()
    for _ in range(3):
        assert gated.judge(gate, "pass") == Judgement(None, (Flaw("told", "rules refuse"),))
    assert len(gated.pids) == 1
    assert gated.facts == [facts.CheckerReady(None)], "it gave up all that it can"


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_a_process_that_a_file_has_taken_over_can_do_nothing(gated: Gated, attempt: str) -> None:
    refused = gated.judge(gated.gate(), attempt).refused
    assert refused is not None
    assert refused.rule == "failed", refused.reason


def test_it_may_have_its_file_read_ahead(gated: Gated) -> None:
    refused = gated.judge(gated.gate(), "read ahead").refused
    assert refused is not None
    assert refused.reason == "it may"


def test_it_sees_none_of_our_environment(gated: Gated, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    refused = gated.judge(gated.gate(), "environment").refused
    assert refused is not None
    assert set(refused.reason.split()) <= {"LC_CTYPE"}, "which Python sets by itself"


@pytest.mark.parametrize("order", ["hog", "recurse"])
def test_content_that_takes_too_much_is_refused_and_the_process_goes_on(gated: Gated, order: str) -> None:
    gate = gated.gate()
    refused = gated.judge(gate, order).refused
    assert refused is not None
    assert (refused.rule, refused.path) == (CRASH, "order.txt")
    assert refused.reason in {
        "the check of order.txt failed: MemoryError", "the check of order.txt failed: RecursionError"
    }  # fmt: skip
    assert gated.judge(gate, "pass").refused is None


@pytest.mark.parametrize(
    ("order", "what"),
    [
        ("exit", "ended with exit code 3"),
        ("crash", "was ended by signal 11"),
        ("nonsense", "said what makes no sense"),
        ("no json", "said what makes no sense"),
        ("endless", "said what makes no sense"),
        ("another file", "said what makes no sense"),
        ("ready again", "answered what it was not asked"),
        ("odd rule", "said what makes no sense"),
    ],
)
def test_content_that_makes_it_fail_twice_is_refused(gated: Gated, order: str, what: str) -> None:
    gate = gated.gate()
    refused = gated.judge(gate, order).refused
    assert refused is not None
    assert (refused.rule, refused.path) == (CRASH, "order.txt")
    assert what in refused.reason
    assert "--recheck" in refused.reason
    assert (gated.failures(), len(gated.pids)) == ([what, what], 2)
    assert gated.judge(gate, "pass").refused is None, "the next model has a new process"


def test_content_that_keeps_it_busy_is_refused_after_its_time(gated: Gated) -> None:
    start = time.monotonic()
    refused = gated.judge(gated.gate(least_seconds=0.5), "spin").refused
    assert refused is not None
    assert (refused.rule, refused.path) == (TIMEOUT, "order.txt")
    assert gated.failures() == ["did not end in time, busy"] * 2
    assert time.monotonic() - start < 10


def test_a_volume_that_does_not_answer_refuses_no_model(gated: Gated) -> None:
    """Nor does anything else for which the process waits: it shows in its seconds on a processor."""
    gate = gated.gate(least_seconds=0.5)
    with pytest.raises(GateFailed, match=r"the check of order\.txt came to no end twice: .* waiting; look at"):
        gated.judge(gate, "block")
    assert gated.failures() == ["did not end in time, waiting"] * 2
    assert gated.judge(gate, "pass").refused is None


def test_a_machine_without_memory_refuses_no_model(gated: Gated) -> None:
    gate = gated.gate()

    def kill() -> None:
        if len(gated.facts) % 2:  # ready, and not failed yet
            os.kill(gated.pids[-1], signal.SIGKILL)

    with pytest.raises(GateFailed, match="twice: it was killed; look at"):
        gated.judge(gate, "block", kill)
    assert gated.failures() == ["was killed"] * 2
    assert gated.judge(gate, "pass").refused is None


def test_large_models_have_more_time(gated: Gated) -> None:
    large = gated.base / "files" / "large.bin"
    large.parent.mkdir()
    with large.open("wb") as file:
        file.truncate(64 << 20)
    gate, ticks = gated.gate(least_seconds=0.1, bytes_per_second=64 << 20), []
    (large.parent / "order.txt").write_bytes(b"block")
    files = {RelPath("large.bin"): 64 << 20, RelPath("order.txt"): 5}
    start = time.monotonic()
    with pytest.raises(GateFailed, match="waiting"):
        gate.judge(str(large.parent), files, lambda: ticks.append(time.monotonic()))
    assert 2.2 <= time.monotonic() - start < 20, "twice 0.1 s and 1 s"
    assert max(after - before for before, after in itertools.pairwise(ticks)) < 1.5, "the caller beats"


def test_a_process_that_was_killed_at_work_is_replaced_once(gated: Gated) -> None:
    gate, kills = gated.gate(), []

    def kill() -> None:
        if gated.facts and not kills:  # it is ready
            kills.append(gated.pids[0])
            os.kill(gated.pids[0], signal.SIGKILL)

    assert gated.judge(gate, "pass", kill).refused is None
    assert (len(kills), len(gated.pids)) == (1, 2)


def test_one_that_was_killed_while_it_waited_costs_no_attempt(gated: Gated) -> None:
    gate = gated.gate()
    gated.judge(gate, "pass")
    [pid] = gated.pids
    os.kill(pid, signal.SIGKILL)
    until(lambda: "State:\tZ" in Path(f"/proc/{pid}/status").read_text(), "its end")
    assert gated.judge(gate, "pass").refused is None
    assert gated.failures() == []


def test_whoever_waits_for_a_judgement_can_be_stopped(gated: Gated) -> None:
    def stop() -> None:
        if (gated.base / "files").exists() and gated.pids and gated.facts:
            raise Stopped("the service ends")

    with pytest.raises(Stopped):
        gated.judge(gated.gate(), "block", stop)
    assert gated.running() == []


def test_a_process_that_cannot_start_is_nobodys_fault_but_ours(gated: Gated) -> None:
    with pytest.raises(GateFailed, match="cannot be started: No such file"):
        gated.judge(gated.gate(command=["/nonexistent"]), "pass")
    with pytest.raises(GateFailed, match="does not start: it ended with exit code 3"):
        gated.judge(gated.gate("exit"), "pass")
    with pytest.raises(GateFailed, match="does not start: it said what makes no sense"):
        gated.judge(gated.gate("nonsense"), "pass")


def test_files_that_changed_or_cannot_be_read_are_the_volumes_fault(gated: Gated) -> None:
    gate = gated.gate()
    directory = gated.base / "files"
    directory.mkdir()
    files = {RelPath("order.txt"): 4}
    with pytest.raises(VolumeFailed, match=r"cannot check order\.txt: No such file"):
        gate.judge(str(directory), files, lambda: None)
    (directory / "order.txt").write_bytes(b"longer")
    with pytest.raises(VolumeFailed, match=r"cannot check order\.txt: it was changed"):
        gate.judge(str(directory), files, lambda: None)
    (directory / "order.txt").unlink()
    os.mkfifo(directory / "order.txt")
    with pytest.raises(VolumeFailed, match="it was changed"):
        gate.judge(str(directory), files, lambda: None)
    assert gated.failures() == []


def test_processes_are_replaced_after_a_number_of_models_and_ended_at_the_end(gated: Gated) -> None:
    gate = gated.gate(checks=2)
    for _ in range(5):
        gated.judge(gate, "pass")
    until(lambda: len(gated.pids) == 3, "the third process")
    assert len(gated.running()) == 1
    gate.close()
    assert gated.running() == []
    assert gated.judge(gate, "pass").refused is None, "who is still at work is served"
    assert gated.running() == []


def test_several_models_are_judged_at_once(gated: Gated) -> None:
    gate, together = gated.gate(), threading.Barrier(3, timeout=20)
    met: list[int] = []

    def meet() -> None:
        if together.n_waiting < 3 and not together.broken and threading.get_ident() not in met:
            met.append(threading.get_ident())
            together.wait()

    directory = gated.base / "files"
    directory.mkdir()
    (directory / "order.txt").write_bytes(b"pass")
    judge = lambda: gate.judge(str(directory), {RelPath("order.txt"): 4}, meet)  # noqa: E731
    threads = [threading.Thread(target=judge) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(met) == 3
    assert len(gated.running()) == 2, "no more than two are kept"


def test_the_real_one_is_small_and_ends_with_the_worker(tmp_path: Path) -> None:
    rules = GateRules()
    gate = CheckerGate(GateOptions(rules.to_json(), rules.digest), lambda _: None)
    (tmp_path / "config.json").write_bytes(b"{}")
    assert gate.judge(str(tmp_path), {RelPath("config.json"): 2}, lambda: None) == Judgement()
    [checker] = gate._idle
    pid = checker._process.pid
    assert checker.memory_bytes < 40 << 20
    environment = Path(f"/proc/{pid}/environ").read_bytes()
    assert environment == b""
    checker._channel.close()
    assert checker._process.wait(10) == 0, "it ends when the worker's end of the channel is gone"


LATE = "import runpy; runpy.run_module('modelsync.gate', run_name='__main__')"
NO_LIST = "import platform; platform.machine = lambda: 'riscv64'"
NO_FILTER = "from modelsync.gate import confine; confine._PR_SET_SECCOMP = 9999"


@pytest.mark.parametrize(
    ("before", "loose"),
    [
        (NO_LIST, "there is no list of system calls for riscv64"),
        (NO_FILTER, "the kernel does not filter system calls (errno 22)"),
    ],
)
def test_where_calls_cannot_be_filtered_models_are_judged_and_it_is_told(
    tmp_path: Path, before: str, loose: str
) -> None:
    told: list[facts.Fact] = []
    options = GateOptions(GateRules().to_json(), "", [sys.executable, "-I", "-c", f"{before}; {LATE}"])
    gate = CheckerGate(options, told.append)
    try:
        assert gate.try_out() == loose
        (tmp_path / "config.json").write_bytes(b"{}")
        assert gate.judge(str(tmp_path), {RelPath("config.json"): 2}, lambda: None).refused is None
        limits = Path(f"/proc/{gate._idle[0]._process.pid}/limits").read_text()
    finally:
        gate.close()
    assert [fact.loose for fact in told if isinstance(fact, facts.CheckerReady)] == [loose]
    assert re.search(r"Max address space +201326592 +201326592", limits)
    assert re.search(r"Max processes +0 +0", limits)


NUMBERS = {
    "x86_64": (Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), Path("/usr/include/asm/unistd_64.h")),
    "aarch64": (Path("/usr/include/asm-generic/unistd.h"),),
}


@pytest.mark.parametrize("machine", NUMBERS)
def test_the_numbers_of_calls_are_the_kernels(machine: str) -> None:
    header = next((path for path in NUMBERS[machine] if path.exists()), None)
    if header is None:
        pytest.skip("the kernel's headers (linux-libc-dev) are not installed")
    defined = dict(re.findall(r"^#define __NR_?(\w+)\s+(\w+)", header.read_text(), re.MULTILINE))
    for name, number in _CALLS[machine][1].items():
        found = defined[name]
        assert number == int(defined[found.removeprefix("__NR")] if found.startswith("__NR") else found), name


def test_the_cause_is_told_where_it_does_not_start(tmp_path: Path) -> None:
    """It is started without PYTHONPATH and user site: where modelsync is found by these alone, it is not found."""
    program = (
        "import sys; from modelsync.adapters.gate import *; from modelsync.errors import GateFailed\n"
        "gate = CheckerGate(GateOptions(b'{}', ''), print)\n"
        "try: gate.try_out()\n"
        "except GateFailed as error: print(error)\n"
    )
    venv.create(tmp_path / "bare", symlinks=True)
    path = os.pathsep.join([str(Path(modelsync.__file__).parents[1]), *site.getsitepackages()])
    done = subprocess.run(
        [tmp_path / "bare" / "bin" / "python", "-c", program],
        capture_output=True, text=True, check=True, env={"PYTHONPATH": path},
    )  # fmt: skip
    assert "it ended with exit code 1: " in done.stdout
    assert "No module named 'modelsync'" in done.stdout
    assert "PYTHONPATH" in done.stdout


def test_a_hog_of_the_processor_does_not_outlive_a_killed_worker(tmp_path: Path) -> None:
    pid_file = tmp_path / "pids"
    (tmp_path / "order.txt").write_bytes(b"spin")
    program = (
        "import sys; from modelsync.adapters.gate import *; from modelsync.gate.rules import GateRules\n"
        f"command = [sys.executable, '-I', {str(ROGUE)!r}, {str(pid_file)!r}]\n"
        "options = GateOptions(GateRules().to_json(), '', command, least_seconds=1.0)\n"
        f"CheckerGate(options, print).judge({str(tmp_path)!r}, {{'order.txt': 4}}, lambda: print('.', flush=True))"
    )
    worker = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    until(lambda: pid_file.exists() and pid_file.read_text().endswith("\n"), "the process")
    pid = int(pid_file.read_text().split()[0])
    until(lambda: _cpu_ticks(pid) > 10 or worker.poll() is not None, "its work")
    assert worker.poll() is None
    worker.kill()
    worker.communicate()
    until(lambda: not _runs(pid), "its end")


def _cpu_ticks(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11])
    except FileNotFoundError:
        return 0


def _runs(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
