"""NumPy's files: by NumPy, and by hand what it would not write."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np

from modelsync.gate.arrays import check_npy, check_npz
from support.formats import Corrupt, Format, every
from support.formats.zips import Member, build, deflate, lies

DTYPES = ["<f4", "<f8", "<f2", ">f4", "<i1", "<i2", "<i4", "<i8", ">i8", "<u1", "<u2", "<u4", "<u8", "?", "<c8", "<c16",
          "<U5", "S7", "V2", "<M8[s]", "<m8[ns]"]  # fmt: skip


def saved(array: Any, **options: Any) -> bytes:
    written = io.BytesIO()
    np.save(written, array, **options)
    return written.getvalue()


def zipped(*, compressed: bool = False, **arrays: Any) -> bytes:
    written = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(written, **arrays)
    return written.getvalue()


def by_hand(header: str | bytes, data: int = 0, *, version: int = 1, length: int | None = None) -> bytes:
    """An array of any header."""
    text = header if isinstance(header, bytes) else header.encode()
    size = (len(text) if length is None else length).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + size + text + bytes(data)


def header(descr: str = "'<f4'", shape: str = "(2, 3)", order: str = "False", more: str = "") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, {more}}}\n"


def _npy_benign() -> dict[str, bytes]:
    found = {dtype: saved(np.zeros((2, 3), dtype)) for dtype in DTYPES}
    return found | {
        "a scalar": saved(np.float32(1)),
        "no items": saved(np.zeros((0, 4))),
        "six dimensions": saved(np.zeros((1, 2, 1, 2, 1, 2))),
        "in Fortran's order": saved(np.asfortranarray(np.ones((2, 3)))),
        "a voice": saved(np.zeros((510, 1, 256), np.float32)),
        "version 2": by_hand(header(), 24, version=2),
        "version 3": by_hand(header(), 24, version=3),
        "no spaces": by_hand("{'descr':'<f4','fortran_order':False,'shape':(6,)}", 24),
        "another order": by_hand("{'shape': (6,), 'fortran_order': False, 'descr': \"<f4\"}\n", 24),
        "no padding": by_hand(header("'|u1'", "(3,)"), 3),
    }


def _npy_corrupt() -> dict[str, Corrupt]:
    begin, fields, shape, read = "does not begin", "exactly descr", "a shape that is none", "cannot be read"
    huge = "9" * 18
    return {
        "empty": (b"", begin),
        "another magic": (b"\x93NUMPX" + saved(np.zeros(3))[6:], begin),
        "version 0": (by_hand(header(), 24, version=0), begin),
        "version 4": (by_hand(header(), 24, version=4), begin),
        "objects": (saved(np.array([{}], object), allow_pickle=True), "Python objects"),
        "objects in a structure": (by_hand(header("[('a', '|O')]"), 24), "structured"),
        "a structure": (saved(np.zeros(2, [("a", "<f4")])), "structured"),
        "an unknown dtype": (by_hand(header("'<x4'"), 24), "unknown dtype"),
        "a dtype without size": (by_hand(header("'f'"), 24), "unknown dtype"),
        "a dtype of a module": (by_hand(header("'os.system'"), 24), "unknown dtype"),
        "a dtype that is a number": (by_hand(header("4"), 24), "structured"),
        "a header of zeros": (by_hand(bytes(60), 24), read + "|" + fields),
        "a header that calls": (by_hand(header("__import__('os').system('id')"), 24), read),
        "a header that computes": (by_hand(header(shape="(2**9, 3)"), 24), fields),
        "a header with a sign": (by_hand(header(shape="(-2, -3)"), 24), fields),
        "a header that nests": (by_hand("(" * 5000 + ")" * 4000, 24), read),
        "a header of braces": (by_hand("{" * 5000, 24), read),
        "a header with a long number": (by_hand(header(shape=f"({'9' * 5000},)"), 24), read),
        "a header not in UTF-8": (by_hand(b"{'descr': '\xff'}", 24), read),
        "a header in an array": (by_hand("[1]", 24), fields),
        "an empty header": (by_hand("", 24), read),
        "a header that is cut off": (by_hand(header()[:30], 24), read),
        "a header of bytes": (by_hand("{b'descr': 1, b'shape': 2}", 24), fields),
        "a header with a set in a dict": (by_hand("{{1}: 2}", 24), read),
        "a header too long": (by_hand(header() + " " * 20_000, 24), "a header of"),
        "a header beyond the file": (by_hand(header(), 24, length=9000), "a header of 9,000"),
        "a field too many": (by_hand(header(more="'x': 1"), 24), fields),
        "a field too few": (by_hand("{'descr': '<f4', 'shape': (6,)}", 24), fields),
        "an order that is a number": (by_hand(header(order="0"), 24), fields),
        "a shape that is a list": (by_hand(header(shape="[2, 3]"), 24), shape),
        "a shape that is a number": (by_hand(header(shape="6"), 24), shape),
        "a shape of floats": (by_hand(header(shape="(2.0, 3)"), 24), shape),
        "a shape of bools": (by_hand(header(shape="(True, 6)"), 24), shape),
        "a shape of tuples": (by_hand(header(shape="((2,), 3)"), 24), shape),
        "65 dimensions": (by_hand(header(shape=f"({'1, ' * 65})"), 4), shape),
        "a shape that overflows": (by_hand(header(shape=f"({huge}, {huge})"), 24), "no file can hold"),
        "a shape too large": (by_hand(header(shape="(3, 3)"), 24), "it needs"),
        "a byte behind": (saved(np.zeros(3)) + b"\0", "it needs"),
        "half a length": (b"\x93NUMPY\1\0\x10", begin),
        "a dtype with two orders": (by_hand(header("'<>f4'"), 24), "unknown dtype"),
        "a dtype of two": (by_hand(header("'f4,f4'"), 24), "unknown dtype"),
        "a pickle instead": (b"\x80\x04N.", begin),
        "a pickle behind": (saved(np.zeros(3)) + b"\x80\x04N.", "it needs"),
    } | every(saved(np.zeros((2, 3), np.float32)), 50, "does not begin|a header of|it needs")


def _npz_benign() -> dict[str, bytes]:
    array = np.arange(600, dtype=np.float32).reshape(20, 30)
    found = {f"{n} arrays": zipped(**{f"v{i}": array for i in range(n)}) for n in (1, 2, 5, 50)}
    found |= {
        f"{n} arrays, deflated": zipped(compressed=True, **{f"v{i}": array for i in range(n)}) for n in (1, 2, 50)
    }
    found |= {f"{dtype}": zipped(a=np.zeros(4, dtype)) for dtype in DTYPES}
    return found | {
        "zeros, deflated a thousandfold": zipped(compressed=True, a=np.zeros(1_000_000, np.float32)),
        "a directory": build([Member("voices/a.npy", saved(array))]),
        "by hand, deflated": build([Member("a.npy", saved(array), method=8)]),
        "by hand, zip64": build([Member("a.npy", saved(array), wide=True)], zip64=True),
        "by hand, sizes behind": build([Member("a.npy", saved(array), method=8, behind=True)]),
        "large and stored": zipped(a=np.zeros(700_000, np.float32)),
    }


def _npz_corrupt() -> dict[str, Corrupt]:
    array = saved(np.arange(600, dtype=np.float32))
    plain, packed = Member("a.npy", array), Member("b.npy", array, method=8)
    bomb = saved(np.zeros(5_000_000, np.float32))
    return {
        "no arrays": (build([]), "no arrays"),
        "a pickle": (build([Member("a.pkl", b"N.")]), "is no array"),
        "text": (build([plain, Member("README", b"")]), "is no array"),
        "a bomb": (build([Member("a.npy", bomb, method=8)]), "inflates from"),
        "a bomb that hides its size": (build([Member("a.npy", bomb, method=8, size=4000)]), "does not have the 4,000"),
        "a bomb of many": (
            build([Member(f"{n}.npy", b"", method=8, size=15 << 20) for n in range(40)]), "does not have|more than",
        ),
        "deflated, the size too large": (build([replace(packed, size=len(array) + 1)]), "does not have"),
        "deflated, the size too small": (build([replace(packed, size=len(array) - 1)]), "does not have"),
        "deflated, not at all": (build([replace(packed, packed=array)]), "cannot be inflated|breaks off"),
        "deflated, its CRC wrong": (build([Member("a.npy", array, method=8, crc32=5)]), "has the CRC"),
        "large and stored, its CRC wrong": (
            build([Member("a.npy", saved(np.zeros(700_000, np.float32)), crc32=5)]), "has the CRC",
        ),
        "deflate that breaks off": (build([replace(packed, packed=deflate(array)[:-4])]), "breaks off"),
        "bytes behind the deflate": (build([replace(packed, packed=deflate(array) + b"xx")]), "bytes behind its end"),
        "deflate of noise": (build([replace(packed, packed=b"\xff" * 90)]), "cannot be inflated"),
    } | lies(plain, [packed]) | every(zipped(a=np.arange(90), b=np.arange(9)), 40, "not the end of a dir")  # fmt: skip


NPY = Format("npy", "voice.npy", check_npy, _npy_benign(), _npy_corrupt())
NPZ = Format("npz", "voices.npz", check_npz, _npz_benign(), _npz_corrupt(), also="npy")
