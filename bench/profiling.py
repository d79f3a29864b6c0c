"""Where the time of `modelsync sync` goes: perf for the kernel and the libraries, py-spy for what is in Python."""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

from bench.scale import compare
from bench.transfer import install, rounds
from bench.transfer.install import MissingError
from bench.transfer.peers import PEERS, Job, Peer, modelsync
from bench.transfer.results import Results
from bench.transfer.scenarios import SCENARIOS, Scenario
from bench.transfer.targets import OURS

ROUNDS = 2
ROWS = 9
LEAST_SHARE = 0.01
PER_SECOND = 499
DIRECTORY = install.CACHE / "profile"
FETCHED = [scenario for scenario in SCENARIOS if scenario.port != "paced"]
COMPARED = [scenario for scenario in compare.SCENARIOS if scenario.name == "100k"]
SETTING = f"""The scenarios of the two chapters above, {ROUNDS} rounds and one to warm up under each of two sampling
profilers. CPU, by perf: a sample within a system call counts for that call, any other for the library it is in. Python,
by py-spy: whoever holds the interpreter, counted for the innermost function of modelsync."""
READING = """
What keeps the missed targets: the start of Python and its imports, which is most of a small transfer and a good part
of a large one, and which programs in Go do not have; for large objects the disk, which has modelsync's bytes at the
end, where rclone's are in memory; with TLS, OpenSSL and one more copy of every byte through Python's buffers; for
many small objects, Python's work on each request and record, and the syncs that peers leave out; for unchanged
objects, Python's reading of the listing and of each model's record. The kernel's share of receiving is every
client's. At S3's pace, which is not here since it is spent waiting: each of the eight connections asks for eight
parts of 32 MiB, and waits 20 ms for the first byte of each; the listings before and after, and the look for uploads
in progress, wait as long.
"""

_LIBRARIES = {
    "libpython": "Python",
    "python3": "Python",
    "libcrypto": "TLS and signatures (OpenSSL)",
    "libssl": "TLS and signatures (OpenSSL)",
    "_awscrt": "checksums (awscrt)",
    "pyexpat": "XML (expat)",
    "libexpat": "XML (expat)",
    "libc.so": "C library",
    "ld-linux": "loading of libraries",
    "[kernel": "kernel: page faults, interrupts, start and end of processes",
}
_NATIVE_FRAME = re.compile(r"\s*[0-9a-f]+ (?P<symbol>.*) \((?P<library>[^()]*)\)")
_SYSTEM_CALL = re.compile(r"^(__x64_sys_|__se_sys_|__do_sys_|ksys_|do_)")
_STACK = re.compile(r"(?P<frames>.*) (?P<count>\d+)")
_PYTHON_FRAME = re.compile(r"(?P<function>.+) \((.*/)?modelsync/(?P<module>.+)\.py(:\d+)?\)")


def measure() -> str:
    """Profile every scenario; the page's chapter.

    Raises:
        MissingError: a profiler or the server cannot be had.
    """
    if shutil.which("perf") is None:
        raise MissingError("perf is not installed: apt-get install linux-perf")
    shutil.rmtree(DIRECTORY, ignore_errors=True)
    runs = sampled("perf", by_perf)
    sampled("py-spy", by_py_spy)
    text = ""
    for scenario in [*FETCHED, *COMPARED]:
        wall, cpu = (runs.median(scenario.name, OURS, what) for what in ("wall_seconds", "cpu_seconds"))
        text += f"\n### {scenario.title}\n\nUnder perf: {wall:.2f} s, {cpu:.2f} s of it CPU.\n\n"
        text += table("CPU", chain.from_iterable(map(native, outputs("perf", scenario))))
        text += "\n" + table("Python", chain.from_iterable(map(functions, outputs("py-spy", scenario))))
    return text + READING


def sampled(profiler: str, command: Callable[[Path], list[str]]) -> Results:
    """Run all scenarios under a profiler.

    Raises:
        MissingError: a run failed.
    """

    def watched(job: Job) -> list[str]:
        directory = DIRECTORY / profiler / job.scenario.name
        directory.mkdir(parents=True, exist_ok=True)
        return [*command(directory / str(len(os.listdir(directory)))), "--", *modelsync(job)]

    peer: Peer = replace(next(peer for peer in PEERS if peer.name == OURS), command=watched)
    fetched = rounds.measure_all(FETCHED, [peer], ROUNDS)
    compared = compare.measure_all(COMPARED, [peer], ROUNDS)
    if missing := fetched.missing | compared.missing:
        raise MissingError("; ".join(f"{name}: {reason}" for name, reason in missing.items()))
    fetched.runs |= compared.runs
    return fetched


def by_perf(output: Path) -> list[str]:
    return ["perf", "record", "--quiet", "-e", "cpu-clock", "-F", str(PER_SECOND), "-g", "-o", str(output)]


def by_py_spy(output: Path) -> list[str]:
    binary = install.pypi("py-spy==0.4.1") / "py-spy"
    # What blocks the process while it looks meets a process that has ended, and fails.
    return [
        str(binary), "record", "--nonblocking", "--gil", "--rate", str(PER_SECOND),
        "--format", "raw", "--output", str(output),
    ]  # fmt: skip


def outputs(profiler: str, scenario: Scenario) -> Iterator[Path]:
    return (DIRECTORY / profiler / scenario.name).iterdir()


def native(output: Path) -> Iterator[str]:
    """What each sample of perf counts for."""
    told = install.run(["perf", "script", "--no-inline", "-i", str(output), "-F", "ip,sym,dso"])
    for sample in told.split("\n\n"):
        frames = [
            (found["symbol"], found["library"]) for found in map(_NATIVE_FRAME.fullmatch, sample.splitlines()) if found
        ]
        if frames:
            yield component(frames)


def component(frames: list[tuple[str, str]]) -> str:
    """What a stack counts for: symbols and their libraries, innermost first."""
    symbols = [symbol for symbol, _ in frames]
    if "do_syscall_64" in symbols[1:]:
        return f"kernel: {_SYSTEM_CALL.sub('', symbols[symbols.index('do_syscall_64') - 1])}"
    library = Path(frames[0][1]).name
    return next((name for start, name in _LIBRARIES.items() if library.startswith(start)), library)


def functions(output: Path) -> Iterator[str]:
    """What each sample of py-spy counts for; a stack that it could not read is left out."""
    for line in output.read_text(errors="replace").splitlines():
        if found := _STACK.fullmatch(line):
            yield from [function(found["frames"].split(";"))] * int(found["count"])


def function(frames: list[str]) -> str:
    """What a stack counts for, outermost frame first."""
    if any("<frozen importlib" in frame for frame in frames):
        return "imports"
    ours = (found for found in map(_PYTHON_FRAME.fullmatch, reversed(frames)) if found)
    return next((f"`{found['module']}`: `{found['function']}`" for found in ours), "start and end of Python")


def table(title: str, samples: Iterable[str]) -> str:
    """The rows with most samples, and the rest in one."""
    counted = Counter(samples)
    total = counted.total()
    rows = [(what, number) for what, number in counted.most_common(ROWS) if number >= LEAST_SHARE * total]
    rows.append(("all else", total - sum(number for _, number in rows)))
    text = f"| {title}, {total / PER_SECOND / (ROUNDS + 1):.2f} s a run | share |\n|---|---|\n"
    return text + "".join(f"| {what} | {number / total:.0%} |\n" for what, number in rows)
