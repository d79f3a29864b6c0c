"""Makes the files beside it, once: `python make.py`, with PyTorch and numpy installed.

They are the pickles alone: `data.pkl` of what `torch.save` writes, and the four of its older format in one file.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from argparse import Namespace
from collections import OrderedDict, defaultdict
from pathlib import Path, PosixPath

import numpy as np
import torch

HERE = Path(__file__).parent


def main() -> None:
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Embedding(4, 3), torch.nn.Conv1d(3, 2, 3), torch.nn.BatchNorm1d(2))
    optimizer = torch.optim.AdamW(module.parameters())
    module[1](torch.zeros(1, 3, 8)).sum().backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [80, 160])
    normed = torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(2, 2))
    named = torch.zeros(2)
    named.voice = "alice"
    frozen = torch.nn.Parameter(torch.zeros(2))
    frozen.frozen = True
    shared = torch.arange(12.0)
    objects = {
        "state": module.state_dict(),
        "weight-norm": normed.state_dict(),
        "training": {
            "model": module.state_dict(), "optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict(),
            "scaler": torch.amp.GradScaler("cpu").state_dict(), "epoch": 1, "loss": np.float64(0.5),
        },
        "kinds": {
            str(kind): torch.zeros(2, dtype=kind)
            for kind in (torch.float16, torch.bfloat16, torch.int8, torch.int64, torch.bool, torch.cfloat)
        },
        "kinds-8-bit": {"w": torch.zeros(2).to(torch.float8_e4m3fn), "n": torch.zeros(2, dtype=torch.uint16)},
        "views": [shared[:4], shared[4:].view(2, 4).t(), torch.zeros(0, 3), torch.tensor(1.0)],
        "parameters": [torch.nn.Parameter(torch.zeros(2)), frozen, named],
        "quantized": torch.quantize_per_tensor(torch.zeros(3), 0.1, 0, torch.qint8),
        "values": [torch.Size((2, 3)), torch.device("cuda:0"), torch.float16, torch.zeros(2).untyped_storage()],
        "arrays": {"mean": np.zeros(3, "f4"), "speakers": np.arange(3), "random": np.random.RandomState(0).get_state()},
        "config": {
            "args": Namespace(lr=0.1), "paths": [PosixPath("/data/alice")], "counts": defaultdict(int, {"a": 1}),
            "order": OrderedDict(a=1), "raw": b"abc", "set": {1}, "complex": 1j,
        },
    }  # fmt: skip
    for name, value in objects.items():
        written = io.BytesIO()
        torch.save(value, written)
        with zipfile.ZipFile(written) as archive:
            HERE.joinpath(f"{name}.pkl").write_bytes(archive.read("archive/data.pkl"))
        written = io.BytesIO()
        torch.save(value, written, _use_new_zipfile_serialization=False)
        _cut(name, written)
    tensors = io.BytesIO()
    torch.save(module.state_dict(), tensors, pickle_protocol=4)
    with zipfile.ZipFile(tensors) as archive:
        HERE.joinpath("state-protocol-4.pkl").write_bytes(archive.read("archive/data.pkl"))


def _cut(name: str, written: io.BytesIO) -> None:
    """Take the fourth pickle, the object's, out of a file in the older format."""

    class Skipping(pickle.Unpickler):
        def persistent_load(self, _: object) -> torch.FloatStorage:
            return torch.FloatStorage()

    written.seek(0)
    for _ in range(3):
        pickle.load(written)
    start = written.tell()
    try:
        Skipping(written).load()
    except (RuntimeError, TypeError, AttributeError):
        return
    HERE.joinpath(f"older-{name}.pkl").write_bytes(written.getvalue()[start : written.tell()])


if __name__ == "__main__":
    main()
