"""Files of a model: what they are to each other."""

from __future__ import annotations

import pickle
from functools import partial

import pytest

from modelsync.core.names import RelPath
from modelsync.errors import Rejected
from modelsync.gate.check import check_file
from modelsync.gate.pickles import PicklePolicy, judge_pickle
from modelsync.gate.source import BytesSource, Source
from support.formats import scan
from support.formats.all import FORMATS
from support.formats.checkpoints import REAL, archive, legacy, real
from support.formats.graphs import external, model
from support.formats.zips import Member
from support.pickles.fake_torch import fake_torch, save

TINY = model(external(offset=0, length=64)).SerializeToString()
VOICE = {form.name: next(iter(form.benign.values())) for form in FORMATS.values()}


def judge(files: dict[str, bytes], *, allow_code: bool = False) -> None:
    sources: dict[RelPath, Source] = {RelPath(path): BytesSource(content) for path, content in files.items()}
    for path in sorted(sources):
        check_file(path, sources, scan, allow_code=allow_code)


def refusal(files: dict[str, bytes], **options: bool) -> Rejected:
    with pytest.raises(Rejected) as caught:
        judge(files, **options)
    return caught.value


def test_a_voice_of_every_kind_passes() -> None:
    judge(VOICE | {"raw.bin": bytes(64), "p.bin": b"\x80\x04]\x94.", "de/espeak.txt": b"a"})


@pytest.mark.parametrize("broken", VOICE)
def test_one_broken_file_holds_the_model_back_and_is_named(broken: str) -> None:
    error = refusal(VOICE | {broken: b"\xff\xfe\0" + VOICE[broken]})
    assert error.reason.startswith(f"'{broken}': ")


@pytest.mark.parametrize(("path", "data"), [("model.onnx", "model.bin"), ("de/a/model.onnx", "de/a/model.bin")])
def test_external_data_lie_beside_the_graph(path: str, data: str) -> None:
    judge({path: TINY, data: bytes(64)})
    assert "which has 63" in refusal({path: TINY, data: bytes(63)}).reason
    assert "not among the model's files" in refusal({path: TINY, f"x/{data}": bytes(64)}).reason
    assert refusal({path: TINY}).rule == "onnx"


def test_a_pickle_with_bytes_behind_it_is_refused() -> None:
    assert "are behind its pickle" in refusal({"a.pth": b"\x80\x04]\x94.\0"}).reason


def tensors(*storages: tuple[str, str, int]) -> bytes:
    """The pickle of tensors over storages, each of a type, key and number of elements."""
    with fake_torch() as torch:
        return save([torch.tensor(2, storage=torch.storage(kind, key=key, numel=n)) for kind, key, n in storages], 2)


def hold(content: bytes) -> None:
    """Judge a file of torch's, with its pickles."""
    scan_all = partial(judge_pickle, policy=PicklePolicy())
    check_file(RelPath("a.pth"), {RelPath("a.pth"): BytesSource(content)}, scan_all, allow_code=False)


TWO = tensors(("Float", "0", 4), ("Half", "1", 3))
TWO_OLD = tensors(("Float", "94000", 4), ("Half", "94001", 3))


def members(*sizes: int) -> list[Member]:
    return [Member(f"a/data/{n}", bytes(size)) for n, size in enumerate(sizes)]


@pytest.mark.parametrize("name", [name for name in real("*.pth") if "sparse" not in name and "script" not in name])
def test_files_that_pytorch_wrote_have_the_storages_that_their_pickles_ask_for(name: str) -> None:
    hold(real(name)[name])


def test_storages_that_a_pickle_asks_for_must_be_there_and_of_its_size() -> None:
    """Of 4 GB that are not there, torch makes memory that nobody has written to, or reads what lies beyond."""
    hold(archive(*members(16, 6), state=TWO))
    for sizes, why in (
        ((16,), "asks for storage '1', which is not there"),
        ((15, 6), "'a/data/0' has 15 bytes, its pickle asks for 16"),
        ((16, 7), "'a/data/1' has 7 bytes, its pickle asks for 6"),
        ((0, 6), "has 0 bytes"),
    ):
        with pytest.raises(Rejected, match=why) as caught:
            hold(archive(*members(*sizes), state=TWO))
        assert caught.value.rule == "torch"
    with pytest.raises(Rejected, match="asks for 4,000,000,000"):
        hold(archive(*members(16), state=tensors(("Float", "0", 10**9))))


def test_storages_of_the_older_format_are_those_that_the_pickle_asks_for() -> None:
    hold(legacy([(4, bytes(16)), (3, bytes(6))], state=TWO_OLD))
    for storages, keys, why in (
        ([(4, bytes(16))], 1, "it lists 1 storage, and not those"),
        ([(4, bytes(16)), (3, bytes(6)), (0, b"")], 3, "it lists 3 storages, and not those"),
        ([(2, bytes(16)), (3, bytes(6))], 2, "storage 1 of 2 is cut off or malformed"),
        ([(4, bytes(16)), (3, bytes(12))], 2, "do not end at the same byte"),
        ([(4, bytes(16)), (3, bytes(3))], 2, "storage 2 of 2 is cut off"),
    ):
        with pytest.raises(Rejected, match=why):
            hold(legacy(storages, keys=keys, state=TWO_OLD))


def test_a_file_of_the_older_format_by_python_2_has_its_keys_as_bytes() -> None:
    keys = b"\x80\x02](U\x0594000U\x0594001e."
    new = pickle.dumps(["94000", "94001"], protocol=2)
    hold(legacy([(4, bytes(16)), (3, bytes(6))], state=TWO_OLD).replace(new, keys))


def test_programs_pass_only_where_they_are_allowed() -> None:
    script = {"a.pth": (REAL / "script.pth").read_bytes()}
    tags = {"a.yaml": b"model: !new:torch.nn.Linear {}"}
    assert refusal(script).rule == "torch"
    assert refusal(tags).rule == "yaml"
    judge(script | tags, allow_code=True)
    python = {"a.yaml": b"!!python/name:os.system"}
    assert "GATE_PICKLE" not in refusal(python, allow_code=True).reason


def test_a_name_in_a_reason_is_printable_and_short() -> None:
    reason = refusal({"x" * 200 + "\u202e.json": b"{"}).reason
    assert len(reason) < 300
    assert "\u202e" not in reason
