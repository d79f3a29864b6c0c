"""WAV: RIFF chunks, a format and its samples."""

from __future__ import annotations

import struct

from modelsync.errors import Rejected
from modelsync.gate.source import Source
from modelsync.gate.window import Buffered

_RIFF = struct.Struct("<4sL4s")
_CHUNK = struct.Struct("<4sL")
_FORMAT = struct.Struct("<2H2L2H")
_MAX_CHUNKS = 1000
_MAX_CHANNELS = 64
_MAX_RATE = 1_536_000
_PCM, _FLOAT, _ALAW, _MULAW, _EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
_WIDTHS = {_PCM: {8, 16, 24, 32}, _FLOAT: {32, 64}, _ALAW: {8}, _MULAW: {8}, _EXTENSIBLE: {8, 16, 24, 32, 64}}


def check_wav(source: Source) -> None:
    """Hold the chunks to the file's size, and the samples to their format.

    Raises:
        Rejected: rule `wav`.
    """
    head = source.read(0, _RIFF.size)
    if len(head) < _RIFF.size or head[:4] != b"RIFF" or head[8:] != b"WAVE":
        raise _bad("it does not begin with a RIFF header")
    length = _RIFF.unpack(head)[1] + _CHUNK.size
    if length not in {source.size_bytes, source.size_bytes - 1}:
        raise _bad(f"its header says {length:,} bytes, the file has {source.size_bytes:,}")
    reader = Buffered(source)
    at = _RIFF.size
    frame_bytes = samples = 0
    for _ in range(_MAX_CHUNKS):
        chunk = reader.read(at, _CHUNK.size)
        if len(chunk) < _CHUNK.size:
            break  # a byte of padding, or none
        kind, size = _CHUNK.unpack(chunk)
        at += _CHUNK.size
        if size > source.size_bytes - at:
            raise _bad(
                f"the chunk at byte {at - _CHUNK.size:,} has {size:,} bytes, the file {source.size_bytes - at:,}"
            )
        if kind == b"fmt ":
            frame_bytes = _frame_bytes(reader.read(at, min(size, _FORMAT.size)), again=frame_bytes > 0)
        elif kind == b"data":
            samples += size
            if not frame_bytes or not size or size % frame_bytes:
                raise _bad(f"its {size:,} bytes of samples are no whole frames of a format that stands before them")
        at += size + size % 2
    if not samples or at < source.size_bytes - 1:
        raise _bad("it has no samples, or more than a thousand chunks")


def _frame_bytes(data: bytes, *, again: bool) -> int:
    """Of one sample for each channel."""
    if len(data) < _FORMAT.size or again:
        raise _bad("its format is cut off or stands twice")
    kind, channels, rate, rate_bytes, frame_bytes, bits = _FORMAT.unpack(data)
    if bits not in _WIDTHS.get(kind, ()):
        raise _bad(f"its samples are of an unknown kind: format {kind} with {bits} bits")
    if not 0 < channels <= _MAX_CHANNELS or not 0 < rate <= _MAX_RATE:
        raise _bad(f"it has {channels} channels and {rate:,} samples a second")
    if frame_bytes != channels * bits // 8 or rate_bytes != rate * frame_bytes:
        raise _bad("the sizes in its format disagree")
    return int(frame_bytes)


def _bad(why: str) -> Rejected:
    return Rejected("wav", f"the WAV file cannot be used: {why}")
