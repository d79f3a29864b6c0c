"""Files of a model: what they are to each other."""

from __future__ import annotations

import pytest

from modelsync.core.names import RelPath
from modelsync.errors import Rejected
from modelsync.gate.check import check_file
from modelsync.gate.source import BytesSource, Source
from support.formats import scan
from support.formats.all import FORMATS
from support.formats.checkpoints import REAL
from support.formats.graphs import external, model

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
