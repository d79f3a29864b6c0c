"""How large a model may be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from modelsync.core.names import RelPath
from modelsync.core.words import quoted
from modelsync.errors import Rejected


@dataclass(frozen=True)
class GateLimits:
    """What one model may have at most.

    Attributes:
        max_files: files.
        max_file_bytes: bytes in one file.
        max_model_bytes: bytes in all files together.
        max_path_length: bytes of a file's path inside the model, in UTF-8.
        max_path_depth: segments of that path.
    """

    max_files: int = 10_000
    max_file_bytes: int = 64 << 30
    max_model_bytes: int = 256 << 30
    max_path_length: int = 512
    max_path_depth: int = 16


def check_limits(sizes: Mapping[RelPath, int], limits: GateLimits) -> None:
    """Hold a model's files, given by path and size in bytes, to the limits.

    Raises:
        Rejected: rule `limits`; the first limit that is broken, with the variable that sets it.
    """
    if len(sizes) > limits.max_files:
        raise _over(f"the model has {len(sizes):,} files", f"{limits.max_files:,}", "FILES")
    total_bytes = 0
    for path, size_bytes in sorted(sizes.items()):
        name = quoted(path)
        if (length := len(path.encode(errors="surrogatepass"))) > limits.max_path_length:
            raise _over(f"{name} has a path of {length:,} bytes", f"{limits.max_path_length:,}", "PATH_LENGTH")
        if (depth := path.count("/") + 1) > limits.max_path_depth:
            raise _over(f"{name} has a path of {depth:,} segments", f"{limits.max_path_depth:,}", "PATH_DEPTH")
        if size_bytes > limits.max_file_bytes:
            raise _over(f"{name} has {size_bytes:,} bytes", f"{limits.max_file_bytes:,}", "FILE_BYTES")
        total_bytes += size_bytes
    if total_bytes > limits.max_model_bytes:
        raise _over(f"the model has {total_bytes:,} bytes", f"{limits.max_model_bytes:,}", "MODEL_BYTES")


def _over(what: str, limit: str, variable: str) -> Rejected:
    return Rejected("limits", f"{what}, but GATE_MAX_{variable} allows {limit}")
