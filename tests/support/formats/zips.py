"""Zip archives by hand, so that every field can lie."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

ZIP64 = 0xFFFFFFFF


@dataclass(frozen=True)
class Member:
    """A file; what is None is as it should be. `local` changes fields of its own header alone."""

    name: str | bytes
    content: bytes
    method: int = 0
    flags: int = 0x0800
    crc32: int | None = None
    size: int | None = None
    stored: int | None = None
    header: int | None = None
    extra: bytes = b""
    listed: bytes = b""
    comment: bytes = b""
    behind: bool = False
    wide: bool = False
    packed: bytes | None = None
    local: Mapping[str, Any] = field(default_factory=dict)


def deflate(content: bytes) -> bytes:
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()


def _fields(member: Member) -> tuple[bytes, bytes, int, int, int]:
    name = member.name if isinstance(member.name, bytes) else member.name.encode()
    data = deflate(member.content) if member.method == 8 else member.content
    if member.packed is not None:
        data = member.packed
    return (
        name, data,
        zlib.crc32(member.content) if member.crc32 is None else member.crc32,
        len(data) if member.stored is None else member.stored,
        len(member.content) if member.size is None else member.size,
    )  # fmt: skip


def build(
    members: list[Member], *, before: bytes = b"", between: bytes = b"", behind: bytes = b"", zip64: bool = False,
    end: Callable[[list[int]], None] = lambda _: None,
) -> bytes:  # fmt: skip
    """An archive. `end` may change count here, count, length and start of the directory, as its end tells them."""
    body, directory = bytearray(before), bytearray()
    for member in members:
        at = len(body) if member.header is None else member.header
        local = replace(member, **dict(member.local))
        name, data, crc32, stored, size = _fields(local)
        flags = local.flags | (8 if local.behind else 0)
        told = (0, 0, 0) if local.behind else (crc32, stored, size)
        extra = local.extra
        if local.wide and not local.behind:
            extra = struct.pack("<2H2Q", 1, 16, size, stored) + extra
            told = (crc32, ZIP64, ZIP64)
        body += struct.pack("<4s5H3L2H", b"PK\3\4", 45, flags, local.method, 0, 0, *told, len(name), len(extra))
        body += name + extra + data
        name, data, crc32, stored, size = _fields(member)
        if local.behind:
            body += struct.pack("<4sL2Q" if member.wide else "<4s3L", b"PK\7\x08", crc32, stored, size)
        body += between
        extra = (struct.pack("<2H3Q", 1, 24, size, stored, at) if member.wide else b"") + member.listed
        told = (crc32, ZIP64, ZIP64) if member.wide else (crc32, stored, size)
        directory += struct.pack(
            "<4s6H3L5H2L", b"PK\1\2", 45, 45, member.flags | (8 if member.behind else 0), member.method, 0, 0, *told,
            len(name), len(extra), len(member.comment), 0, 0, 0, ZIP64 if member.wide else at,
        ) + name + extra + member.comment  # fmt: skip
    told_at_end = [len(members), len(members), len(directory), len(body)]
    end(told_at_end)
    tail = bytearray()
    if zip64:
        tail += struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, *told_at_end)
        tail += struct.pack("<4sLQL", b"PK\6\7", 0, len(body) + len(directory), 1)
    tail += struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, *told_at_end, 0)
    return bytes(body + directory + tail + behind)


def lies(member: Member, others: list[Member]) -> dict[str, tuple[bytes, str]]:
    """Archives in which all is well but one thing, and why they are refused.

    Args:
        member: a plain one, whose content is of more than 16 bytes.
        others: the members beside it.
    """

    def changed(**changes: Any) -> bytes:
        return build([*others, replace(member, **changes)])

    def local(**changes: Any) -> bytes:
        return build([*others, replace(member, local=changes)])

    def ending(index: int, value: int) -> bytes:
        return build([*others, member], end=lambda told: told.__setitem__(index, value))

    members, name = [*others, member], str(member.name)
    whole = build(members)
    disagree = "disagree"
    return {
        "a byte before": (build(members, before=b"x"), "begins at byte 1"),
        "a program before": (build(members, before=b"PK\3\4" + bytes(26)), "begins at byte 30"),
        "a byte between": (build(members, between=b"x"), "ends at|end at"),
        "a byte behind": (whole + b"\0", "not the end of a directory"),
        "another archive behind": (whole + whole, "ends at byte"),
        "a comment": (whole[:-2] + b"\1\0x", "not the end of a directory"),
        "a name twice": (build([*members, member]), "a name twice"),
        "a name in two cases": (build([*members, replace(member, name=name.upper())]), "one name|one directory"),
        "a name that leaves": (changed(name=name.replace("/", "/../", 1) if "/" in name else "../x"), "'..' segment"),
        "a name at the root": (changed(name="/" + name), "empty segment"),
        "a name with a backslash": (changed(name=name + "\\x"), "cannot be used"),
        "a name with a NUL": (changed(name=name + "\0"), r"U\+0000"),
        "a name of a directory": (changed(name=name + "/"), "empty segment"),
        "a name of 600 bytes": (changed(name=name + "/x" * 300), "600|bytes"),
        "a name not in UTF-8": (changed(name=b"\xff"), "not UTF-8"),
        "a name not in ASCII": (changed(name=name + "ü", flags=0), "not UTF-8"),
        "another name in its header": (local(name=name[:-1] + "_"), disagree),
        "another method in its header": (local(method=8), f"{disagree}|begins|ends"),
        "another CRC in its header": (local(crc32=1), disagree),
        "another size in its header": (local(size=1), disagree),
        "another stored size in its header": (local(stored=1), disagree),
        "other flags in its header": (local(flags=0), disagree),
        "the CRC wrong": (changed(crc32=1), "has the CRC"),
        "the size wrong": (changed(size=1), "is stored in"),
        "both sizes too small": (changed(size=1, stored=1), "ends at|end at"),
        "both sizes too large": (changed(size=1 << 20, stored=1 << 20), "ends at|end at"),
        "no header where it says": (changed(header=2), "has no header|begins at|end at"),
        "another file's bytes": (changed(header=0), "begins at|disagree|end at"),
        "encrypted": (changed(flags=0x0801), "encrypted"),
        "encrypted throughout": (changed(flags=0x2800), "encrypted"),
        "a patch": (changed(flags=0x0820), "encrypted or compressed"),
        "compressed by LZMA": (changed(method=14), "encrypted or compressed"),
        "compressed by bzip2": (changed(method=12), "encrypted or compressed"),
        "a comment on a file": (changed(comment=b"x"), "comment"),
        "an extra field cut off": (changed(extra=b"FB\xff\0"), "cut off"),
        "another name in an extra field": (
            changed(extra=struct.pack("<2HBL", 0x7075, 9, 1, zlib.crc32(name.encode())) + b"evil"), "a second name",
        ),
        "another name in an extra field of the directory": (
            changed(listed=struct.pack("<2HBL", 0x7075, 9, 1, zlib.crc32(name.encode())) + b"evil"), "a second name",
        ),
        "half an extra field": (changed(extra=b"FB"), "cut off"),
        "sizes wrong behind it": (build([*others, replace(member, behind=True, crc32=1)])
                                  .replace(struct.pack("<4sL", b"PK\7\x08", 1), b"PK\7\x08\0\0\0\0"), disagree),
        "no sizes behind it": (changed(flags=0x0808), disagree),
        "one file too few in the directory": (ending(1, len(members) - 1), "several parts"),
        "fewer files at the end": (build(members, end=lambda told: told.__setitem__(slice(2), [len(members) - 1] * 2)),
                                   "lists more than"),
        "more files at the end": (build(members, end=lambda told: told.__setitem__(slice(2), [len(members) + 1] * 2)),
                                  "does not list"),
        "the directory too short": (ending(2, 46), "ends at byte"),
        "the directory too long": (ending(2, 5 << 20), "in 5,242,880 bytes"),
        "the directory elsewhere": (ending(3, 0), "ends at byte"),
        "two ends that disagree": (
            build(members, zip64=True)[:-10] + bytes(8) + b"\0\0", "two ends of its directory disagree",
        ),
        "an end nowhere": (
            (good := build(members, zip64=True))[: -42 + 8] + bytes(8) + good[-42 + 16 :], "two ends",
        ),
    }  # fmt: skip
