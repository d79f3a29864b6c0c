"""The gate's limits on a whole model."""

from __future__ import annotations

from dataclasses import replace

import pytest

from modelsync.core.limits import GateLimits, check_limits
from modelsync.core.names import RelPath
from modelsync.errors import Rejected

LIMITS = GateLimits(max_files=3, max_file_bytes=10, max_model_bytes=20, max_path_length=12, max_path_depth=3)


def sizes(**files: int) -> dict[RelPath, int]:
    return {RelPath(path.replace("_", "/")): size for path, size in files.items()}


@pytest.mark.parametrize(
    ("files", "why"),
    [
        (sizes(a=0, b=0, c=0, d=0), "the model has 4 files, but GATE_MAX_FILES allows 3"),
        (sizes(a=11), "'a' has 11 bytes, but GATE_MAX_FILE_BYTES allows 10"),
        (sizes(a=10, b=10, c=1), "the model has 21 bytes, but GATE_MAX_MODEL_BYTES allows 20"),
        (sizes(abcdefghijklm=1), "has a path of 13 bytes, but GATE_MAX_PATH_LENGTH allows 12"),
        ({RelPath("é" * 7): 1}, "has a path of 14 bytes"),
        (sizes(a_b_c_d=1), "'a/b/c/d' has a path of 4 segments, but GATE_MAX_PATH_DEPTH allows 3"),
    ],
)
def test_what_is_over_a_limit_is_refused(files: dict[RelPath, int], why: str) -> None:
    with pytest.raises(Rejected) as caught:
        check_limits(files, LIMITS)
    assert caught.value.rule == "limits"
    assert why in caught.value.reason


@pytest.mark.parametrize("files", [{}, sizes(a=10, b=10, c=0), sizes(a_b_c=10), sizes(abcdefghijkl=1)])
def test_what_is_at_a_limit_passes(files: dict[RelPath, int]) -> None:
    check_limits(files, LIMITS)


def test_the_defaults_let_large_voices_through() -> None:
    shards = {RelPath(f"model-{n:05}-of-00200.safetensors"): 1 << 30 for n in range(200)}
    check_limits(shards, GateLimits())
    with pytest.raises(Rejected, match="10,001 files"):
        check_limits({RelPath(f"{n}.npy"): 0 for n in range(10_001)}, GateLimits())
    with pytest.raises(Rejected, match="MODEL_BYTES"):
        check_limits(shards, replace(GateLimits(), max_model_bytes=(200 << 30) - 1))
