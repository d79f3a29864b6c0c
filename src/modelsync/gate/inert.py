"""Whether bytes without a known form can do something to a program that unpickles them.

`pickle.load` takes bytes as instructions from the first one on, and stops at the first that is none. Only a few
instructions reach out of the data, by importing something. What stops before it comes to one of them is inert.
"""

from __future__ import annotations

import codecs
import pickletools

from modelsync.gate.source import Source
from modelsync.gate.window import Buffered

_MAX_STEPS = 20_000
_MAX_LINE_BYTES = 64 << 10
_LINES = {"GLOBAL": 2, "INST": 2}
_TEXTS = {"STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"}
_WIDTHS = {
    pickletools.TAKEN_FROM_ARGUMENT1: 1,
    pickletools.TAKEN_FROM_ARGUMENT4: 4,
    pickletools.TAKEN_FROM_ARGUMENT4U: 4,
    pickletools.TAKEN_FROM_ARGUMENT8U: 8,
}
_OPCODES = {ord(opcode.code): opcode for opcode in pickletools.opcodes}


def is_inert(source: Source) -> bool:
    """Whether unpickling these bytes fails or ends before anything is imported.

    It follows the instructions without carrying them out, and takes each for possible that might be: it may take
    inert bytes for live ones, but not live ones for inert. What goes on for too long is not called inert.
    """
    reader = Buffered(source)
    at = texts = marks = 0
    for _ in range(_MAX_STEPS):
        code = reader.read(at, 1)
        opcode = _OPCODES.get(code[0]) if code else None
        if opcode is None:
            return True
        start, at = at + 1, _behind(reader, at + 1, opcode)
        if opcode.name == "STACK_GLOBAL" and texts:
            return False
        if opcode.name == "GLOBAL" or (opcode.name == "INST" and marks):
            return not _is_text(reader.read(start, min(at - start, _MAX_LINE_BYTES)))
        if opcode.arg is not None and opcode.arg.n == pickletools.UP_TO_NEWLINE and at - start > _MAX_LINE_BYTES:
            return False
        texts += opcode.name in _TEXTS
        marks += opcode.name == "MARK"
    return False


def _is_text(data: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        return False
    return True


def _behind(reader: Buffered, at: int, opcode: pickletools.OpcodeInfo) -> int:
    """Where the next instruction begins: behind the end of the file if this one is cut off."""
    argument = opcode.arg
    if argument is None:
        return at
    if argument.n >= 0:
        return at + argument.n
    if argument.n == pickletools.UP_TO_NEWLINE:
        for _ in range(_LINES.get(opcode.name, 1)):
            line = reader.read(at, _MAX_LINE_BYTES)
            at += (line.find(b"\n") + 1) or (_MAX_LINE_BYTES + 1 if len(line) == _MAX_LINE_BYTES else len(line))
        return at
    width = _WIDTHS[argument.n]
    return at + width + int.from_bytes(reader.read(at, width), "little")
