"""All formats."""

from __future__ import annotations

from support.formats.arrays import NPY, NPZ
from support.formats.audio import WAV
from support.formats.checkpoints import LEGACY, TORCH
from support.formats.graphs import ONNX
from support.formats.tensors import SAFETENSORS
from support.formats.texts import JSON, SENTENCEPIECE, TEXT, YAML

FORMATS = {
    "safetensors": SAFETENSORS, "onnx": ONNX, "torch": TORCH, "torch_legacy": LEGACY, "npy": NPY, "npz": NPZ,
    "wav": WAV, "json": JSON, "yaml": YAML, "text": TEXT, "sentencepiece": SENTENCEPIECE,
}  # fmt: skip
