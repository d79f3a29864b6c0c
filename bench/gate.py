"""What the gate costs: small voices in a process that is kept warm, and models of 2 GiB beside their download."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from bench.latency import percentile, voice
from bench.models import NODES, TENSORS, checkpoint, onnx_beside, onnx_in_one_file, safetensors, torch_archive
from bench.standin import stand_in
from bench.worker import Worker, worker
from modelsync.adapters.gate import CheckerGate, GateOptions
from modelsync.core.names import RelPath
from modelsync.demo.voice import make_voice
from modelsync.gate.rules import GateRules

SETTING = """Everything is on: structure, pickles, limits. *Small voices* are judged by a process that is kept warm, 200
times, and by one that has to be started first, 5 times. *Large models* go through a whole worker, from the stand-in to
the disk, 3 times each (medians); memory is what the check adds to its process. Their tensors are zeros, of which no
check looks at more than their CRCs: of 4 MiB in a large archive."""

WARM, COLD, ROUNDS = 200, 5, 3
MOST_MS, MOST_SHARE, MOST_MIB = 15, 0.05, 32


def measure() -> str:
    """Run, and return tables in Markdown."""
    targets = ["| target | figure | at most | |\n|---|---|---|---|\n"]
    return f"{small(targets)}\n{large(targets)}\n{''.join(targets)}"


def target(what: str, figure: float, most: float, form: str, unit: str = "") -> str:
    """A row that says whether a figure is met."""
    verdict = "met" if figure <= most else "**missed**"
    return f"| {what} | {figure:{form}}{unit} | {most:{form}}{unit} | {verdict} |\n"


def small(targets: list[str]) -> str:
    """Judge small voices by processes that are warm, and that are not."""
    text = "| small voices | warm, median ms | warm, p99 ms | cold, median ms | process, MiB |\n|---|---|---|---|---|\n"
    for title, files in (
        ("three files, 20 kB", voice(1)),
        ("the demo's: ONNX and its config, 8 MiB", make_voice(1)),
        ("a PyTorch checkpoint of 1,000 small tensors", {"model.pth": checkpoint(4)}),
    ):
        with tempfile.TemporaryDirectory() as directory:
            for name, content in files.items():
                (Path(directory) / name).write_bytes(content)
            sizes = {RelPath(name): len(content) for name, content in files.items()}
            cold = []
            for _ in range(COLD):
                gate = made()
                cold.append(seconds(gate, directory, sizes))
                gate.close()
            gate = made()
            seconds(gate, directory, sizes)
            warm = [seconds(gate, directory, sizes) for _ in range(WARM)]
            memory = gate._idle[0].memory_bytes
            gate.close()
        figures = (statistics.median(warm), percentile(warm, 0.99), statistics.median(cold))
        text += f"| {title} |" + "".join(f" {figure * 1000:.1f} |" for figure in figures) + f" {memory >> 20} |\n"
        targets.append(target(f"{title}: warm", figures[0] * 1000, MOST_MS, ".1f", " ms"))
    return text


def made() -> CheckerGate:
    rules = GateRules()
    return CheckerGate(GateOptions(rules.to_json(), rules.digest), lambda _fact: None)


def seconds(gate: CheckerGate, directory: str, sizes: dict[RelPath, int]) -> float:
    """How long a judgement takes."""
    start = time.perf_counter()
    judgement = gate.judge(directory, sizes, lambda: None)
    assert judgement.refused is None, judgement
    return time.perf_counter() - start


def large(targets: list[str]) -> str:
    """Sync models of 2 GiB, and hold the gate's share against the download's."""
    text = "| models of 2 GiB | fetch s | gate s | share | memory, MiB |\n|---|---|---|---|---|\n"
    for title, make in (
        (f"safetensors, {TENSORS:,} tensors", safetensors),
        (f"ONNX, {NODES:,} nodes, weights in the same file", onnx_in_one_file),
        (f"ONNX, {NODES:,} nodes, {TENSORS:,} tensors in another file", onnx_beside),
        (f"PyTorch archive, {TENSORS:,} tensors", torch_archive),
    ):
        with tempfile.TemporaryDirectory() as directory:
            bucket = Path(directory) / "bucket"
            (bucket / "large").mkdir(parents=True)
            make(bucket / "large")
            with stand_in(bucket) as url:
                rounds = [synced(url) for _ in range(ROUNDS)]
        fetch, gate, memory = (statistics.median(values) for values in zip(*rounds, strict=True))
        text += f"| {title} | {fetch:.2f} | {gate:.3f} | {gate / fetch:.1%} | {memory:.1f} |\n"
        targets.append(target(f"{title}: share of the download", gate / fetch, MOST_SHARE, ".1%"))
        targets.append(target(f"{title}: memory", memory, MOST_MIB, ".1f", " MiB"))
    return text


def synced(url: str) -> tuple[float, float, float]:
    """Sync the bucket by a fresh worker: seconds of download and of judging, and MiB that the check took."""
    with tempfile.TemporaryDirectory() as directory:
        base = Path(directory) / "models"
        base.mkdir()
        environment = {"AWS_ENDPOINT_URL": url, "S3_BUCKET_NAME": "models"}
        with worker(base, Path(directory) / "log", environment) as running:
            before = peak_mib(checker_of(running))
            running.wait_for("published")
            stages = running.wait_for("sync finished")[0]["stages"]
            return stages["fetch"], stages["gate"], peak_mib(checker_of(running)) - before


def checker_of(running: Worker) -> int:
    """The process that checks, once it waits for models."""
    running.wait_for("started")
    while True:
        tasks = Path(f"/proc/{running.process.pid}/task").glob("*/children")
        for child in (int(child) for task in tasks for child in task.read_text().split()):
            # It has said that it is ready when it filters its calls.
            if "Seccomp:\t2" in Path(f"/proc/{child}/status").read_text():
                return child
        time.sleep(0.01)


def peak_mib(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) / 1024


if __name__ == "__main__":
    print(measure())
