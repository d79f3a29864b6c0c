"""Pickles that must pass: what checkpoints of TTS models hold, as picklers write it."""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import random
import zipfile
from argparse import Namespace
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path, PosixPath
from typing import Any

import numpy as np

from support.pickles.assembler import (
    BINPERSID,
    EMPTY_DICT,
    MARK,
    NONE,
    SETITEMS,
    STOP,
    call,
    mapping,
    named,
    number,
    old_text,
    row,
)
from support.pickles.fake_torch import Calls, Storage, Torch, fake_torch, save

REAL = Path(__file__).parents[1] / "torch_files"

Maker = Callable[[Torch], Any]


def _itself() -> list[Any]:
    found: list[Any] = []
    found.append(found)
    return found


def _optimizer(torch: Torch) -> dict[str, Any]:
    moments = {"step": torch.tensor(), "exp_avg": torch.tensor(2, 3), "exp_avg_sq": torch.tensor(2, 3)}
    group = {"lr": 1e-4, "betas": (0.8, 0.99), "eps": 1e-9, "amsgrad": False, "params": [0, 1, 2], "foreach": None}
    return {"state": {0: moments, 1: moments}, "param_groups": [group]}


def _array(*, code: str = "f4", order: str = "C") -> np.ndarray[Any, Any]:
    return np.asarray(np.arange(12).reshape(3, 4), dtype=code, order="F" if order == "F" else "C")


_PLAIN: dict[str, Maker] = {
    "nothing": lambda _: None,
    "numbers": lambda _: [0, 1, -1, 255, 256, 65535, 65536, -(2**31), 2**31, 2**63, -(2**200), True, False],
    "floats": lambda _: [0.0, -1.5, 1e-300, math.inf, -math.inf, math.nan],
    "texts": lambda _: ["", "a", "ä\n\\u0041", "声", "\U0001f600", "x" * 255, "x" * 256, "x" * 70_000, "\ud800"],
    "bytes": lambda _: [b"", b"abc", bytes(range(256)), bytes(70_000)],
    "byte arrays": lambda _: [bytearray(), bytearray(b"abc"), bytearray(70_000)],
    "collections": lambda _: [(), (1,), (1, 2), (1, 2, 3), tuple(range(40)), [], {}, {"a": [{}]}, ((((1,),),),)],
    "sets": lambda _: [set(), {1, "a"}, frozenset(), frozenset({(1, 2)})],
    "a list that holds itself": lambda _: _itself(),
    "a large dict": lambda _: {f"phoneme {index}": index for index in range(2_500)},
    "a large list": lambda _: [index / 7 for index in range(5_000)],
    "a large set": lambda _: set(range(2_500)),
    "deep lists": lambda _: [[[[[[[[[[["x"]]]]]]]]]]],
    "a complex number": lambda _: [1j, complex(math.inf, 0)],
    "an ordered dict": lambda _: OrderedDict([("a", 1), ("b", OrderedDict())]),
    "a counter": lambda _: {"milestones": Counter({80: 1, 160: 1})},
    "a default dict": lambda _: [defaultdict(dict, {1: {}}), defaultdict(list), defaultdict(float), defaultdict(None)],
    "a deque": lambda _: [deque([0.1, 0.2], maxlen=10), deque([1])],
    "dates": lambda _: [datetime(2026, 11, 24, tzinfo=None), timedelta(hours=3, microseconds=5)],  # noqa: DTZ001
    "the state of random": lambda _: random.Random(0).getstate(),
    "paths": lambda _: [PosixPath("/data/alice"), PosixPath("config.json"), PosixPath()],
}

_ARRAYS: dict[str, Maker] = {
    "an array": lambda _: _array(),
    "arrays of all types": lambda _: [
        _array(code=code) for code in ("?", "i1", "u2", "<i4", ">i8", "f2", ">f4", "f8", "c8")
    ],
    "an array in Fortran's order": lambda _: _array(order="F"),
    "arrays without items or dimensions": lambda _: [np.zeros((0, 3)), np.array(1.5)],
    "a view of an array": lambda _: _array()[:, ::2],
    "a large array": lambda _: np.zeros((100, 300), "f4"),
    "one array twice": lambda _: [array := _array(), array],
    "numpy's numbers, as in Bark": lambda _: {
        "best_val_loss": np.float32(1.5),
        "iter_num": np.int64(7),
        "ok": np.True_,
    },
    "a dtype": lambda _: np.dtype("float32"),
    "the state of numpy's random": lambda _: np.random.RandomState(0).get_state(),
}

_TORCH: dict[str, Maker] = {
    "a state dict": lambda torch: torch.state_dict(),
    "HiFi-GAN": lambda torch: {"generator": torch.state_dict()},
    "HiFi-GAN's discriminators": lambda torch: {
        "mpd": torch.state_dict(), "msd": torch.state_dict(), "optim_g": _optimizer(torch), "steps": 10, "epoch": 1
    },
    "VITS": lambda torch: {
        "model": torch.state_dict(), "iteration": 800, "optimizer": _optimizer(torch), "learning_rate": 2e-4
    },
    "Tacotron 2": lambda torch: {
        "state_dict": dict(torch.state_dict()), "iteration": 3, "optimizer": _optimizer(torch)
    },
    "Coqui TTS": lambda torch: {
        "config": {"model": "vits", "audio": {"sample_rate": 22050}, "characters": {"pad": "_"}},
        "model": torch.state_dict(), "optimizer": [_optimizer(torch)] * 2, "scaler": {"scale": 65536.0},
        "model_loss": {"train_loss": np.float64(1.0), "eval_loss": None}, "date": "November 24, 2026",
    },
    "Tortoise": lambda torch: OrderedDict(torch.state_dict()),
    "Piper": lambda torch: {
        "epoch": 2999, "global_step": 702_000, "pytorch-lightning_version": "1.7.7", "state_dict": torch.state_dict(),
        "hyper_parameters": {"dataset": [PosixPath("/data/train.jsonl")], "upsample_rates": (8, 8, 2, 2)},
        "callbacks": {"ModelCheckpoint{}": {"best_model_score": torch.tensor(), "best_k_models": {}}},
        "lr_schedulers": [{"gamma": 0.999, "base_lrs": [2e-4], "_last_lr": [1e-4]}], "loops": None,
    },
    "Bark": lambda torch: {
        "model": torch.state_dict(), "model_args": {"n_layer": 24, "bias": False}, "best_val_loss": np.float32(2.5)
    },
    "kinds of storages": lambda torch: [
        torch.tensor(6, storage=torch.storage(kind, key=str(key)))
        for key, kind in enumerate(("Half", "BFloat16", "Long", "Bool"))
    ],
    "a storage on a GPU": lambda torch: torch.tensor(
        6, storage=Storage(torch["torch.cuda.FloatStorage"], location="cuda:0")
    ),
    "a storage without type": lambda torch: Storage(torch["torch.storage.UntypedStorage"]),
    "a storage of many numbers": lambda torch: torch.tensor(3_000_000_000, storage=torch.storage(numel=3_000_000_000)),
    "two views of one storage": lambda torch: [
        torch.tensor(2, storage=(storage := torch.storage())), torch.tensor(2, storage=storage, offset=2)
    ],
    "a tensor of PyTorch 0.3": lambda torch: Calls(
        torch["torch._utils._rebuild_tensor"], (torch.storage(), 0, (2, 3), (3, 1))
    ),
    "a tensor with metadata": lambda torch: Calls(
        torch["torch._utils._rebuild_tensor_v2"], (torch.storage(), 0, (1,), (1,), False, OrderedDict(), {"conj": True})
    ),
    "a tensor of 8-bit floats": lambda torch: Calls(
        torch["torch._utils._rebuild_tensor_v3"],
        (Storage(torch["torch.storage.UntypedStorage"]), 0, (6,), (1,), False, OrderedDict(),
            torch["torch.float8_e4m3fn"]),
    ),
    "a quantized tensor": lambda torch: Calls(
        torch["torch._utils._rebuild_qtensor"],
        (torch.storage(), 0, (6,), (1,), (torch["torch.per_tensor_affine"], 0.1, 0), False, OrderedDict()),
    ),
    "a parameter": lambda torch: (
        Calls(torch["torch._utils._rebuild_parameter"], (torch.tensor(2), True, OrderedDict()))
    ),
    "a parameter with attributes": lambda torch: Calls(
        torch["torch._utils._rebuild_parameter_with_state"], (torch.tensor(2), True, OrderedDict(), {"frozen": True})
    ),
    "a tensor with attributes": lambda torch: Calls(
        torch["torch._tensor._rebuild_from_type_v2"],
        (torch["torch._utils._rebuild_tensor_v2"], torch["torch.Tensor"], torch.tensor(2, 3).reduced[1], {"name": "x"}),
    ),
    "sizes, devices and types": lambda torch: [
        Calls(torch["torch.Size"], ((2, 3),)), Calls(torch["torch.device"], ("cuda", 0)),
        Calls(torch["torch.device"], ("cpu",)), torch["torch.float16"], {"dtype": torch["torch.int64"]},
    ],
    "the older format's magic number": lambda _: 0x1950A86A20F9469CFC6C,
    "the older format's version": lambda _: 1001,
    "the older format's machine": lambda _: {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}},
    "the older format's keys": lambda _: [str(94_000_000_000_000 + index) for index in range(2_000)],
}  # fmt: skip

_OBJECTS: dict[str, Maker] = {
    "a namespace, as in FastPitch": lambda torch: {
        "args": Namespace(lr=0.1, p_arpabet=1.0), "state_dict": torch.state_dict()
    },
    "XTTS": lambda torch: {
        "config": torch.made(
            "TTS.tts.configs.xtts_config.XttsConfig", model="xtts",
            model_args=torch.made("TTS.tts.models.xtts.XttsArgs", gpt_layers=30),
            audio=torch.made("TTS.tts.models.xtts.XttsAudioConfig", sample_rate=22050),
            datasets=[torch.made("TTS.config.shared_configs.BaseDatasetConfig", path="")],
        ),
        "model": torch.state_dict(),
    },
    "an optimizer of Coqui TTS": lambda torch: {
        "optimizer": torch.made("TTS.utils.radam.RAdam", state=defaultdict(dict), param_groups=[{"lr": 1e-3}])
    },
}  # fmt: skip
"""Objects that are made by NEWOBJ, which protocols below 2 do not have."""


def _python2() -> bytes:
    """A checkpoint that Python 2 wrote: its texts are bytes, or were."""
    storage = row(
        old_text(b"storage"), named("torch", "FloatStorage"), old_text(b"140214"), old_text(b"cpu"), number(6), NONE
    )
    tensor = call(
        named("torch._utils", "_rebuild_tensor"), storage + BINPERSID, number(0), row(number(6)), row(number(1))
    )
    return b"\x80\x02" + EMPTY_DICT + MARK + old_text(b"weight") + tensor + SETITEMS + STOP


def benign() -> dict[str, bytes]:
    """Every pickle that must pass, by what it is and how it was written."""
    found = {"Python 2": _python2(), "a value that is thrown away": b"\x80\x02" + mapping(("a", NONE)) + b"N0."}
    with fake_torch() as torch:
        for name, make in (_PLAIN | _ARRAYS | _TORCH | _OBJECTS).items():
            for protocol in range(2 if name in _OBJECTS else 0, pickle.HIGHEST_PROTOCOL + 1):
                if protocol < 1 and name in _TORCH:
                    continue  # ids of storages are tuples, which protocol 0 cannot write
                found[f"{name}, protocol {protocol}"] = save(make(torch), protocol)
            found[f"{name}, by Python's own pickler"] = save(make(torch), 4, in_python=True)
            found[f"{name}, optimized"] = pickletools.optimize(save(make(torch), 2))
    return found | _by_pytorch()


def _by_pytorch() -> dict[str, bytes]:
    """The pickles in files that PyTorch wrote; not those of sparse tensors, whose indices torch trusts."""
    found: dict[str, bytes] = {}
    for path in sorted({*REAL.glob("zip-*.pth")} - {REAL / "zip-without-crc.pth"}):
        with zipfile.ZipFile(path) as archive:
            found[path.stem] = archive.read(f"{path.stem}/data.pkl")
    for path in sorted(REAL.glob("legacy-*.pth")):
        stream = io.BytesIO(path.read_bytes())
        for place in range(5):
            start = stream.tell()
            for _ in pickletools.genops(stream):
                pass
            found[f"{path.stem} {place}"] = stream.getvalue()[start : stream.tell()]
    return {f"{name}, by PyTorch": data for name, data in found.items() if "sparse" not in name}


BENIGN = benign()
