"""The reader of opcodes, held against `pickletools`, and the globals that pass."""

from __future__ import annotations

import _compat_pickle
import io
import itertools
import pickletools
import sys
from pathlib import Path

import pytest

from modelsync.gate.pickles import allowed_names
from modelsync.gate.pickles.extension import is_addable
from modelsync.gate.pickles.machine import ACTIONS, REFUSED
from modelsync.gate.pickles.names import RULES, rule_of
from modelsync.gate.pickles.opcodes import MAX_BYTES, MAX_OPCODES, OpcodeReader
from modelsync.gate.pickles.values import Kind
from modelsync.gate.source import BytesSource
from support.pickles.benign import BENIGN

PAGE = Path(__file__).parents[2] / "docs/pickles.md"


def read(data: bytes) -> list[tuple[str, int, object]]:
    reader = OpcodeReader(BytesSource(data), 0, max_bytes=MAX_BYTES, max_opcodes=MAX_OPCODES)
    return [(name, reader.at, argument) for name, argument in reader]


@pytest.mark.parametrize("name", BENIGN)
def test_the_reader_finds_what_pickletools_finds(name: str) -> None:
    """The same opcodes at the same places, and the same arguments where they are kept."""
    data = BENIGN[name]
    stream = io.BytesIO(data)
    for ours, theirs in itertools.zip_longest(read(data), pickletools.genops(stream)):
        opcode, argument, at = theirs
        assert ours[:2] == (opcode.name, at)
        match ours[2]:
            case Kind() | None:
                pass
            case (module, attribute):
                assert f"{module} {attribute}" == argument
            case bytes(text):
                assert text.decode("latin-1") == argument
            case kept:
                assert kept == argument
    assert stream.tell() == len(data)


def test_every_documented_opcode_is_judged() -> None:
    """A Python that knows more of them does not let them pass unseen."""
    known = {opcode.name for opcode in pickletools.opcodes if opcode.proto <= 5}
    assert ACTIONS.keys() | REFUSED.keys() == known
    assert not ACTIONS.keys() & REFUSED.keys()


def test_no_name_is_listed_twice() -> None:
    names = [name for rule in RULES for name in rule.names]
    assert len(names) == len(set(names))


def test_what_passes_means_the_same_in_old_protocols() -> None:
    """Python 3 maps Python 2's names to its own: none on the list becomes something that is not."""
    for rule in RULES:
        for name in rule.names:
            module, _, attribute = name.rpartition(".")
            mapped = _compat_pickle.NAME_MAPPING.get(
                (module, attribute), (_compat_pickle.IMPORT_MAPPING.get(module, module), attribute)
            )
            assert rule_of(".".join(mapped), frozenset()) is rule


def test_no_name_of_the_list_is_dotted() -> None:
    assert all(":" not in name for rule in RULES for name in rule.names)


@pytest.mark.parametrize(
    "word",
    [
        "fairseq.data.dictionary.Dictionary", "utils.HParams", "omegaconf.dictconfig.DictConfig",
        "omegaconf.base.ContainerMetadata", "TTS.tts.configs.vits_config.VitsConfig", "torch.nn.modules.linear.Linear",
        "models:Outer.Inner", "mine.types.Config", "mine.loaders.Settings",
    ],
)  # fmt: skip
def test_a_models_own_classes_can_be_added(word: str) -> None:
    assert allowed_names([word]) == {word}
    assert is_addable(word)


@pytest.mark.parametrize(
    "word",
    [
        "os.system", "posix.system", "nt.system", "builtins.eval", "__builtin__.eval", "sys.modules",
            "subprocess.Popen",
        "importlib.import_module", "importlib.util.module_from_spec", "runpy.run_path", "pty.spawn", "socket.socket",
        "functools.partial", "operator.attrgetter", "types.CodeType", "copyreg._reconstructor", "pickle.loads",
        "collections.namedtuple", "pathlib.Path", "six.moves.builtins.eval", "past.builtins.execfile",
        "__main__.Model", "pip.main", "setuptools.build_meta.os", "torch.load", "torch.serialization.load",
        "torch.storage._load_from_bytes", "torch.hub.load", "torch.jit._script.load", "torch.ops.load_library",
        "torch._dynamo.guards.GuardBuilder", "torch.utils.collect_env.run", "numpy.load", "numpy.lib.npyio.NpzFile",
        "numpy.testing._private.utils.runstring", "joblib.load", "dill.loads", "pandas.io.pickle.read_pickle",
        "mine.os", "mine._os", "mine.subprocess", "mine:os.system", "mine:Outer._sys.modules", "mine:Outer.load",
        "mine.eval", "mine._exec", "mine.from_pretrained", "mine:Outer.__init__", "mine.__getattr__",
        "mine.__dict__.Config", "mine:Outer.Inner.__globals__", "distutils.file_util.write_file",
    ],
)  # fmt: skip
def test_what_reaches_out_can_never_be_added(word: str) -> None:
    assert not is_addable(word)
    with pytest.raises(ValueError, match="cannot be allowed"):
        allowed_names([word])


@pytest.mark.parametrize(
    "word",
    ["", "HParams", ".", "a.", ".a", "a..b", "a b.c", "a.b\n", "a.b:", ":a.b", "a:b", "a:b:c.d", "a.1b", "ä.b",
        "a." * 200 + "b"],
)  # fmt: skip
def test_what_is_no_name_is_told(word: str) -> None:
    assert not is_addable(word)
    with pytest.raises(ValueError, match=r"is no global: write module\.name"):
        allowed_names([word])


def test_all_bad_words_are_told_at_once() -> None:
    with pytest.raises(ValueError, match=r"'HParams' is no global.*; 'os\.system' cannot be allowed") as caught:
        allowed_names(["os.system", "utils.HParams", "HParams"])
    assert "utils.HParams" not in str(caught.value)
    assert allowed_names([]) == frozenset()


def test_every_module_of_the_standard_library_is_closed() -> None:
    assert not [name for name in sys.stdlib_module_names if is_addable(f"{name}.X") or is_addable(f"{name}.a.b.X")]


def test_the_page_shows_the_list() -> None:
    """docs/pickles.md: a row for each rule."""
    rows = [f"| {', '.join(f'`{name}`' for name in rule.names)} | {rule.why} |" for rule in RULES]
    assert "\n".join(rows) in PAGE.read_text(), "\n".join(rows)
