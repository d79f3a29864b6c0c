"""What must hold of the scan of pickles, whatever it reads."""

from __future__ import annotations

import io
import pickle
import pickletools
import time
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from modelsync.errors import Rejected
from modelsync.gate.pickles import PicklePolicy, judge_pickle, scan_pickle
from modelsync.gate.source import BytesSource
from support.pickles.benign import BENIGN
from support.pickles.hostile import HOSTILE

_SMALL = [data for data in (*BENIGN.values(), *(found.data for found in HOSTILE.values())) if len(data) < 5_000]
_OPCODES = [opcode.code.encode("latin-1") for opcode in pickletools.opcodes]
_PIECES = st.sampled_from(
    [
        *_OPCODES, b"\x80\x02", b"\x80\x04", b"X\x02\x00\x00\x00os", b"\x8c\x06system", b"\x8c\x0bcollections",
        b"\x8c\x0bOrderedDict", b"ccollections\nOrderedDict\n", b"ctorch._utils\n_rebuild_tensor_v2\n", b"K\x01",
        b"q\x00", b"h\x00", b"q\x01", b"h\x01", b"\x85R", b")R", b"(K\x01K\x02t", b"\x95\x05" + bytes(7), b"I1\n",
    ]
)  # fmt: skip

data_of_any_kind = st.one_of(
    st.binary(max_size=200),
    st.lists(_PIECES, max_size=60).map(b"".join),
    st.lists(_PIECES, max_size=60).map(lambda pieces: b"\x80\x04" + b"".join(pieces) + b"."),
)
plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=5)
        | st.sets(st.integers() | st.text(max_size=5), max_size=5)
    ),
    max_leaves=30,
)


def _judge(data: bytes) -> int | None:
    """The end of a pickle, or None if it is refused; nothing else may come of it."""
    begun = time.process_time()
    try:
        return judge_pickle(BytesSource(data), where="data.pkl", policy=PicklePolicy()).end
    except Rejected as error:
        refused = error
    finally:
        assert time.process_time() - begun < 2
    assert refused.rule == "pickle"
    assert len(refused.reason) < 500
    refused.reason.encode()
    return None


@given(data_of_any_kind)
def test_bytes_are_refused_or_end_somewhere(data: bytes) -> None:
    end = _judge(data)
    assert end is None or data[end - 1 : end] == b"."


@given(st.sampled_from(_SMALL), st.data())
def test_changed_pickles_are_refused_or_end_somewhere(data: bytes, draw: st.DataObject) -> None:
    """A byte changed, a piece cut out, put in or doubled."""
    start = draw.draw(st.integers(0, len(data)))
    stop = draw.draw(st.integers(start, min(len(data), start + 20)))
    piece = draw.draw(st.one_of(st.just(b""), st.binary(max_size=4), _PIECES, st.just(data[start:stop] * 2)))
    changed = data[:start] + piece + data[stop:]
    end = _judge(changed)
    assert end is None or end <= len(changed)


@given(plain_values, st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_plain_values_pass_in_every_protocol(value: object, protocol: int) -> None:
    data = pickle.dumps(value, protocol)
    assert _judge(data + b"behind it") == len(data)


class _Watched(pickle.Unpickler):
    """Unpickles, and imports nothing: it notes what it is asked for."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self.asked_for: set[tuple[str, str]] = set()

    def find_class(self, module: str, name: str) -> object:
        self.asked_for.add((module, name))
        raise pickle.UnpicklingError("nothing is imported")

    def persistent_load(self, _: object) -> object:
        raise pickle.UnpicklingError("nothing is loaded")


@given(data_of_any_kind | st.sampled_from([found.data for found in HOSTILE.values()]))
def test_what_the_unpickler_asks_for_first_is_what_the_scan_sees(data: bytes) -> None:
    """The real unpickler, stopped at its first import: whatever that is, a scan that passes has it on its list."""
    if len(data) > 100_000:
        return
    watched = _Watched(data)
    with suppress(Exception):  # it fails with anything
        watched.load()
    try:
        scan_pickle(BytesSource(data), where="data.pkl", policy=PicklePolicy())
    except Rejected:
        return
    harmless = {("collections", "OrderedDict"), ("torch._utils", "_rebuild_tensor_v2")}
    assert watched.asked_for <= harmless
