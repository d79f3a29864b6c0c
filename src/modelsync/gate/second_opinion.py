"""picklescan, a maintained scanner of pickles, as a second opinion.

It lists a pickle's globals with a parser that shares nothing with ours but the documentation, and knows some to be
dangerous. It parses without executing. It keeps all opcodes and their arguments in memory, so it is asked only about
what our own bounded scan let pass.
"""

from __future__ import annotations

import io
import logging
from typing import TYPE_CHECKING

from modelsync.core.words import quoted, some
from modelsync.errors import Rejected
from modelsync.gate.source import Source

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_PIECE_BYTES = 1 << 20


def check_by_picklescan(source: Source, start: int, end: int, names: set[tuple[str, str]], *, where: str) -> None:
    """Ask picklescan about one whole pickle.

    Args:
        source: where the pickle is.
        start: its first byte.
        end: the byte behind its STOP.
        names: module and attribute of each global that our own scan found. Where picklescan finds others,
            one of the two was deceived.
        where: what it is called in a reason.

    Raises:
        Rejected: rule `pickle`; picklescan finds something dangerous, finds other globals, or fails.
        OSError: the source cannot be read.
    """
    from picklescan.scanner import SafetyLevel, scan_pickle_bytes

    logging.getLogger("picklescan").disabled = True  # it logs what it reads; the reason says what matters
    try:
        found = scan_pickle_bytes(_file(source, start, end), where)
    except OSError:
        raise
    except Exception as error:
        raise Rejected("pickle", f"{where} cannot be judged: picklescan failed with {quoted(repr(error))}") from error
    dangerous = [f"{each.module}.{each.name}" for each in found.globals if each.safety is SafetyLevel.Dangerous]
    if dangerous:
        raise Rejected("pickle", f"{where} cannot be loaded safely: picklescan finds {quoted(some(dangerous))} in it")
    if found.scan_err or {(each.module, each.name) for each in found.globals} != names:
        raise Rejected("pickle", f"{where} cannot be judged: picklescan does not read it as we do")


def _file(source: Source, start: int, end: int) -> io.BytesIO | io.BufferedReader[_Part]:
    """The pickle as a file: in memory, which is faster, or as a part of its file, if it is large."""
    if end - start <= _PIECE_BYTES:
        return io.BytesIO(source.read(start, end - start))
    return io.BufferedReader(_Part(source, start, end))


class _Part(io.RawIOBase):
    """A part of a source as a file."""

    def __init__(self, source: Source, start: int, end: int) -> None:
        self._source = source
        self._start = start
        self._size_bytes = end - start
        self._at = 0

    def readable(self) -> bool:
        """It can be read."""
        return True

    def seekable(self) -> bool:
        """It can be read from anywhere."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to another place."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size_bytes}[whence]
        self._at = max(origin + offset, 0)
        return self._at

    def tell(self) -> int:
        """The place: asked for at each opcode."""
        return self._at

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read a piece, at most what is left."""
        view = memoryview(buffer).cast("B")
        count = max(min(len(view), _PIECE_BYTES, self._size_bytes - self._at), 0)
        piece = self._source.read(self._start + self._at, count)
        view[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)
