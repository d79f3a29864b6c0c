"""A small voice that really speaks: an ONNX model that turns phoneme numbers into sound.

Each phoneme is a tone of its own pitch, shaped by an envelope of its own; the config names the
sample rate and the digest of the weights that it belongs to, so that a reader can tell a mix.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

PHONEMES = 128
SAMPLES = 16_384
SAMPLE_RATE_HZ = 16_000
MODEL, CONFIG = "model.onnx", "config.json"


def make_voice(version: int) -> dict[str, bytes]:
    """Make one version of a voice.

    Args:
        version: shifts the pitch and reseeds the envelopes.

    Returns:
        File name to content: about 8 MiB of weights, and the config.
    """
    weights = _weights(version)
    config = {
        "name": "alice",
        "version": version,
        "sample_rate_hz": SAMPLE_RATE_HZ,
        "phonemes": PHONEMES,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
    }
    return {MODEL: weights, CONFIG: json.dumps(config, indent=1).encode()}


def belong_together(files: dict[str, bytes]) -> bool:
    """Whether config and weights are of one version."""
    digest = hashlib.sha256(files[MODEL]).hexdigest()
    return bool(json.loads(files[CONFIG])["weights_sha256"] == digest)


def _weights(version: int) -> bytes:
    random = np.random.default_rng(version)
    pitch_hz = (110.0 + 10.0 * version) * 2.0 ** (np.arange(PHONEMES, dtype=np.float32) / 24.0)
    envelope = random.random((PHONEMES, SAMPLES), dtype=np.float32) * 0.1 + 0.9
    phase = (2.0 * np.pi * np.arange(SAMPLES, dtype=np.float32) / SAMPLE_RATE_HZ)[np.newaxis, :]
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["pitch_hz", "phonemes"], ["pitches"]),
            helper.make_node("Mul", ["pitches", "phase"], ["angles"]),
            helper.make_node("Sin", ["angles"], ["tones"]),
            helper.make_node("Gather", ["envelope", "phonemes"], ["envelopes"]),
            helper.make_node("Mul", ["tones", "envelopes"], ["shaped"]),
            helper.make_node("Reshape", ["shaped", "flat"], ["audio"]),
        ],
        "voice",
        [helper.make_tensor_value_info("phonemes", TensorProto.INT64, ["length"])],
        [helper.make_tensor_value_info("audio", TensorProto.FLOAT, ["samples"])],
        [
            numpy_helper.from_array(pitch_hz.astype(np.float32)[:, np.newaxis], "pitch_hz"),
            numpy_helper.from_array(phase.astype(np.float32), "phase"),
            numpy_helper.from_array(envelope, "envelope"),
            numpy_helper.from_array(np.array([-1], dtype=np.int64), "flat"),
        ],
    )
    model = helper.make_model(graph, producer_name="modelsync-demo", opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
