"""Plain text, and the vocabularies that SentencePiece trains."""

from __future__ import annotations

import codecs

from modelsync.errors import Rejected
from modelsync.gate.protobuf import BYTES, Wire
from modelsync.gate.source import Source

_MAX_BYTES = 256 << 20
_CHUNK_BYTES = 256 << 10
_MAX_FIELDS = 4_000_000  # a vocabulary has at most some 260,000 pieces of three fields
_MAX_PIECE_BYTES = 4096
_PIECES, _PIECE = 1, 1


def check_text(source: Source) -> None:
    """Hold a file to UTF-8 without NUL: what says something else about itself is no text.

    Raises:
        Rejected: rule `text`.
    """
    if source.size_bytes > _MAX_BYTES:
        raise Rejected("text", f"it has {source.size_bytes:,} bytes of text, more than {_MAX_BYTES:,}")
    decoder = codecs.getincrementaldecoder("utf-8")()
    for at in range(0, source.size_bytes, _CHUNK_BYTES):
        piece = source.read(at, _CHUNK_BYTES)
        try:
            text = decoder.decode(piece, at + len(piece) >= source.size_bytes)
        except UnicodeDecodeError as error:
            raise Rejected("text", f"it is no text in UTF-8 near byte {at + error.start:,}") from error
        if "\0" in text:
            raise Rejected("text", f"it is no text: it has a NUL near byte {at + piece.find(0):,}")


def check_sentencepiece(source: Source) -> None:
    """Hold a vocabulary to its form: well-formed messages, and pieces with a text each.

    Raises:
        Rejected: rule `sentencepiece`.
    """
    wire = Wire(source, rule="sentencepiece", max_fields=_MAX_FIELDS)
    pieces = 0
    for field in wire.fields(0, source.size_bytes):
        if field.number != _PIECES:
            continue
        wire.expect(field, BYTES)
        texts = [
            wire.text(part, _MAX_PIECE_BYTES) for part in wire.fields(field.start, field.end) if part.number == _PIECE
        ]
        if len(texts) != 1 or not texts[0]:
            raise wire.bad("a piece has no text", field.start)
        pieces += 1
    if not pieces:
        raise wire.bad("it has no pieces", 0)
