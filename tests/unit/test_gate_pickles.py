"""What pickles pass the gate, and what the others are refused for."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import time
import tracemalloc
from functools import partial
from pathlib import Path

import pytest

from modelsync.errors import Rejected
from modelsync.gate.pickles import PicklePolicy, Scanned, Storage, allowed_names, judge_pickle, scan_pickle
from modelsync.gate.pickles import judge as judging
from modelsync.gate.second_opinion import check_by_picklescan
from modelsync.gate.source import BytesSource
from support.pickles.assembler import (
    ADDITEMS,
    APPEND,
    APPENDS,
    EMPTY_TUPLE,
    MARK,
    NEWOBJ,
    NONE,
    ORDERED,
    call,
    named,
    number,
    text,
)
from support.pickles.assembler import pickle as whole
from support.pickles.benign import BENIGN
from support.pickles.fake_torch import fake_torch, save
from support.pickles.hostile import HOSTILE, owning

SCAN = PicklePolicy()
scan = partial(scan_pickle, where="data.pkl", policy=SCAN)
judge = partial(judge_pickle, where="data.pkl", policy=SCAN)


def refused(data: bytes, policy: PicklePolicy = SCAN) -> str:
    """Why a pickle is refused."""
    with pytest.raises(Rejected) as caught:
        scan_pickle(BytesSource(data), where="data.pkl", policy=policy)
    assert caught.value.rule == "pickle"
    return caught.value.reason


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_pickle_is_refused_for_the_right_reason(name: str) -> None:
    """Which names the part of the file and the place in it, and is fit for a log."""
    reason = refused(HOSTILE[name].data)
    assert reason.startswith("data.pkl cannot be loaded safely: at byte ")
    assert HOSTILE[name].says in reason
    assert reason.isascii()
    assert reason.isprintable()
    assert len(reason) < 400


@pytest.mark.parametrize("name", BENIGN)
def test_a_benign_pickle_passes_both_scanners_and_ends_where_it_does(name: str) -> None:
    data = BENIGN[name]
    assert judge(BytesSource(data + b"behind it")).end == len(data)
    assert scan(BytesSource(b"before" + data), offset=6) == 6 + len(data)


def test_there_are_many_of_both() -> None:
    assert len(HOSTILE) > 300
    assert len(BENIGN) > 300
    assert sum("by PyTorch" in name for name in BENIGN) > 20


def test_live_pickles_do_execute(tmp_path: Path) -> None:
    """The corpus is not made of straw: loading these runs what they name, before they break or not."""
    live = [found for found in HOSTILE.values() if found.live]
    for index, found in enumerate(live):
        (tmp_path / str(index)).mkdir()
        (tmp_path / str(index) / "hostile").write_bytes(found.data)
    load = """
import contextlib, os, pickle, sys
for index in range(int(sys.argv[1])):
    os.chdir(f"{sys.argv[2]}/{index}")
    with contextlib.suppress(Exception), open("hostile", "rb") as file:
        pickle.load(file)
"""
    subprocess.run([sys.executable, "-c", load, str(len(live)), str(tmp_path)], check=True, timeout=60)
    assert len(live) > 20
    assert [index for index in range(len(live)) if not (tmp_path / str(index) / "marker").exists()] == []


def test_scanning_executes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for found in HOSTILE.values():
        if found.live:
            refused(found.data)
            with pytest.raises(Rejected):
                judge(BytesSource(found.data))
    assert os.listdir(tmp_path) == []


def test_a_second_pickle_behind_the_first_is_found_where_that_ends() -> None:
    """Its caller goes on there, or refuses what is behind the end."""
    data = whole(NONE) + HOSTILE["eval"].data
    end = scan(BytesSource(data))
    assert end == len(whole(NONE))
    with pytest.raises(Rejected, match=r"at byte [0-9]+ it asks for 'builtins.eval'"):
        scan(BytesSource(data), offset=end)


def test_opcodes_behind_stop_are_not_this_pickles() -> None:
    data = whole(NONE)
    assert scan(BytesSource(data + b"cos\nsystem\n)R.")) == len(data)


def test_the_modes() -> None:
    hostile = HOSTILE["eval"].data
    assert scan_pickle(BytesSource(hostile), where="x", policy=PicklePolicy("allow")) == len(hostile)
    assert judge_pickle(BytesSource(hostile), where="x", policy=PicklePolicy("allow")) == Scanned(len(hostile))
    assert "GATE_PICKLE=refuse" in refused(whole(NONE), PicklePolicy("refuse"))
    assert "cut off" in refused(hostile[:-1], PicklePolicy("allow"))


def test_an_added_name_may_be_made_called_and_given_a_state() -> None:
    with fake_torch() as torch:
        data = save({"hps": torch.made("voices.hparams.HParams", train={"lr": 1})})
    assert "GATE_PICKLE_ALLOW can add it" in refused(data)
    added = PicklePolicy("scan", allowed_names(["voices.hparams.HParams"]))
    assert judge_pickle(BytesSource(data), where="x", policy=added).end == len(data)
    for body in (
        call(named("voices.hparams", "HParams"), text("x")),
        call(named("voices.hparams", "HParams")) + b"(" + text("a") + number(1) + b"u",
    ):
        scan_pickle(BytesSource(whole(body)), where="x", policy=added)


@pytest.mark.parametrize(
    ("method", "fills"),
    [("append", number(1) + APPEND), ("extend", MARK + number(1) + APPENDS), ("add", MARK + number(1) + ADDITEMS)],
)
def test_an_added_name_does_not_lend_its_methods(method: str, fills: bytes) -> None:
    """An object with a method of its own would call what the pickle names, with what it likes."""
    added = PicklePolicy("scan", allowed_names(["voices.hparams.HParams"]))
    made = named("voices.hparams", "HParams", 4) + EMPTY_TUPLE + NEWOBJ
    scan_pickle(BytesSource(whole(made + fills, 4)), where="x", policy=added)
    data = whole(owning(made, method, named("builtins", "bytearray", 4)) + fills, 4)
    assert "after it was given its state" in refused(data, added)


def test_a_scan_tells_which_storages_a_pickle_asks_for() -> None:
    with fake_torch() as torch:
        data = save([torch.tensor(6), torch.storage("Half", key="1", numel=9), torch.storage("Half", key="1", numel=9)])
    assert judge(BytesSource(data)).storages == {"0": Storage(6, 4), "1": Storage(9, 2)}
    assert Storage(9, 2).size_bytes == 18


def test_an_added_name_is_no_other_attribute_of_the_same_spelling() -> None:
    """`voices:hparams.HParams` walks through what `voices` has imported; `voices.hparams.HParams` does not."""
    data = whole(named("voices", "hparams.HParams", 4), 4)
    assert "'voices:hparams.HParams'" in refused(data, PicklePolicy("scan", allowed_names(["voices.hparams.HParams"])))
    nested = PicklePolicy("scan", allowed_names(["voices:hparams.HParams"]))
    assert scan_pickle(BytesSource(data), where="x", policy=nested) == len(data)


def test_an_added_name_makes_no_other_pass() -> None:
    added = PicklePolicy("scan", frozenset({"os.system"}) | allowed_names(["voices.hparams.HParams"]))
    assert "'builtins.eval'" in refused(HOSTILE["eval"].data, added)


def test_what_can_never_be_added_is_not_offered() -> None:
    assert "GATE_PICKLE_ALLOW" not in refused(HOSTILE["eval"].data)
    assert "GATE_PICKLE_ALLOW" in refused(whole(named("fairseq.data.dictionary", "Dictionary")))


def test_too_many_opcodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "MAX_OPCODES", 1000)
    assert "more than 1,000 opcodes" in refused(whole(b"N0" * 1000 + NONE))
    assert scan(BytesSource(whole(b"N0" * 400 + NONE))) == 804


class Zeros:
    """A source of a pickle and then zeros without end, which counts what is read of it."""

    def __init__(self, begin: bytes, size_bytes: int) -> None:
        self.begin, self.size_bytes, self.read_bytes, self.longest_bytes = begin, size_bytes, 0, 0

    def read(self, offset: int, count: int) -> bytes:
        count = max(min(count, self.size_bytes - offset), 0)
        self.read_bytes += count
        self.longest_bytes = max(self.longest_bytes, count)
        return self.begin[offset : offset + count].ljust(count, b"\0")

    def hint(self, offset: int, count: int) -> None:
        """Nothing is read ahead."""


@pytest.mark.parametrize("length", [65 << 20, 4 << 30, 63 << 30])
def test_a_pickle_with_weights_in_it_is_refused_unread(length: int) -> None:
    source = Zeros(whole(b"\x8e" + length.to_bytes(8, "little"), 4)[:-1], 64 << 30)
    with pytest.raises(Rejected, match=r"longer than 64\.0 MiB"):
        scan(source)
    assert source.read_bytes < 1 << 20
    assert source.read_bytes > 0


def test_large_bytes_are_passed_over_unread() -> None:
    begin = whole(b"\x8e" + (60 << 20).to_bytes(8, "little"), 4)[:-1]
    source = Zeros(begin, len(begin) + (60 << 20))
    with pytest.raises(Rejected, match="cut off"):
        scan(source)
    assert source.read_bytes < 1 << 20


def test_a_source_that_ends_early_is_refused() -> None:
    """A file may be cut off while it is read."""

    class Shrunk(BytesSource):
        size_bytes = 1000

    with pytest.raises(Rejected, match="cut off"):
        scan(Shrunk(b"\x80\x02X\x20\x00\x00\x00ab"))
    with pytest.raises(Rejected, match="does not end"):
        scan(Shrunk(b"I12"))


def _repeated(piece: bytes, count: int) -> bytes:
    return b"\x80\x04" + piece * count + b"N."


@pytest.mark.parametrize(
    "data",
    [
        _repeated(b"N0", 150_000),
        _repeated(b"V" + b"x" * 1000 + b"\n0", 10_000),
        _repeated(b"C\xff" + bytes(255) + b"0", 50_000),
        _repeated(b"B\x00\x00\x01\x00" + bytes(65536) + b"0", 300),
        _repeated(b"(" + b"N" * 99 + b"t0", 2_000),
        _repeated(ORDERED + b")R0", 20_000),
        b"\x80\x04" + b"".join(text(f"key {n}", 4) + b"\x94" for n in range(90_000)) + b"N.",
        b"\x80\x04" + b"))))))))))))))))))))))))))))))))" + b"(" + b")" * 31 + b"tq\x00" + b"(" + b"h\x00" * 31
            + b"tq\x01"
        + (b"ctorch\nSize\nh\x01\x85R0" * 20_000) + b"N.",
        b"c" + b"a." * 500_000 + b"\nx\n.",
        b"\x80\x04" + b"]" * 99_000 + b"a" * 98_999 + b".",
    ],
    ids=["small", "lines", "bytes", "blocks", "tuples", "calls", "memo", "one tuple many times", "dots", "deep"],
)  # fmt: skip
def test_time_and_memory_are_bounded(data: bytes) -> None:
    """In proportion to the opcodes, whatever they are."""
    source = BytesSource(data)
    tracemalloc.start()
    begun = time.process_time()
    try:
        scan(source)
    except Rejected as error:
        assert len(error.reason) < 400  # noqa: PT017
    spent, (_, peak) = time.process_time() - begun, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert spent < 10
    assert peak < 64 << 20


def second_opinion(data: bytes, *names: tuple[str, str]) -> None:
    """Ask picklescan alone."""
    check_by_picklescan(BytesSource(data), 0, len(data), set(names), where="data.pkl")


def test_picklescan_reads_a_large_pickle_in_pieces() -> None:
    """It is not in memory twice."""
    source = Zeros(whole(b"C\x04abcd0" * 300_000 + NONE), 2_100_004)
    check_by_picklescan(source, 0, source.size_bytes, set(), where="data.pkl")
    assert source.longest_bytes <= 1 << 20


def test_picklescan_alone_may_refuse() -> None:
    """What it holds to be dangerous is refused, even if it is on our list."""
    data = whole(call(named("os", "system")))
    with pytest.raises(Rejected, match=r"picklescan finds 'os\.system'") as caught:
        second_opinion(data, ("os", "system"))
    assert caught.value.rule == "pickle"


def test_scanners_that_disagree_refuse() -> None:
    """An escape in a name is resolved by pickletools and not by the unpickler: one of them was deceived."""
    data = b"\x80\x02ccollecti\\x6fns\nOrderedDict\n."
    with pytest.raises(Rejected, match="does not read it as we do"):
        second_opinion(data, ("collecti\\x6fns", "OrderedDict"))
    with pytest.raises(Rejected, match="does not read it as we do"):
        second_opinion(whole(ORDERED))


@pytest.mark.parametrize(
    "data", [b"", b"\x80\x02ccollections\nOrderedDict\n", b"\x93."], ids=["empty", "cut", "failing"]
)
def test_a_scanner_that_fails_refuses(data: bytes) -> None:
    with pytest.raises(Rejected, match="cannot be judged") as caught:
        second_opinion(data, ("collections", "OrderedDict"))
    assert caught.value.rule == "pickle"


def test_picklescan_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """What it would log is the pickle's own words."""
    with pytest.raises(Rejected):
        second_opinion(HOSTILE["eval"].data)
    assert caplog.records == []


def test_what_is_judged_is_what_python_unpickles() -> None:
    """Of the plain values, which need no torch: the corpus is what it says."""
    plain = [data for name, data in BENIGN.items() if name.startswith(("numbers,", "texts,", "an array,", "paths,"))]
    assert len(plain) == 32
    for data in plain:
        stream = io.BytesIO(data + b"behind it")
        assert pickle.load(stream) is not None
        assert stream.tell() == scan(BytesSource(data))
