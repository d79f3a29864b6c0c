"""What `torch.save` writes, by hand; what it did write lies in tests/support/torch_files."""

from __future__ import annotations

import io
import pickle
import struct
import tarfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from modelsync.gate.torch import LEGACY_MAGIC, check_torch_legacy, check_torch_zip
from support.formats import Corrupt, Format, every, scan
from support.formats.zips import Member, build, lies
from support.pickles.assembler import APPENDS, BINPERSID, EMPTY_LIST, MARK, named, number, row, text
from support.pickles.assembler import pickle as assembled

REAL = Path(__file__).parents[1] / "torch_files"
MAGIC = int.from_bytes(LEGACY_MAGIC, "little")
STATE = pickle.dumps({"w": list(range(20))}, protocol=2)
PADDING = b"FB\x08\0" + b"Z" * 8
VERSION = Member("a/version", b"3\n")


def archive(*more: Member, state: bytes = STATE) -> bytes:
    """An archive as torch writes it: sizes behind the data, padding in the headers."""
    members = [Member("a/data.pkl", state), VERSION, Member("a/byteorder", b"little"), *more]
    return build([replace(each, behind=True, local={"extra": PADDING}) for each in members], zip64=True)


def legacy(
    storages: list[tuple[int, bytes]], *, keys: int | None = None, protocol: int = 2, state: bytes | None = None
) -> bytes:
    """A file of the older format: storages are a number of elements, and bytes; their keys begin at 94000."""
    return b"".join(legacy_parts(storages, keys=keys, protocol=protocol, state=state))


def legacy_parts(
    storages: list[tuple[int, bytes]], *, keys: int | None = None, protocol: int = 2, state: bytes | None = None
) -> list[bytes]:
    """The same as its five pickles, and each storage's number and bytes."""
    listed = [str(94000 + n) for n in range(len(storages) if keys is None else keys)]
    pickles = [MAGIC, 1001, {"little_endian": True, "type_sizes": {"int": 4}}, None, listed]
    written = [pickle.dumps(each, protocol=protocol) for each in pickles]
    written[3] = _asking(storages, protocol) if state is None else state
    return written + [part for count, data in storages for part in (count.to_bytes(8, "little", signed=True), data)]


def tar() -> bytes:
    """The format of PyTorch 0.1."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=tarfile.USTAR_FORMAT) as made:
        for name in ("sys_info", "pickle", "tensors", "storages"):
            entry = tarfile.TarInfo(name)
            entry.size = len(STATE)
            made.addfile(entry, io.BytesIO(STATE))
    return written.getvalue()


def _asking(storages: list[tuple[int, bytes]], protocol: int) -> bytes:
    """The pickle of a list of storages."""
    kinds = {1: "Byte", 2: "Half", 4: "Float", 8: "Double", 16: "ComplexDouble"}
    body = EMPTY_LIST + MARK
    for n, (count, data) in enumerate(storages):
        kind = kinds.get(len(data) // max(count, 1), "Float")
        named_by = row(
            text("storage"), named("torch", f"{kind}Storage"), text(str(94000 + n)), text("cpu"),
            number(min(max(count, 0), 2**31 - 1)),
        )  # fmt: skip
        body += named_by + BINPERSID
    return assembled(body + APPENDS, protocol)


def _summed(entry: tarfile.TarInfo, written: Callable[[int], bytes], form: str = "512B") -> bytes:
    """A header whose sum, as unsigned or signed bytes, is written in some way."""
    block = bytearray(entry.tobuf(tarfile.USTAR_FORMAT))
    block[148:156] = b" " * 8
    block[148:156] = written(sum(struct.unpack(form, block))).ljust(8, b" ")
    return bytes(block)


def _odd(form: str = "512B") -> Callable[[Callable[[int], bytes]], bytes]:
    def archive_of(written: Callable[[int], bytes]) -> bytes:
        entry = tarfile.TarInfo("storages")
        entry.size, entry.uname = len(STATE), "é" if form == "512b" else ""
        return _summed(entry, written, form) + STATE.ljust(512, b"\0") + bytes(1024)

    return archive_of


def tar_and_pickle(inside: bytes = STATE) -> bytes:
    """A tar archive whose first name is the start of a pickle that reaches to the end of the file."""
    entry = tarfile.TarInfo("storages")
    entry.size = len(inside)
    behind = entry.tobuf(tarfile.USTAR_FORMAT) + inside.ljust(512, b"\0") + bytes(1023) + b"."
    block = bytearray(tarfile.TarInfo("x").tobuf(tarfile.USTAR_FORMAT))
    block[:100] = (b"\x80\x03B" + struct.pack("<L", 512 + len(behind) - 8)).ljust(100, b"\0")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(struct.unpack("512b", block))
    return bytes(block) + behind


TARS = {
    "as Python writes it": tar(),
    "the sum of signed bytes": _odd("512b")(lambda sum_: b"%06o\0 " % sum_),
    "a sum in base 256": _odd()(lambda sum_: b"\x80" + sum_.to_bytes(7, "big")),
    "a sum with an underscore": _odd()(lambda sum_: b"0_%05o\0" % sum_),
    "a sum with a sign": _odd()(lambda sum_: b"+%06o\0" % sum_),
    "a sum with junk behind it": _odd()(lambda sum_: b"%06o\0\x7f" % sum_),
    "a pickle too": tar_and_pickle(),
}
"""Tar archives, in each form that Python opens."""


def real(pattern: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(REAL.glob(pattern))}


def _zip_benign() -> dict[str, bytes]:
    storages = [Member(f"a/data/{n}", bytes(40 * n)) for n in range(300)]
    found = {f"{count} storages": archive(*storages[:count]) for count in (0, 1, 2, 5, 20, 300)}
    found |= {f"state of {size} items": archive(state=pickle.dumps(list(range(size)), 2)) for size in (0, 1, 9, 1000)}
    found |= {f"protocol {n}": archive(state=pickle.dumps({"w": [1.5]}, n)) for n in range(6)}
    plain = [Member("a/data.pkl", STATE), VERSION, Member("a/data/0", bytes(16))]
    return found | real("zip-*") | {
        "sizes in the headers": build(plain),
        "zip64 throughout": build([replace(each, wide=True) for each in plain], zip64=True),
        "zip64 with sizes behind": build([replace(each, wide=True, behind=True) for each in plain], zip64=True),
        "no CRC": build([replace(each, crc32=0) for each in plain]),
        "a large storage": archive(Member("a/data/0", bytes(3 << 20))),
        "records of later versions": archive(
            Member("a/.format_version", b"1"), Member("a/.data/serialization_id", b"1" * 40)
        ),
        "no UTF-8 flag": build([replace(each, flags=0) for each in plain]),
        "a directory of another name": build([replace(each, name=f"v1.2 é{str(each.name)[1:]}") for each in plain]),
    }  # fmt: skip


def _zip_corrupt() -> dict[str, Corrupt]:
    storage = Member("a/data/0", b"0123456789abcdefghij")
    state = Member("a/data.pkl", STATE)
    no_pickle, code = "no data.pkl where", "nothing that torch.save writes"
    found: dict[str, Corrupt] = {
        "no data.pkl": (build([VERSION, storage]), no_pickle),
        "data.pkl too deep": (build([replace(state, name="a/b/data.pkl"), VERSION]), no_pickle),
        "data.pkl at the top": (build([replace(state, name="data.pkl"), VERSION]), "below one directory"),
        "two directories": (build([state, VERSION, replace(state, name="b/data.pkl")]), "below one directory"),
        "no version": (build([state, storage]), "no version"),
        "data.pkl deflated": (build([replace(state, method=8), VERSION]), "is compressed"),
        "a storage deflated": (build([state, VERSION, replace(storage, method=8)]), "is compressed"),
        "a bomb": (build([state, VERSION, replace(storage, content=bytes(1 << 20), method=8)]), "is compressed"),
        "a pickle with more behind it": (archive(state=STATE + b"x"), "goes on for 1 bytes"),
        "two pickles in one": (archive(state=STATE * 2), "goes on for"),
        "a record too large": (build([state, replace(VERSION, content=bytes(2000))]), "has 2,000 bytes"),
        "TorchScript": (archive(Member("a/code/__torch__.py", b"pass")), code),
        "TorchScript's constants": (archive(Member("a/constants.pkl", STATE)), code),
        "a second pickle": (archive(Member("a/extra.pkl", STATE)), code),
        "a nested archive": (archive(Member("a/data/0.zip", build([VERSION]))), code),
        "a program": (archive(Member("a/run.sh", b"#!/bin/sh")), code),
        "a storage of another name": (archive(Member("a/data/x", b"")), code),
        "no files": (build([]), "below one directory"),
        "a large storage, its CRC wrong": (archive(Member("a/data/0", bytes(3 << 20), crc32=7)), "has the CRC"),
        "not zip": (b"PK\3\4" + bytes(100), "not the end of a directory"),
    }
    return found | lies(storage, [state, VERSION]) | every(archive(storage), 40, "not the end of a directory")


def _legacy_benign() -> dict[str, bytes]:
    found = {f"{n} storages": legacy([(10, bytes(40))] * n) for n in (0, 1, 2, 3, 5, 10, 100, 1000)}
    found |= {f"elements of {size} bytes": legacy([(6, bytes(6 * size))]) for size in (1, 2, 4, 8, 16)}
    found |= {
        f"elements of {a} and {b} bytes": legacy([(3, b"\xff" * 3 * a), (5, b"\xff" * 5 * b)])
        for a in (1, 2, 4, 8) for b in (2, 4, 8)
    }  # fmt: skip
    return (
        found
        | real("legacy-*")
        | {
            "an empty storage": legacy([(0, b""), (2, bytes(8))]),
            **{f"protocol {n}": legacy([(2, bytes(8))], protocol=n) for n in (3, 4, 5)},
        }
    )


def _legacy_corrupt() -> dict[str, Corrupt]:
    one = legacy([(10, bytes(40))])
    two = legacy_parts([(10, bytes(40)), (3, bytes(12))])
    end, cut, magic = "do not end at the same byte", "is cut off or malformed", "its magic number is not torch's"
    names = ("magic number", "version", "machine", "object", "list of storages")

    def with_part(index: int, part: bytes, *, instead: bool = True) -> bytes:
        """The same with another part, or one more before it."""
        return b"".join([*two[:index], part, *two[index + (1 if instead else 0) :]])

    def numbers(first: int = 10, second: int = 3) -> bytes:
        return b"".join([*two[:5], *(n.to_bytes(8, "little", signed=True) + bytes(4 * n if 0 <= n < 99 else 44)
                                     for n in (first, second))])  # fmt: skip

    found: dict[str, Corrupt] = {
        "a byte behind": (one + b"\0", end),
        "a pickle behind": (one + STATE, end),
        "an archive behind": (one + build([VERSION]), end),
        "a storage too many": (legacy([(10, bytes(40))], keys=0), end),
        "a storage too few": (legacy([(10, bytes(40))], keys=2), f"{end}|{cut}"),
        "a negative storage": (legacy([(-1, bytes(40))]), cut),
        "a storage of -2**63": (numbers(-(1 << 63)), "storage 1 of 2 " + cut),
        "a huge storage": (legacy([(1 << 62, bytes(40))]), cut),
        "a storage of 2**63 - 1": (numbers(second=(1 << 63) - 1), f"{end}|{cut}"),
        "a storage counted in big endian": (with_part(5, (10).to_bytes(8, "big")), "storage 1 of 2 " + cut),
        "a storage's number of 4 bytes": (with_part(7, b"\3\0\0\0"), f"{end}|{cut}"),
        "a storage without its number": (with_part(5, b""), f"{end}|{cut}"),
        "a storage without its bytes": (with_part(8, b""), "storage 2 of 2 |" + end),
        "the last storage twice": (b"".join(two + two[-2:]), end),
        "the first storage short by a byte": (with_part(6, bytes(39)), f"{end}|{cut}"),
        "the first storage long by a byte": (with_part(6, bytes(41)), f"{end}|{cut}"),
        "the last storage short by a byte": (with_part(8, bytes(11)), end),
        "the last storage long by a byte": (with_part(8, bytes(13)), end),
        "elements of three bytes": (legacy([(10, bytes(30))]), end),
        "sizes that could be anything": (legacy([(0, b"")] + [(1, bytes(16))] * 400)[:-1], f"{end}|{cut}"),
        "too many keys": (with_part(4, b"(" + b"Vx\n" * 50_001 + b"l."), "it has 50,001 storages"),
        "another magic number": (with_part(0, pickle.dumps(MAGIC + 1, 2)), magic),
        "a magic number of text": (with_part(0, pickle.dumps(str(MAGIC), 2)), magic),
        "a list of the magic number": (with_part(0, pickle.dumps([MAGIC, MAGIC], 2)), magic),
        "no magic number": (with_part(0, pickle.dumps(None, 2)), magic),
        "version 1000": (with_part(1, pickle.dumps(1000, 2)), "its version is not torch's"),
        "a version of text": (with_part(1, pickle.dumps("1001", 2)), "its version is not torch's"),
        "a version as float": (with_part(1, pickle.dumps(1001.0, 2)), "its version is not torch's"),
        "empty": (b"", "the magic number "),
        "zeros": (bytes(100), "the magic number "),
        "text": (b"{}", "the magic number "),
    }  # fmt: skip
    for index, name in enumerate(names):
        behind = names[index + 1] if index < 4 else "list of storages"
        found |= {
            f"nothing behind the {name}": (b"".join(two[: index + 1]), f"the {behind} |{cut}"),
            f"the {name} broken": (with_part(index, two[index][:-1] + b"\xff"), f"the {name} "),
            f"a NUL before the {name}": (with_part(index, b"\0", instead=False), f"the {name} "),
            f"the {name} twice": (with_part(index, two[index], instead=False), f"not torch's|the |{end}|{cut}"),
        }
    return found | every(one, 60, f"the ({'|'.join(names)}) (is|cannot)|{end}|{cut}")


TORCH = Format(
    "torch", "model.pth", partial(check_torch_zip, scan=scan, allow_code=False), _zip_benign(), _zip_corrupt()
)
LEGACY = Format(
    "torch", "model.pth", partial(check_torch_legacy, scan=scan), _legacy_benign(), _legacy_corrupt(),
    also="pickle",
)  # fmt: skip
