"""The globals that a pickle may ask for, and what each is harmless for.

They are those that checkpoints of Coqui TTS, XTTS, Bark, Tortoise, VITS, Piper, Tacotron 2, FastPitch and HiFi-GAN
ask for, as far as calling them does nothing but build a value. Everything else is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from modelsync.gate.pickles.forms import (
    Predicate,
    anything,
    array_state,
    count,
    dtype_state,
    either,
    exactly,
    flag,
    hooks,
    imported,
    listing,
    made,
    mapping,
    nothing,
    number,
    numeric_dtype,
    one_of,
    raw,
    short_text,
    sizes,
    storage,
    takes,
    text,
    texts,
    whole,
)
from modelsync.gate.pickles.values import Global, Kind, Storage, Tuple, Value, text_of


@dataclass(frozen=True)
class Rule:
    """How globals may be used, and why nothing comes of it.

    Attributes:
        names: the globals, as `module.name`.
        why: what they are, and what calling them does.
        call: the arguments that REDUCE may call them with; None: they are no more than values.
        new: the arguments that NEWOBJ may create an object with; None: it may not.
        state: the state that BUILD may give to what was made; None: none.
        fill: the kinds of collections as which what was made may be filled. As a list, `append` or `extend` is called,
            as a set `add`.
        gives: the class of what a call makes, where that is not the global itself.
    """

    names: tuple[str, ...]
    why: str
    call: Predicate | None = None
    new: Predicate | None = None
    state: Predicate | None = None
    fill: tuple[Kind, ...] = ()
    gives: str = ""


_NUMBERS = {
    "Double": 8, "Float": 4, "Half": 2, "Long": 8, "Int": 4, "Short": 2, "Char": 1, "Byte": 1, "Bool": 1, "BFloat16": 2,
}  # fmt: skip
_OTHERS = {"ComplexDouble": 16, "ComplexFloat": 8, "QInt8": 1, "QUInt8": 1, "QInt32": 4}
_STORAGES = {
    **{f"torch.{name}Storage": size for name, size in _NUMBERS.items()},
    **{f"torch.cuda.{name}Storage": size for name, size in _NUMBERS.items()},
    **{f"torch.{name}Storage": size for name, size in _OTHERS.items()},
    "torch.storage.UntypedStorage": 1,
}
"""The types of storages, and the bytes of an element."""

_DTYPES = tuple(
    f"torch.{name}"
    for name in (
        *("float16", "float32", "float64", "bfloat16", "complex64", "complex128", "bool", "uint8", "uint16", "uint32"),
        *("uint64", "int8", "int16", "int32", "int64", "qint8", "quint8", "qint32", "float8_e4m3fn", "float8_e5m2"),
    )
)
_BUILTINS = ("builtins", "__builtin__")
_FACTORIES = tuple(f"{module}.{name}" for module in _BUILTINS for name in ("list", "dict", "int", "float", "str"))
_SETS = tuple(f"{module}.{name}" for module in _BUILTINS for name in ("set", "frozenset"))
_ARRAYS = ("numpy.core.multiarray", "numpy._core.multiarray")
_REBUILD = "torch._utils._rebuild"
_TENSOR = made("torch.Tensor")
_VIEW = (storage, whole, sizes, sizes)


storage_id = takes(
    one_of("storage"), imported(*_STORAGES), short_text, text, count, either(nothing, sizes), least=5
)  # fmt: skip
"""What torch writes in place of a storage: its type, key, device, number of elements, and once a view."""


def storage_of(asked: Value) -> tuple[str, Storage]:
    """The key and the size of a storage, of what `storage_id` holds for one."""
    _, kind, key, _, elements, *_ = cast("tuple[Any, Global, str | bytes, Any, int]", cast("Tuple", asked).items)
    return text_of(key) or "", Storage(elements, _STORAGES[kind.name])


def _from_type(value: Value) -> bool:
    """The arguments of `_rebuild_from_type_v2`: a function, a class, the function's arguments, attributes."""
    forms = takes(anything, imported("torch.Tensor", "torch.nn.parameter.Parameter"), sizes, mapping)
    if not (forms(value) and isinstance(value, Tuple) and value.items and isinstance(value.items[0], Global)):
        return False
    rule = _BY_NAME.get(value.items[0].name)
    return bool(rule and rule.gives == "torch.Tensor" and rule.call and rule.call(value.items[2]))


RULES = (
    Rule(
        ("collections.OrderedDict", "collections.Counter"),
        "state dicts, and milestones of schedulers; dicts of the standard library, filled with what the pickle has",
        call=takes(either(listing, mapping), least=0), state=mapping, fill=(Kind.DICT,),
    ),
    Rule(
        ("collections.defaultdict",),
        "the state of optimizers; it would call its factory for a missing key, so that may be a plain type alone",
        call=takes(either(nothing, imported(*_FACTORIES, *_SETS, "collections.OrderedDict")), least=0),
        fill=(Kind.DICT,),
    ),
    Rule(
        ("collections.deque",),
        "running means of losses; made empty, then filled",
        call=takes(sizes, either(nothing, whole), least=0), fill=(Kind.LIST,),
    ),
    Rule(_FACTORIES, "factories of a `defaultdict`; as values, never called"),
    Rule(("typing.Any",), "a type in configurations of omegaconf; as a value, never called"),
    Rule(_SETS, "sets, as protocols below 4 write them; made of a list", call=takes(listing)),
    Rule(
        tuple(f"{module}.complex" for module in _BUILTINS), "complex numbers; made of two", call=takes(number, number)
    ),
    Rule(
        tuple(f"{module}.bytes" for module in _BUILTINS),
        "no bytes, as protocols below 3 write them; without arguments: a number would ask for that much memory",
        call=takes(), gives="builtins.bytes",
    ),
    Rule(
        tuple(f"{module}.bytearray" for module in _BUILTINS),
        "byte arrays; made of bytes, never of a number, which would ask for that much memory",
        call=takes(raw, one_of("latin-1"), least=0),
    ),
    Rule(
        ("_codecs.encode",),
        "bytes, as protocols below 3 write them; to Latin-1 alone: any other codec is looked up by name and imported",
        call=takes(text, one_of("latin1", "latin-1")), gives="builtins.bytes",
    ),
    Rule(
        ("datetime.datetime", "datetime.timedelta"),
        "when and for how long a model was trained; plain values that check what they are given",
        call=takes(either(raw, whole), whole, whole, least=1),
    ),
    Rule(
        ("pathlib.PosixPath", "pathlib._local.PosixPath"),
        "paths of a training's data, in checkpoints of Piper; text that is joined, no file is touched",
        call=texts,
    ),
    Rule(
        ("argparse.Namespace",),
        "hyperparameters of Tacotron 2, FastPitch and fairseq; an empty object that gets attributes",
        new=takes(), state=mapping,
    ),
    Rule(tuple(_STORAGES), "types of storages; as values within a storage's id, never called"),
    Rule(_DTYPES, "types of numbers; as values, never called"),
    Rule(
        ("torch.Tensor", "torch.nn.parameter.Parameter", "torch.per_tensor_affine", "torch.per_channel_affine"),
        "what a tensor is rebuilt as; as values, never called",
    ),
    Rule(("torch.Size",), "sizes of tensors; a tuple of numbers", call=takes(sizes)),
    Rule(("torch.device",), "names of devices; parsed, nothing is opened", call=takes(text, whole, least=1)),
    Rule(
        (f"{_REBUILD}_tensor",),
        "a tensor over a storage; torch checks that it lies within it",
        call=takes(*_VIEW), gives="torch.Tensor",
    ),
    Rule(
        (f"{_REBUILD}_tensor_v2",),
        "the same since PyTorch 0.4; hooks, which a backward pass would call, can be none but harmless globals",
        call=takes(*_VIEW, flag, hooks, either(nothing, mapping), least=6), gives="torch.Tensor",
    ),
    Rule(
        (f"{_REBUILD}_tensor_v3",),
        "the same for newer types of numbers",
        call=takes(*_VIEW, flag, hooks, imported(*_DTYPES), either(nothing, mapping), least=7), gives="torch.Tensor",
    ),
    Rule(
        (f"{_REBUILD}_qtensor",),
        "the same for quantized tensors",
        call=takes(*_VIEW, sizes, flag, hooks), gives="torch.Tensor",
    ),
    Rule(
        (f"{_REBUILD}_parameter",),
        "a parameter around a tensor",
        call=takes(_TENSOR, flag, hooks), gives="torch.Tensor",
    ),
    Rule(
        (f"{_REBUILD}_parameter_with_state",),
        "the same with attributes, which are set on it",
        call=takes(_TENSOR, flag, hooks, mapping), gives="torch.Tensor",
    ),
    Rule(
        ("torch._tensor._rebuild_from_type_v2",),
        "a tensor with attributes; it calls one of the functions above, with arguments as above",
        call=_from_type, gives="torch.Tensor",
    ),
    Rule(
        ("numpy.ndarray",),
        "the class of arrays; as a value; its objects get a shape, a type of numbers and bytes, which numpy compares",
        state=array_state,
    ),
    Rule(
        tuple(f"{module}._reconstruct" for module in _ARRAYS),
        "an empty array, filled by BUILD; of no other class, and of no size of its own",
        call=takes(imported("numpy.ndarray"), takes(exactly(0)), raw), gives="numpy.ndarray",
    ),
    Rule(
        ("numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer"),
        "an array over bytes, as protocol 5 writes it; numpy compares their number",
        call=takes(raw, made("numpy.dtype"), sizes, one_of("C", "F", "A")), gives="numpy.ndarray",
    ),
    Rule(
        tuple(f"{module}.scalar" for module in _ARRAYS),
        "one number, in checkpoints of Bark and Coqui TTS; numpy compares the number of its bytes",
        call=takes(made("numpy.dtype"), raw), gives="numpy.generic",
    ),
    Rule(
        ("numpy.dtype",),
        "types of numbers, each a copy; none with objects, fields or sizes of their own, whose states can be forged",
        call=takes(numeric_dtype, flag, exactly(1)), state=dtype_state,
    ),
    Rule(
        (
            "TTS.tts.configs.xtts_config.XttsConfig", "TTS.tts.models.xtts.XttsArgs",
            "TTS.tts.models.xtts.XttsAudioConfig", "TTS.config.shared_configs.BaseDatasetConfig",
        ),
        "the configuration in XTTS; data classes that get attributes; importing them runs the reader's own Coqui TTS",
        new=takes(), state=mapping,
    ),
    Rule(
        ("TTS.utils.radam.RAdam",),
        "the optimizer in older checkpoints of Coqui TTS; gets attributes, and takes no step by itself",
        new=takes(), state=mapping,
    ),
)  # fmt: skip
"""The allow-list: docs/pickles.md shows it."""

_BY_NAME = {name: rule for rule in RULES for name in rule.names}
_ADDED = Rule(
    (), "the operator's own", call=anything, new=anything, state=anything, fill=(Kind.LIST, Kind.DICT, Kind.SET)
)


def rule_of(name: str, added: frozenset[str]) -> Rule | None:
    """How a global may be used; None: not at all."""
    return _BY_NAME.get(name) or (_ADDED if name in added else None)


def name_of(module: str, attribute: str) -> str:
    """A global in one word, in which an attribute of an attribute looks like no other module's."""
    return f"{module}:{attribute}" if "." in attribute else f"{module}.{attribute}"
