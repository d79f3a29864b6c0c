"""Modules that look like PyTorch's to a pickler, so that it writes what torch's would without torch being there."""

from __future__ import annotations

import io
import pickle
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

_FUNCTIONS = {
    "torch._utils": (
        *("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_qtensor", "_rebuild_parameter"),
        "_rebuild_parameter_with_state",
    ),
    "torch._tensor": ("_rebuild_from_type_v2",),
}
_CLASSES = {
    "torch": (
        "Tensor",
        "Size",
        "device",
        "FloatStorage",
        "HalfStorage",
        "BFloat16Storage",
        "LongStorage",
        "BoolStorage",
    ),
    "torch.cuda": ("FloatStorage",),
    "torch.storage": ("UntypedStorage",),
    "torch.nn.parameter": ("Parameter",),
    "TTS.tts.configs.xtts_config": ("XttsConfig",),
    "TTS.tts.models.xtts": ("XttsArgs", "XttsAudioConfig"),
    "TTS.config.shared_configs": ("BaseDatasetConfig",),
    "TTS.utils.radam": ("RAdam",),
    "voices.hparams": ("HParams",),
}
_VALUES = ("float16", "float32", "int64", "float8_e4m3fn", "per_tensor_affine")


class Calls:
    """Pickled as the call of a function: what `__reduce__` is for.

    Attributes:
        reduced: what `__reduce__` gives: function, arguments, and then perhaps state and items.
    """

    def __init__(self, *reduced: Any) -> None:
        self.reduced = reduced

    def __reduce__(self) -> tuple[Any, ...]:
        return self.reduced


class Storage:
    """What torch's pickler writes the id of."""

    def __init__(self, kind: Any, key: str = "0", location: str = "cpu", numel: int = 6) -> None:
        self.persistent_id = ("storage", kind, key, location, numel)


class _Named:
    """A value that is pickled as its name."""

    __module__ = "torch"

    def __init__(self, name: str) -> None:
        self._name = name

    def __reduce__(self) -> str:
        return self._name


class Torch:
    """The modules, and what is made of them.

    Attributes:
        modules: by name.
    """

    def __init__(self) -> None:
        names = {*_FUNCTIONS, *_CLASSES}
        names |= {name.rpartition(".")[0] for name in names if "." in name}
        names |= {name.partition(".")[0] for name in names}
        self.modules = {name: ModuleType(name) for name in names}
        for module, functions in _FUNCTIONS.items():
            for name in functions:
                setattr(self.modules[module], name, _function(module, name))
        for module, classes in _CLASSES.items():
            for name in classes:
                setattr(self.modules[module], name, type(name, (), {"__module__": module, "__qualname__": name}))
        for name in _VALUES:
            setattr(self.modules["torch"], name, _Named(name))

    def __getitem__(self, name: str) -> Any:
        """A global, by its whole name."""
        module, _, attribute = name.rpartition(".")
        return getattr(self.modules[module], attribute)

    def storage(self, kind: str = "Float", **more: Any) -> Storage:
        """A storage of a type of numbers."""
        return Storage(self[f"torch.{kind}Storage"], **more)

    def tensor(self, *sizes: int, storage: Storage | None = None, offset: int = 0) -> Calls:
        """A tensor as `torch.save` writes it since PyTorch 0.4."""
        strides = tuple(range(len(sizes), 0, -1))
        return Calls(
            self["torch._utils._rebuild_tensor_v2"],
            (storage or self.storage(), offset, sizes, strides, False, OrderedDict()),
        )

    def state_dict(self) -> OrderedDict[str, Any]:
        """A module's state, with the attribute that `state_dict()` gives it."""
        state: OrderedDict[str, Any] = OrderedDict(
            (f"encoder.layers.{index}.{name}", self.tensor(2, 3, storage=self.storage(key=str(2 * index + place))))
            for index in range(3)
            for place, name in enumerate(("weight", "bias"))
        )
        state._metadata = OrderedDict({"": {"version": 1}, "encoder": {"version": 2}})  # type: ignore[attr-defined]
        return state

    def made(self, name: str, **attributes: Any) -> Any:
        """An object of a class, with attributes."""
        instance = self[name]()
        instance.__dict__.update(attributes)
        return instance


@contextmanager
def fake_torch() -> Iterator[Torch]:
    """Have the modules importable for a while."""
    torch = Torch()
    hidden = {name: sys.modules.get(name) for name in torch.modules}
    sys.modules.update(torch.modules)
    try:
        yield torch
    finally:
        for name, module in hidden.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def save(value: Any, protocol: int = 2, *, in_python: bool = False) -> bytes:
    """Pickle a value as torch does: storages by their ids."""
    base: Any = pickle._Pickler if in_python else pickle.Pickler  # type: ignore[attr-defined]

    class Pickler(base):  # type: ignore[misc]
        def persistent_id(self, candidate: Any) -> Any:
            return candidate.persistent_id if isinstance(candidate, Storage) else None

    written = io.BytesIO()
    Pickler(written, protocol).dump(value)
    return written.getvalue()


def _function(module: str, name: str) -> Callable[..., None]:
    def function(*_: Any) -> None:
        raise AssertionError("a pickler calls nothing")

    function.__module__, function.__name__, function.__qualname__ = module, name, name
    return function
