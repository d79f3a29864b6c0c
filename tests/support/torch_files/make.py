"""Makes the files beside it, once: `python make.py`, with PyTorch installed."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import torch

HERE = Path(__file__).parent


def main() -> None:
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Embedding(4, 3), torch.nn.Conv1d(3, 2, 3), torch.nn.LSTM(2, 2))
    shared = torch.arange(12.0)
    objects = {
        "state": module.state_dict(),
        "checkpoint": {"model": module.state_dict(), "step": 7, "config": {"audio": {"rate": 22050}}},
        "optimizer": torch.optim.Adam(module.parameters()).state_dict(),
        "half": {"w": torch.ones(3, dtype=torch.float16), "b": torch.ones(2, dtype=torch.bfloat16)},
        "numbers": {
            str(kind): torch.ones(3, dtype=kind) for kind in (torch.int8, torch.int64, torch.bool, torch.cfloat)
        },
        "views": {"a": shared[:4], "b": shared[4:].view(2, 4).t()},
        "empty": OrderedDict(),
        "no-items": {"w": torch.zeros(0, 3), "b": torch.zeros(2)},
        "tensor": torch.zeros(510, 1, 2),
        "sparse": torch.eye(3).to_sparse(),
        "parameter": torch.nn.Parameter(torch.zeros(2, 2)),
    }
    for name, value in objects.items():
        torch.save(value, HERE / f"zip-{name}.pth")
        torch.save(value, HERE / f"legacy-{name}.pth", _use_new_zipfile_serialization=False)
    torch.serialization.set_crc32_options(compute_crc32=False)
    torch.save(objects["state"], HERE / "zip-without-crc.pth")
    torch.serialization.set_crc32_options(compute_crc32=True)
    torch.jit.script(torch.nn.Linear(2, 2)).save(HERE / "script.pth")


if __name__ == "__main__":
    main()
