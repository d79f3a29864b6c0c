"""WAV."""

from __future__ import annotations

import io
import itertools
import struct
import wave

from modelsync.gate.wav import check_wav
from support.formats import Corrupt, Format, every

PCM = (1, 1, 22050, 44100, 2, 16)
"""Format, channels, samples a second, bytes a second, bytes of a frame, bits of a sample."""


def chunk(kind: bytes, data: bytes, size: int | None = None) -> bytes:
    return kind + struct.pack("<L", len(data) if size is None else size) + data + b"\0" * (len(data) % 2)


def form(*fields: int, more: bytes = b"") -> bytes:
    return chunk(b"fmt ", struct.pack("<2H2L2H", *(fields or PCM)) + more)


def riff(*chunks: bytes, size: int | None = None, kind: bytes = b"WAVE") -> bytes:
    body = kind + b"".join(chunks)
    return b"RIFF" + struct.pack("<L", len(body) if size is None else size) + body


def recorded(channels: int, width: int, rate: int) -> bytes:
    """As Python's own module writes it."""
    written = io.BytesIO()
    with wave.open(written, "wb") as made:
        made.setparams((channels, width, rate, 0, "NONE", ""))
        made.writeframes(bytes(channels * width * 50))
    return written.getvalue()


def _benign() -> dict[str, bytes]:
    data = chunk(b"data", bytes(100))
    found = {
        f"{channels} channels of {width} bytes at {rate}": recorded(channels, width, rate)
        for channels, width, rate in itertools.product((1, 2), (1, 2, 3, 4), (16000, 22050, 48000))
    }
    return found | {
        "floats": riff(form(3, 1, 22050, 88200, 4, 32), data),
        "doubles": riff(form(3, 1, 22050, 176400, 8, 64), chunk(b"data", bytes(80))),
        "mu-law": riff(form(7, 1, 8000, 8000, 1, 8, more=b"\0\0"), data),
        "extensible": riff(form(0xFFFE, 1, 22050, 44100, 2, 16, more=b"\x16\0" + bytes(22)), data),
        "a list before the samples": riff(form(), chunk(b"LIST", b"INFOISFT\4\0\0\0abc\0"), data),
        "a list behind the samples": riff(form(), data, chunk(b"LIST", b"INFO")),
        "an odd chunk": riff(form(), chunk(b"note", b"odd"), data),
        "odd samples": riff(form(1, 1, 8000, 8000, 1, 8), chunk(b"data", bytes(7))),
        "odd samples without padding": riff(form(1, 1, 8000, 8000, 1, 8), chunk(b"data", bytes(7))[:-1]),
        "padding that the header does not count": riff(form(), data) + b"\0",
    }


def _corrupt() -> dict[str, Corrupt]:
    data, none, disagree = chunk(b"data", bytes(100)), "no samples", "disagree"
    return {
        "big-endian": (b"RIFX" + riff(form(), data)[4:], "RIFF header"),
        "of 64 bits": (b"RF64" + riff(form(), data)[4:], "RIFF header"),
        "a picture": (riff(form(), data, kind=b"WEBP"), "RIFF header"),
        "a size that was never filled in": (riff(form(), data, size=0xFFFFFFFF), "header says"),
        "a size of 0": (riff(form(), data, size=0), "header says 8 bytes"),
        "bytes behind": (riff(form(), data) + b"\0\0", "header says"),
        "no chunks": (riff(), none),
        "no format": (riff(data), "no whole frames"),
        "format behind the samples": (riff(data, form()), "no whole frames"),
        "no samples": (riff(form()), none),
        "samples of 0 bytes": (riff(form(), chunk(b"data", b"")), "0 bytes of samples"),
        "half a frame": (riff(form(), chunk(b"data", bytes(101))), "no whole frames"),
        "samples beyond the file": (riff(form(), chunk(b"data", bytes(100), 4000)), "has 4,000 bytes"),
        "samples never counted": (riff(form(), chunk(b"data", bytes(100), 0xFFFFFFFF)), "has 4,294,967,295"),
        "a chunk beyond the file": (riff(form(), data, chunk(b"LIST", b"", 9)), "has 9 bytes"),
        "half a chunk": (riff(form(), data, b"LIST"), "no samples, or"),
        "a format cut off": (riff(chunk(b"fmt ", struct.pack("<2H", 1, 1)), data), "cut off or stands twice"),
        "two formats": (riff(form(), form(), data), "cut off or stands twice"),
        "no channels": (riff(form(1, 0, 22050, 0, 0, 16), data), "0 channels"),
        "too many channels": (riff(form(1, 65, 22050, 22050 * 130, 130, 16), data), "65 channels"),
        "no rate": (riff(form(1, 1, 0, 0, 2, 16), data), "0 samples"),
        "a rate too high": (riff(form(1, 1, 2_000_000, 4_000_000, 2, 16), data), "2,000,000 samples"),
        "bytes a second wrong": (riff(form(1, 1, 22050, 44101, 2, 16), data), disagree),
        "bytes of a frame wrong": (riff(form(1, 1, 22050, 44100, 4, 16), data), disagree),
        "no bits": (riff(form(1, 1, 22050, 44100, 2, 0), data), "format 1 with 0 bits"),
        "a format of 14 bytes": (riff(form()[:4] + b"\x0e\0\0\0" + form()[8:22], data), "cut off or stands twice"),
        "no format at all": (riff(form(0, 1, 22050, 44100, 2, 16), data), "format 0"),
        "A-law of 16 bits": (riff(form(6, 1, 8000, 16000, 2, 16), data), "format 6"),
        "floats of 24 bits": (riff(form(3, 1, 22050, 66150, 3, 24), data), "format 3 with 24 bits"),
        "extensible of 12 bits": (riff(form(0xFFFE, 1, 22050, 44100, 2, 12), data), "12 bits"),
        "255 channels": (riff(form(1, 255, 22050, 22050 * 510, 510, 16), data), "255 channels"),
        "no bytes in a frame": (riff(form(1, 1, 22050, 0, 0, 16), data), disagree),
        "a frame of one channel for two": (riff(form(1, 2, 22050, 44100, 2, 16), data), disagree),
        "a third of a frame": (riff(form(1, 1, 22050, 66150, 3, 24), chunk(b"data", bytes(100))), "no whole frames"),
        "a second part in half frames": (riff(form(), data, chunk(b"data", bytes(3))), "3 bytes of samples"),
        "samples, then no format": (riff(chunk(b"fact", bytes(4)), data), "no whole frames"),
        "a movie": (riff(form(), data, kind=b"AVI "), "RIFF header"),
        "17 bits": (riff(form(1, 1, 22050, 44100, 2, 17), data), "17 bits"),
        "floats of 16 bits": (riff(form(3, 1, 22050, 44100, 2, 16), data), "format 3"),
        "MP3 inside": (riff(form(0x55, 1, 22050, 2000, 1, 0), data), "format 85"),
        "ADPCM": (riff(form(2, 1, 22050, 11155, 512, 4), data), "format 2"),
        "2,000 chunks": (riff(form(), *[chunk(b"note", b"")] * 2000, data), none),
        "a page": (b"<html>404</html>", "RIFF header"),
    } | every(riff(form(), data), 70, "RIFF header|header says")


WAV = Format("wav", "sample.wav", check_wav, _benign(), _corrupt())
