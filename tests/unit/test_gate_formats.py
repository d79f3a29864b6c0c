"""Every format's check: what is benign passes, what is corrupt is refused for its reason, nothing else ever happens."""

from __future__ import annotations

import io
import re
import struct
import time
import tracemalloc
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper

from modelsync.errors import Rejected
from modelsync.gate import archive as zip_archive
from modelsync.gate import onnx as onnx_check
from modelsync.gate.onnx import check_onnx
from modelsync.gate.pickles import Scanned
from modelsync.gate.source import BytesSource
from support.formats import CUT, Format
from support.formats.all import FORMATS
from support.formats.checkpoints import REAL, STATE, VERSION, archive, check_torch_zip, real, scan
from support.formats.zips import Member, build

_CPU_SECONDS = 2.0
_BYTES = 32 << 20

formats = pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)


@formats
def test_the_corpus_is_large_enough(form: Format) -> None:
    assert len(form.benign) >= 30
    assert sum(not name.startswith(CUT) for name in form.corrupt) >= 40, "by hand, beside those that are cut off"
    assert all(why for _, why in form.corrupt.values())


@formats
def test_benign_files_pass(form: Format) -> None:
    refused = {}
    for name, content in form.benign.items():
        try:
            form.check(BytesSource(content))
        except Rejected as error:
            refused[name] = error.reason
    assert not refused


@formats
def test_corrupt_files_are_refused_with_rule_and_reason(form: Format) -> None:
    wrong = {}
    for name, (content, why) in form.corrupt.items():
        try:
            form.check(BytesSource(content))
        except Rejected as error:
            said = error.reason
            if error.rule not in {form.rule, form.also} or not re.search(why, said) or not 20 < len(said) < 600:
                wrong[name] = f"{error.rule}: {said}"
        else:
            wrong[name] = "passed"
    assert not wrong


@formats
@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_change_of_a_benign_file_passes_or_is_refused(form: Format, data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from(sorted(form.benign.values(), key=len)[:20])))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content)))
        gone = data.draw(st.sampled_from([0, 0, 1, 1, 1, 8]))
        content[at : at + gone] = data.draw(st.one_of(st.binary(max_size=9), st.sampled_from([b"\xff" * 8, bytes(8)])))
    start = time.process_time()
    with suppress(Rejected):
        form.check(BytesSource(bytes(content)))
    assert time.process_time() - start < _CPU_SECONDS


@formats
@given(content=st.binary(max_size=400))
@settings(max_examples=60, deadline=None)
def test_any_bytes_pass_or_are_refused(form: Format, content: bytes) -> None:
    with suppress(Rejected):
        form.check(BytesSource(content))


@formats
def test_no_check_takes_much_time_or_memory(form: Format) -> None:
    contents = [*form.benign.values(), *(content for content, _ in form.corrupt.values())]
    for content in sorted(contents, key=len)[-2:]:
        start = time.process_time()
        with suppress(Rejected):
            form.check(BytesSource(content))
        assert time.process_time() - start < _CPU_SECONDS
        tracemalloc.start()
        with suppress(Rejected):
            form.check(BytesSource(content))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < _BYTES


@pytest.mark.parametrize(
    "unit",
    [b"[", b"[],", b'{"":[', b'{"":{},', b'"', b"\\", b'"\\', b"- ", b"? ", b"[[],", b"{a: ", b"&a [", b"*a,", b"!x ",
     b"\x0a\x02", b"\x3a\xff\xff\x7f", b"\x80", b"(", b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x07", b"-", b"0,", b" "],
    ids=str,
)  # fmt: skip
def test_endless_repetition_is_refused_within_bounds(unit: bytes) -> None:
    """A lot of each, where it hurts most: behind each format's own beginning."""
    content = unit * ((128 << 10) // len(unit))
    header = (len(content) + 1).to_bytes(8, "little") + b"{" + content
    array = b"\x93NUMPY\1\0" + (9000).to_bytes(2, "little") + content[:9000]
    for each in (content, header, array, b"\x08\x07" + content, b"PK\3\4" + content, b"a: " + content):
        for form in FORMATS.values():
            start = time.process_time()
            with suppress(Rejected):
                form.check(BytesSource(each))
            assert time.process_time() - start < _CPU_SECONDS, form.rule


def test_of_a_large_archive_the_smallest_entries_are_compared_with_their_crcs(monkeypatch: pytest.MonkeyPatch) -> None:
    small, large = Member("a/data/0", bytes(300)), Member("a/data/1", bytes(5000))
    whole = archive(small, replace(large, crc32=5))
    with pytest.raises(Rejected, match="'a/data/1' has the CRC"):
        FORMATS["torch"].check(BytesSource(whole))
    monkeypatch.setattr(zip_archive, "_WHOLLY_BYTES", 5500)
    monkeypatch.setattr(zip_archive, "_PARTLY_BYTES", 600)
    FORMATS["torch"].check(BytesSource(whole))
    with pytest.raises(Rejected, match="'a/data/0' has the CRC"):
        FORMATS["torch"].check(BytesSource(archive(large, replace(small, crc32=5))))


def test_all_headers_of_an_archive_are_hinted_at_before_the_first_is_read() -> None:
    """They lie all over a large file: one after the other, each would wait for the disk."""

    class Told(BytesSource):
        hinted: ClassVar[list[int]] = []
        early: ClassVar[list[int]] = []

        def hint(self, offset: int, count: int) -> None:
            self.hinted.append(offset)

        def read(self, offset: int, count: int) -> bytes:
            if self.hinted and not self.early:
                self.early.extend(self.hinted)
            return super().read(offset, count)

    content = archive(*(Member(f"a/data/{n}", bytes(100)) for n in range(50)))
    FORMATS["torch"].check(Told(content))
    assert Told.early == [at.start() for at in re.finditer(b"PK\3\4", content)]


def test_a_long_name_and_long_padding_are_read_too() -> None:
    padded = Member("a/data/0", b"", extra=b"FB" + struct.pack("<H", 900) + bytes(900))
    FORMATS["torch"].check(BytesSource(build([Member("a/data.pkl", STATE), VERSION, padded])))


def test_torchscript_passes_only_where_code_may() -> None:
    script = (REAL / "script.pth").read_bytes()
    with pytest.raises(Rejected, match="the file is a program") as caught:
        check_torch_zip(BytesSource(script), scan, allow_code=False)
    assert caught.value.rule == "torch"
    seen = []

    def note(source: object, *, where: str) -> Scanned:
        seen.append(where)
        return scan(source, where=where)  # type: ignore[arg-type]

    check_torch_zip(BytesSource(script), note, allow_code=True)
    assert seen == ["script/data.pkl", "script/constants.pkl"]


def test_files_that_pytorch_writes_here_pass() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed; files that it wrote are in torch_files")
    for old in (False, True):
        written = io.BytesIO()
        module = torch.nn.Sequential(torch.nn.Conv1d(4, 8, 3), torch.nn.GRU(8, 8))
        torch.save(module.state_dict(), written, _use_new_zipfile_serialization=not old)
        FORMATS["torch_legacy" if old else "torch"].check(BytesSource(written.getvalue()))


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_a_node_is_judged_alike_the_short_way_and_the_long_one(data: st.DataObject) -> None:
    """The graph's bytes are changed, most of which are two nodes."""
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], f"/decoder/{n}", pads=[n, 1], group=1) for n in range(2)]
    graph = bytearray(helper.make_graph(nodes, "g", [], []).SerializeToString())
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(graph) - 1))
        graph[at] = data.draw(st.sampled_from([0, 1, 8, 0x0A, 0x12, 0x22, 0x2A, 0x7F, 0x80, 0xFF, graph[at] ^ 1]))
    content = b"\x08\x07\x42\x02\x10\x11\x3a" + bytes([len(graph) & 0x7F | 0x80, len(graph) >> 7]) + graph
    verdicts = []
    for small in (1024, 0):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(onnx_check, "_SMALL_BYTES", small)
            try:
                verdicts.append(check_onnx(BytesSource(content), lambda _: None))
            except Rejected as error:
                verdicts.append(error.reason)  # type: ignore[arg-type]
    assert verdicts[0] == verdicts[1]


def test_json_that_would_take_longer_than_there_is_time_is_refused_unread() -> None:
    class Large(BytesSource):
        size_bytes = (32 << 20) + 1

    with pytest.raises(Rejected, match="it has 33,554,433 bytes, more than 33,554,432"):
        FORMATS["json"].check(Large(b"[]"))


def test_models_that_come_with_onnx_pass() -> None:
    """Exports of PyTorch, and models of its own tests."""
    models = sorted((Path(onnx.__file__).parent / "backend" / "test" / "data").rglob("*.onnx"))
    assert len(models) > 100
    for path in models:
        check_onnx(BytesSource(path.read_bytes()), lambda _: None)


def test_files_that_pytorch_wrote_are_in_the_corpus() -> None:
    assert len(real("zip-*")) == 11
    assert len(real("legacy-*")) == 10
