"""A gate that goes by marks in the files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from modelsync.core.judgement import Flaw, Judgement
from modelsync.core.limits import GateLimits
from modelsync.core.names import RelPath
from modelsync.errors import VolumeFailed

BAD, ODD = b"bad: ", b"odd: "


class FakeGate:
    """Implements `ports.gate.Gate`. A file that starts with `BAD` is refused, one that starts with `ODD` warned of.

    Attributes:
        rules: names them; others are a gate of its own.
        limits: how large a model may be.
        judged: the paths of each model that it was asked about.
        failing: what it raises instead of a judgement.
    """

    def __init__(self, rules: str = "rules-1") -> None:
        self.rules = rules
        self.limits = GateLimits()
        self.judged: list[list[str]] = []
        self.failing: Exception | None = None

    def warm(self) -> None:
        """It always is."""

    def judge(self, directory: str, files: Mapping[RelPath, int], attend: Callable[[], None]) -> Judgement:
        """Judge by the marks."""
        attend()
        self.judged.append(sorted(files))
        if self.failing is not None:
            raise self.failing
        warnings = []
        for path, size_bytes in sorted(files.items()):
            try:
                content = (Path(directory) / path).read_bytes()
            except OSError as error:
                raise VolumeFailed(f"cannot check {path}: {error.strerror}") from error
            if len(content) != size_bytes:
                raise VolumeFailed(f"cannot check {path}: it was changed meanwhile")
            if content.startswith(BAD):
                return Judgement(Flaw("fake", f"'{path}': it is bad", path), tuple(warnings))
            if content.startswith(ODD):
                warnings.append(Flaw("fake", f"'{path}': it is odd", path))
        return Judgement(None, tuple(warnings))
