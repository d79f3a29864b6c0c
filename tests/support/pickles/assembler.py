"""Writes pickles opcode by opcode."""

from __future__ import annotations

MARK, STOP, REDUCE, BUILD, TUPLE, POP, DUP = b"(", b".", b"R", b"b", b"t", b"0", b"2"
EMPTY_TUPLE, EMPTY_LIST, EMPTY_DICT, NONE, TRUE, FALSE = b")", b"]", b"}", b"N", b"\x88", b"\x89"
NEWOBJ, NEWOBJ_EX, STACK_GLOBAL, BINPERSID, MEMOIZE = b"\x81", b"\x92", b"\x93", b"Q", b"\x94"
APPEND, APPENDS, SETITEM, SETITEMS, ADDITEMS = b"a", b"e", b"s", b"u", b"\x90"


def proto(version: int) -> bytes:
    """PROTO, for those protocols that have it."""
    return b"\x80" + bytes([version]) if version >= 2 else b""


def frame(body: bytes) -> bytes:
    """FRAME, around a body."""
    return b"\x95" + len(body).to_bytes(8, "little") + body


def text(value: str, version: int = 2) -> bytes:
    """A text as a protocol writes it."""
    if version == 0:
        return b"V" + value.encode("raw_unicode_escape") + b"\n"
    encoded = value.encode("utf-8", "surrogatepass")
    if version >= 4 and len(encoded) < 256:
        return b"\x8c" + bytes([len(encoded)]) + encoded
    return b"X" + len(encoded).to_bytes(4, "little") + encoded


def old_text(value: bytes) -> bytes:
    """SHORT_BINSTRING."""
    return b"U" + bytes([len(value)]) + value


def raw(value: bytes) -> bytes:
    """SHORT_BINBYTES."""
    return b"C" + bytes([len(value)]) + value


def number(value: int) -> bytes:
    """BININT."""
    return b"J" + value.to_bytes(4, "little", signed=True)


def put(index: int) -> bytes:
    """BINPUT."""
    return b"q" + bytes([index])


def get(index: int) -> bytes:
    """BINGET."""
    return b"h" + bytes([index])


def named(module: str, name: str, version: int = 2) -> bytes:
    """GLOBAL or STACK_GLOBAL, whichever a protocol has."""
    if version >= 4:
        return text(module, 4) + text(name, 4) + STACK_GLOBAL
    return b"c" + module.encode() + b"\n" + name.encode() + b"\n"


def row(*values: bytes) -> bytes:
    """A tuple."""
    return MARK + b"".join(values) + TUPLE


def call(function: bytes, *arguments: bytes) -> bytes:
    """REDUCE."""
    return function + row(*arguments) + REDUCE


def mapping(*pairs: tuple[str, bytes]) -> bytes:
    """A dict."""
    return EMPTY_DICT + MARK + b"".join(text(key) + value for key, value in pairs) + SETITEMS


def pickle(body: bytes, version: int = 2) -> bytes:
    """A whole pickle."""
    return proto(version) + body + STOP


ORDERED = named("collections", "OrderedDict")
NAMESPACE = named("argparse", "Namespace") + EMPTY_TUPLE + NEWOBJ
STORAGE = row(text("storage"), named("torch", "FloatStorage"), text("0"), text("cpu"), number(6)) + BINPERSID
TENSOR = call(
    named("torch._utils", "_rebuild_tensor_v2"), STORAGE, number(0), row(number(2), number(3)),
    row(number(3), number(1)), FALSE, call(ORDERED),
)  # fmt: skip


def dtype(code: str = "f4") -> bytes:
    """A numpy.dtype without its state."""
    return call(named("numpy", "dtype"), text(code), FALSE, TRUE)


def dtype_state(*replaced: tuple[int, bytes]) -> bytes:
    """The state of a dtype, as numpy writes it but for some places."""
    values = [number(3), text("<"), NONE, NONE, NONE, number(-1), number(-1), number(0)]
    for index, value in replaced:
        values[index] = value
    return row(*values) + BUILD


EMPTY_ARRAY = call(
    named("numpy._core.multiarray", "_reconstruct"), named("numpy", "ndarray"), row(number(0)), raw(b"b")
)  # fmt: skip


def array_state(*, shape: bytes = row(number(2)), kind: bytes | None = None, data: bytes = raw(bytes(8))) -> bytes:
    """The state of an array, as numpy writes it but for what is given."""
    return row(number(1), shape, kind or dtype() + dtype_state(), FALSE, data) + BUILD
